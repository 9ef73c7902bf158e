mod display;
mod duration;
mod effort;
mod footprint;
mod hardware;
mod real_files;
mod stream;

use super::*;
use crate::Personal;

fn convert(output: &str, operations: Vec<Operation>) -> Convert {
    Convert {
        input: Personal::Clear("in.mp4".parse().unwrap()),
        output: Personal::Clear(output.parse().unwrap()),
        operations,
        overwrite: Overwrite::Fail,
    }
}

fn stream(index: u32, codec: &str, detail: StreamDetail) -> StreamFacts {
    StreamFacts {
        index,
        codec: codec.to_owned(),
        profile: None,
        language: None,
        title: None,
        dispositions: vec![],
        program: None,
        duration: Some(10_000_000),
        start: None,
        bitrate: None,
        packets: None,
        unusable: None,
        detail,
    }
}

fn video_facts() -> VideoFacts {
    VideoFacts {
        width: 1920,
        height: 1080,
        pixel_aspect: Rational::ONE,
        frame_rate: Rational { num: 25, den: 1 },
        variable_rate: false,
        base_rate: None,
        rotation: 0,
        mirrored: false,
        pixel_format: "yuv420p".to_owned(),
        bit_depth: 8,
        chroma: Chroma::Quarter,
        alpha: false,
        interlaced: false,
        bottom_first: false,
        color: Color::default(),
        keyframe_interval: None,
    }
}

fn audio_facts(channels: u32) -> AudioFacts {
    AudioFacts {
        channels,
        layout: "5.1".to_owned(),
        sample_rate: 44_100,
        sample_format: "fltp".to_owned(),
        bit_depth: None,
    }
}

fn media_facts(video: VideoFacts) -> MediaFacts {
    MediaFacts {
        format: "mov".to_owned(),
        duration: Some(10_000_000),
        streams: vec![
            stream(0, "h264", StreamDetail::Video(Box::new(video))),
            stream(1, "aac", StreamDetail::Audio(audio_facts(6))),
        ],
        ..MediaFacts::default()
    }
}

fn resolve(output: &str, operations: Vec<Operation>) -> Result<Plan, PlanRejection> {
    resolve_for(&[media_facts(video_facts())], output, operations)
}

fn resolve_for(
    inputs: &[MediaFacts],
    output: &str,
    operations: Vec<Operation>,
) -> Result<Plan, PlanRejection> {
    plan(&convert(output, operations), Some(inputs), &Capabilities::everything())
}

fn scale(width: Option<u32>, height: Option<u32>, mode: ScaleMode) -> Operation {
    Operation::Scale(Scale { width, height, mode })
}

fn trim(start: Micros, end: Option<Micros>) -> Operation {
    Operation::Trim(Trim { start, end })
}

fn transcode(change: impl FnOnce(&mut Transcode)) -> Operation {
    let mut transcode = Transcode::default();
    change(&mut transcode);
    Operation::Transcode(transcode)
}

fn filters(plan: Plan) -> Vec<VideoFilter> {
    plan.video.unwrap().filters
}

#[test]
fn codecs_follow_from_the_output_name() {
    for (name, video, audio) in [
        ("o.mp4", Some(VideoCodec::H264), Some(AudioCodec::Aac)),
        ("o.webm", Some(VideoCodec::Vp9), Some(AudioCodec::Opus)),
        ("o.gif", Some(VideoCodec::Gif), None),
        ("o.mp3", None, Some(AudioCodec::Mp3)),
        ("o.wav", None, Some(AudioCodec::Pcm)),
        ("o.ogg", None, Some(AudioCodec::Vorbis)),
        ("o.png", Some(VideoCodec::Png), None),
    ] {
        let plan = resolve(name, vec![]).unwrap();
        assert_eq!(plan.video.map(|video| video.codec), video, "{name}");
        assert_eq!(plan.audio.first().map(|audio| audio.codec), audio, "{name}");
    }
}

#[test]
fn every_container_has_an_extension_and_default_codecs() {
    for container in Container::ALL {
        let name = format!("o.{}", container.as_str());
        let plan = resolve(&name, vec![]).unwrap();
        assert_eq!(plan.container, *container);
    }
}

