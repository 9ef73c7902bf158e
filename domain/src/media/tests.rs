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

fn facts() -> MediaFacts {
    MediaFacts {
        format: "mov".to_owned(),
        duration: Some(10_000_000),
        video: Some(VideoFacts {
            codec: "h264".to_owned(),
            width: 1920,
            height: 1080,
            pixel_aspect: Rational { num: 1, den: 1 },
            frame_rate: Rational { num: 25, den: 1 },
            rotation: 0,
            duration: Some(10_000_000),
        }),
        audio: Some(AudioFacts {
            codec: "aac".to_owned(),
            channels: 6,
            sample_rate: 48_000,
            duration: None,
        }),
    }
}

fn resolve(output: &str, operations: Vec<Operation>) -> Result<Plan, PlanRejection> {
    plan(&convert(output, operations), Some(&facts()), &Capabilities::everything())
}

fn scale(width: Option<u32>, height: Option<u32>, mode: ScaleMode) -> Operation {
    Operation::Scale(Scale { width, height, mode })
}

fn trim(start: Micros, end: Option<Micros>) -> Operation {
    Operation::Trim(Trim { start, end })
}

fn refused_at(outcome: Result<Plan, PlanRejection>) -> String {
    outcome.unwrap_err().pointer
}

#[test]
fn codecs_follow_from_the_output_name() {
    let plan = resolve("out.mkv", vec![]).unwrap();
    assert_eq!(plan.container, Container::Mkv);
    assert_eq!(plan.video.unwrap().codec, VideoCodec::H264);
    assert_eq!(plan.audio.unwrap().codec, AudioCodec::Aac);
}

#[test]
fn surround_becomes_stereo() {
    assert_eq!(resolve("out.mp4", vec![]).unwrap().audio.unwrap().channels, 2);
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
            VideoFilter::Scale { width: 1136, height: 640 },
            VideoFilter::CropCentre { width: 640, height: 640 }
        ]
    );
}

#[test]
fn trims_add_up_in_order() {
    let plan =
        resolve("o.mp4", vec![trim(2_000_000, Some(9_000_000)), trim(1_000_000, None)]).unwrap();
    assert_eq!((plan.seek, plan.duration), (3_000_000, Some(6_000_000)));
}

#[test]
fn a_trim_beyond_the_end_is_refused_with_the_length() {
    let refusal = resolve("o.mp4", vec![trim(10_000_000, None)]).unwrap_err();
    assert_eq!(refusal.pointer, "#/operations/0/start");
    assert!(refusal.detail.contains("10.000 s"), "{refusal}");
}

#[test]
fn a_turned_phone_picture_is_planned_upright() {
    let mut facts = facts();
    facts.video.as_mut().unwrap().rotation = 90;
    let request = convert("o.mp4", vec![scale(None, Some(960), ScaleMode::Fit)]);
    let plan = plan(&request, Some(&facts), &Capabilities::everything()).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (540, 960));
    assert_eq!(video.filters.first(), Some(&VideoFilter::Rotate(90)));
}

#[test]
fn each_impossible_request_names_its_field() {
    let transcode = |t: Transcode| vec![Operation::Transcode(t)];
    let none = || Transcode { video_codec: Some(VideoCodec::None), ..Transcode::default() };
    let cases = [
        ("#/output", "o.xyz", vec![]),
        ("#/output", "o", vec![]),
        ("#/operations/0/start", "o.mp4", vec![trim(5, Some(5))]),
        ("#/operations/0/width", "o.mp4", vec![scale(None, None, ScaleMode::Fit)]),
        ("#/operations/0/height", "o.mp4", vec![scale(None, Some(9000), ScaleMode::Fit)]),
        (
            "#/operations/0/video_bitrate",
            "o.mp4",
            transcode(Transcode {
                crf: Some(20),
                video_bitrate: Some(1_000_000),
                ..Transcode::default()
            }),
        ),
        (
            "#/operations/0/crf",
            "o.mp4",
            transcode(Transcode { crf: Some(52), ..Transcode::default() }),
        ),
        ("#/operations/0/crf", "o.mp4", transcode(Transcode { crf: Some(20), ..none() })),
        (
            "#/operations/0/audio_codec",
            "o.mov",
            transcode(Transcode { audio_codec: Some(AudioCodec::Opus), ..Transcode::default() }),
        ),
        (
            "#/operations",
            "o.mp4",
            transcode(Transcode { audio_codec: Some(AudioCodec::None), ..none() }),
        ),
        (
            "#/operations/1",
            "o.mp4",
            vec![
                Operation::Transcode(Transcode::default()),
                Operation::Transcode(Transcode::default()),
            ],
        ),
    ];
    for (pointer, output, operations) in cases {
        assert_eq!(refused_at(resolve(output, operations.clone())), pointer, "{operations:?}");
    }
}

#[test]
fn what_no_worker_can_make_is_refused_with_what_they_can() {
    let mut capabilities = Capabilities::everything();
    capabilities.video_codecs.remove(&VideoCodec::Hevc);
    let wanted = Transcode { video_codec: Some(VideoCodec::Hevc), ..Transcode::default() };
    let request = convert("o.mp4", vec![Operation::Transcode(wanted)]);
    let refusal = plan(&request, None, &capabilities).unwrap_err();
    assert!(refusal.detail.contains("h264"), "{refusal}");
}

#[test]
fn what_is_dropped_does_not_make_the_output_longer() {
    let mut facts = facts();
    facts.duration = Some(12_000_000);
    facts.audio.as_mut().unwrap().duration = Some(12_000_000);
    let mute = Transcode { audio_codec: Some(AudioCodec::None), ..Transcode::default() };
    for (operations, expected) in
        [(vec![], 12_000_000), (vec![Operation::Transcode(mute)], 10_000_000)]
    {
        let request = convert("o.mp4", operations);
        let plan = plan(&request, Some(&facts), &Capabilities::everything()).unwrap();
        assert_eq!(plan.duration, Some(expected));
    }
}