#[test]
fn surround_becomes_stereo_unless_lossless_or_requested() {
    let channels = |plan: Plan| plan.audio.first().unwrap().channels;
    assert_eq!(channels(resolve("out.mp4", vec![]).unwrap()), 2);
    assert_eq!(channels(resolve("out.flac", vec![]).unwrap()), 6);
    let six = Operation::Audio(Audio { channels: Some(6), ..Audio::default() });
    assert_eq!(channels(resolve("out.mp4", vec![six]).unwrap()), 6);
}

#[test]
fn a_codec_gets_a_supported_sample_rate() {
    let rate = |name: &str| resolve(name, vec![]).unwrap().audio[0].sample_rate;
    assert_eq!((rate("o.mp4"), rate("o.opus"), rate("o.wav")), (44_100, 48_000, 44_100));
}

#[test]
fn a_missing_side_follows_the_aspect_ratio() {
    let plan = resolve("out.mp4", vec![scale(None, Some(720), ScaleMode::Fit)]).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (1280, 720));
}

#[test]
fn fit_stays_inside_and_fill_covers() {
    let fit = resolve("o.mp4", vec![scale(Some(640), Some(640), ScaleMode::Fit)]).unwrap();
    let fit = fit.video.unwrap();
    assert_eq!((fit.width, fit.height), (640, 360));
    let fill = resolve("o.mp4", vec![scale(Some(640), Some(640), ScaleMode::Fill)]).unwrap();
    let fill = fill.video.unwrap();
    assert_eq!((fill.width, fill.height), (640, 640));
    assert_eq!(
        fill.filters,
        [
            VideoFilter::Scale { width: 1138, height: 640 },
            VideoFilter::Crop { x: 249, y: 0, width: 640, height: 640 }
        ]
    );
}

#[test]
fn pixels_become_square_when_the_video_is_resized() {
    let pal = VideoFacts {
        width: 720,
        height: 576,
        pixel_aspect: Rational { num: 64, den: 45 },
        ..video_facts()
    };
    let inputs = [media_facts(pal)];
    let plan = resolve_for(&inputs, "o.mp4", vec![scale(None, Some(288), ScaleMode::Fit)]).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (512, 288));
    let plan = resolve_for(&inputs, "o.mp4", vec![]).unwrap();
    assert!(filters(plan).is_empty(), "untouched pixels keep their shape");
}

#[test]
fn trims_add_up_in_order() {
    let plan =
        resolve("o.mp4", vec![trim(2_000_000, Some(9_000_000)), trim(1_000_000, None)]).unwrap();
    assert_eq!((plan.seek, plan.duration), (3_000_000, Some(6_000_000)));
}

#[test]
fn normalized_audio_is_decoded_from_the_start() {
    let loud = Operation::Audio(Audio { normalize: true, ..Audio::default() });
    let plan = resolve("o.mp4", vec![loud, trim(2_000_000, None)]).unwrap();
    assert_eq!((plan.seek, plan.duration), (0, Some(8_000_000)));
}

#[test]
fn a_faster_output_is_shorter_and_keeps_its_frame_rate() {
    let plan = resolve("o.mp4", vec![Operation::Speed(Speed { factor: 2.0 })]).unwrap();
    assert_eq!(plan.duration, Some(5_000_000));
    let rate = Rational { num: 25, den: 1 };
    assert_eq!(filters(plan), [VideoFilter::Speed(2.0), VideoFilter::Rate(rate)]);
}

#[test]
fn a_trim_beyond_the_end_is_rejected_with_the_duration() {
    let refusal = resolve("o.mp4", vec![trim(10_000_000, None)]).unwrap_err();
    assert_eq!(refusal.pointer, "#/operations/0/start");
    assert!(refusal.detail.contains("10.000 s"), "{refusal}");
}

#[test]
fn implicit_decisions_are_noted() {
    let odd =
        media_facts(VideoFacts { width: 321, height: 181, interlaced: true, ..video_facts() });
    let plan = resolve_for(&[odd], "o.mp4", vec![]).unwrap();
    // Interlaced, odd sides, and six channels of audio.
    assert_eq!(plan.notes.len(), 3, "{:?}", plan.notes);
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (320, 180));
    let cut = VideoFilter::Crop { x: 0, y: 0, width: 320, height: 180 };
    assert_eq!(video.filters, [VideoFilter::Deinterlace, cut]);
}

#[test]
fn hdr_is_kept_if_supported_and_tone_mapped_otherwise() {
    let color = Color { hdr: Some(Hdr::Pq), max_content_light: Some(600), ..Color::default() };
    let hdr = [media_facts(VideoFacts { bit_depth: 10, color, ..video_facts() })];
    let tonemap = VideoFilter::Tonemap { from: Hdr::Pq, peak: 600.0 };
    let plan = resolve_for(&hdr, "o.mp4", vec![]).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("tone-mapped")), "{:?}", plan.notes);
    assert_eq!(filters(plan), [tonemap]);
    let hevc = transcode(|t| t.video_codec = Some(VideoCodec::Hevc));
    let plan = resolve_for(&hdr, "o.mp4", vec![hevc]).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.filters.len(), video.pixel_format.as_str()), (0, "yuv420p10le"));
}

#[test]
fn tracks_are_selected_by_index_and_language() {
    let mut many = media_facts(video_facts());
    for (index, language) in [(2, "deu"), (3, "eng")] {
        let mut more = stream(index, "aac", StreamDetail::Audio(audio_facts(2)));
        more.language = Some(language.to_owned());
        many.streams.push(more);
    }
    let chosen = |audio: Vec<Pick>| {
        let tracks = Operation::Tracks(Tracks { audio: Some(audio), subtitles: None });
        let plan = resolve_for(std::slice::from_ref(&many), "o.mp4", vec![tracks])?;
        Ok::<_, PlanRejection>(plan.audio.iter().map(|a| a.source.stream).collect::<Vec<_>>())
    };
    let language = |word: &str| Pick::Language(word.to_owned());
    assert_eq!(chosen(vec![language("en"), Pick::Index(0)]).unwrap(), [3, 1]);
    assert_eq!(chosen(vec![language("all")]).unwrap(), [1, 2, 3]);
    let refusal = chosen(vec![language("fr")]).unwrap_err();
    assert_eq!(refusal.pointer, "#/operations/0/audio/0");
    assert!(refusal.detail.contains("2 (eng)"), "{refusal}");
}

#[test]
fn chapters_are_trimmed_with_the_video() {
    let mut chaptered = media_facts(video_facts());
    chaptered.chapters = [(0, 4_000_000), (4_000_000, 10_000_000)]
        .map(|(start, end)| Chapter { start, end, title: None })
        .into();
    let plan = resolve_for(&[chaptered], "o.mp4", vec![trim(5_000_000, Some(9_000_000))]).unwrap();
    assert_eq!(plan.chapters, [Chapter { start: 0, end: 4_000_000, title: None }]);
}

#[test]
fn copied_streams_cannot_be_changed() {
    let copy = || transcode(|t| t.video_codec = Some(VideoCodec::Copy));
    let plan = resolve("o.mp4", vec![copy(), trim(1_000_000, None)]).unwrap();
    assert_eq!(plan.video.unwrap().codec, VideoCodec::Copy);
    for (pointer, output, more) in [
        ("#/operations/1", "o.mp4", scale(None, Some(360), ScaleMode::Fit)),
        ("#/operations/1", "o.mkv", trim(1_000_000, None)),
        ("#/operations/0/video_codec", "o.webm", trim(0, Some(1_000_000))),
    ] {
        let refusal = resolve(output, vec![copy(), more]).unwrap_err();
        assert_eq!(refusal.pointer, pointer, "{output}: {refusal}");
    }
}

#[test]
fn each_invalid_request_names_its_field() {
    let t = |change: fn(&mut Transcode)| vec![transcode(change)];
    let audio = |change: fn(&mut Audio)| {
        let mut audio = Audio::default();
        change(&mut audio);
        vec![Operation::Audio(audio)]
    };
    let cases = [
        ("#/output", "o.xyz", vec![]),
        ("#/output", "o", vec![]),
        ("#/operations/0/start", "o.mp4", vec![trim(5, Some(5))]),
        ("#/operations/0/width", "o.mp4", vec![scale(None, None, ScaleMode::Fit)]),
        ("#/operations/0/height", "o.mp4", vec![scale(None, Some(9000), ScaleMode::Fit)]),
        (
            "#/operations/0/video_bitrate",
            "o.mp4",
            t(|t| (t.crf, t.video_bitrate) = (Some(20), Some(1_000_000))),
        ),
        ("#/operations/0/crf", "o.mp4", t(|t| t.crf = Some(52))),
        (
            "#/operations/0/crf",
            "o.mkv",
            t(|t| (t.video_codec, t.crf) = (Some(VideoCodec::Av1), Some(0))),
        ),
        (
            "#/operations/0/crf",
            "o.mp4",
            t(|t| (t.video_codec, t.crf) = (Some(VideoCodec::None), Some(20))),
        ),
        ("#/operations/0/audio_codec", "o.mov", t(|t| t.audio_codec = Some(AudioCodec::Opus))),
        ("#/operations/0/video_codec", "o.webm", t(|t| t.video_codec = Some(VideoCodec::H264))),
        ("#/operations/0/audio_bitrate", "o.flac", t(|t| t.audio_bitrate = Some(64_000))),
        ("#/operations/0/two_pass", "o.mp4", t(|t| t.two_pass = true)),
        ("#/operations/0/profile", "o.mp4", t(|t| t.profile = Some("fancy".to_owned()))),
        ("#/operations/0/pixel_format", "o.mp4", t(|t| t.pixel_format = Some("rgb24".to_owned()))),
        (
            "#/operations/0/max_bitrate",
            "o.mp4",
            t(|t| (t.video_bitrate, t.max_bitrate) = (Some(2_000_000), Some(1_000_000))),
        ),
        (
            "#/operations",
            "o.mp4",
            t(|t| {
                t.video_codec = Some(VideoCodec::None);
                t.audio_codec = Some(AudioCodec::None);
            }),
        ),
        ("#/operations/1", "o.mp4", vec![transcode(|_| ()), transcode(|_| ())]),
        (
            "#/operations/0/width",
            "o.mp4",
            vec![Operation::Crop(Crop { x: 1000, y: 0, width: 1000, height: 100 })],
        ),
        ("#/operations/0/degrees", "o.mp4", vec![Operation::Rotate(Rotate { degrees: 36_000.0 })]),
        ("#/operations/0/factor", "o.mp4", vec![Operation::Speed(Speed { factor: 0.0 })]),
        ("#/operations/0", "o.mp4", audio(|_| ())),
        ("#/operations/0/target_lufs", "o.mp4", audio(|a| a.target_lufs = Some(-16.0))),
        ("#/operations/0/channels", "o.mp4", audio(|a| a.channels = Some(3))),
        ("#/operations/0/remove", "o.mp4", audio(|a| (a.remove, a.volume) = (true, Some(2.0)))),
        ("#/operations/0/audio_codec", "o.mp3", audio(|a| a.channels = Some(6))),
    ];
    for (pointer, output, operations) in cases {
        let refusal = resolve(output, operations.clone()).unwrap_err();
        // A rejection caused by the implied transcode points to where it would be.
        assert_eq!(refusal.pointer, pointer, "{operations:?}: {refusal}");
    }
}

#[test]
fn an_unsupported_codec_is_rejected_with_the_supported_ones() {
    let mut capabilities = Capabilities::everything();
    capabilities.video_codecs.remove(&VideoCodec::Hevc);
    let wanted = transcode(|t| t.video_codec = Some(VideoCodec::Hevc));
    let request = convert("o.mp4", vec![wanted]);
    let refusal = plan(&request, None, &capabilities).unwrap_err();
    assert!(refusal.detail.contains("h264"), "{refusal}");
    capabilities.video_codecs.remove(&VideoCodec::Vp9);
    let plan = plan(&convert("o.webm", vec![]), None, &capabilities).unwrap();
    assert_eq!(plan.video.unwrap().codec, VideoCodec::Av1, "the next that fits is taken");
}

#[test]
fn dropped_streams_do_not_extend_the_output() {
    let mut longer = media_facts(video_facts());
    longer.duration = Some(12_000_000);
    longer.streams[1].duration = Some(12_000_000);
    let mute = transcode(|t| t.audio_codec = Some(AudioCodec::None));
    for (operations, expected) in [(vec![], 12_000_000), (vec![mute], 10_000_000)] {
        let plan = resolve_for(std::slice::from_ref(&longer), "o.mp4", operations).unwrap();
        assert_eq!(plan.duration, Some(expected));
    }
}

#[test]
fn a_job_reads_as_many_files_as_its_media_process_is_given() {
    let request = |others| {
        let inputs = |count| Operation::Concat(Concat { inputs: vec![Personal::Erased; count] });
        let full = std::iter::repeat_n(inputs(16), others / 16);
        let operations = full.chain([inputs(others % 16)]).collect();
        MediaRequest::Convert(convert("o.mp4", operations)).check(&Capabilities::everything())
    };
    request(MAX_INPUTS - 1).unwrap();
    let refused = request(MAX_INPUTS).unwrap_err();
    assert_eq!(refused.detail, "a job reads at most 128 files, this one 129");
}

#[test]
fn a_concatenated_video_is_fitted_to_the_first() {
    let tall = media_facts(VideoFacts { width: 720, height: 1280, ..video_facts() });
    let concat = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    let plan = resolve_for(&[media_facts(video_facts()), tall], "o.mp4", vec![concat]).unwrap();
    assert_eq!(plan.duration, Some(20_000_000));
    let Some(VideoFilter::Concat(segments)) = filters(plan).pop() else { panic!("no concat") };
    let expected = VideoFilter::Scale { width: 608, height: 1080 };
    assert_eq!(segments[0].filters.first(), Some(&expected));
}

fn thumbnails(mode: ThumbnailMode) -> Thumbnails {
    Thumbnails {
        input: Personal::Erased,
        output: Personal::Erased,
        mode,
        timestamp: None,
        interval: None,
        count: None,
        width: None,
        height: None,
        format: None,
        columns: None,
        overwrite: Overwrite::Fail,
    }
}

#[test]
fn thumbnails_are_spread_evenly() {
    let four = Thumbnails { count: Some(4), ..thumbnails(ThumbnailMode::Count) };
    let plan = four.plan(Some(8_000_000)).unwrap();
    assert_eq!(plan.times, [1_000_000, 3_000_000, 5_000_000, 7_000_000]);
    let every = Thumbnails { interval: Some(3_000_000), ..thumbnails(ThumbnailMode::Interval) };
    assert_eq!(every.plan(Some(8_000_000)).unwrap().times, [0, 3_000_000, 6_000_000]);
    let sheets = Thumbnails { interval: Some(50_000), ..thumbnails(ThumbnailMode::Sprite) };
    let plan = sheets.plan(Some(8_000_000)).unwrap();
    assert_eq!((plan.times.len(), plan.columns, plan.rows), (160, 10, 10));
}

#[test]
fn invalid_thumbnail_requests_are_rejected_by_field() {
    let single = || thumbnails(ThumbnailMode::Single);
    for (pointer, request) in [
        ("#/count", Thumbnails { count: Some(3), ..single() }),
        ("#/timestamp", Thumbnails { timestamp: Some(9_000_000), ..single() }),
        ("#/format", Thumbnails { format: Some(ImageFormat::Gif), ..single() }),
        ("#/interval", thumbnails(ThumbnailMode::Interval)),
        ("#/count", thumbnails(ThumbnailMode::Count)),
        ("#/width", Thumbnails { width: Some(5), ..single() }),
    ] {
        assert_eq!(request.plan(Some(8_000_000)).unwrap_err().pointer, pointer, "{request:?}");
    }
}

#[test]
fn a_comparison_needs_a_reference() {
    let mut request = Analyze {
        input: Personal::Erased,
        reference: None,
        metrics: vec![Metric::Loudness, Metric::Psnr],
        per_frame: false,
    };
    let check = |request: &Analyze| {
        let request = MediaRequest::Analyze(request.clone());
        request.check(&Capabilities::everything()).map_err(|refusal| refusal.pointer)
    };
    assert_eq!(check(&request), Err("#/metrics/1".to_owned()));
    request.reference = Some(Personal::Erased);
    assert_eq!(check(&request), Ok(()));
    request.metrics = vec![Metric::Loudness];
    assert_eq!(check(&request), Err("#/reference".to_owned()));
}

#[test]
fn more_files_than_a_job_can_list_are_rejected_early() {
    let mut long = media_facts(video_facts());
    for stream in &mut long.streams {
        stream.duration = Some(7_200_000_000);
    }
    let refusal = resolve_for(&[long], "f-%05d.png", vec![]).unwrap_err();
    assert_eq!(refusal.pointer, "#/output");
    assert!(refusal.detail.contains("180000"), "{refusal}");
}
