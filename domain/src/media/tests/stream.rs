use super::*;

fn stream_request() -> Stream {
    Stream {
        input: Personal::Erased,
        output: Personal::Erased,
        packaging: Packaging::Hls,
        segments: SegmentFormat::Fmp4,
        layout: SegmentLayout::Files,
        variants: vec![],
        segment_duration: None,
        video_codec: None,
        preset: None,
        encrypted: false,
        captions: vec![],
        poster: None,
        sprite: None,
        metrics: vec![],
        overwrite: Overwrite::Fail,
    }
}

fn ladder(variants: Vec<Variant>, video: VideoFacts) -> Result<StreamPlan, PlanRejection> {
    let request = Stream { variants, packaging: Packaging::Cmaf, ..stream_request() };
    plan_stream(&request, Some(&[media_facts(video)]), None, &Capabilities::everything())
}

fn sizes(plan: &StreamPlan) -> Vec<(u32, u32)> {
    plan.renditions.iter().map(|step| (step.video.width, step.video.height)).collect()
}

#[test]
fn a_video_of_a_day_fits_into_a_file_for_each_rendition() {
    let mut day = media_facts(video_facts());
    day.duration = Some(24 * 3_600 * 1_000_000);
    for stream in &mut day.streams {
        stream.duration = day.duration;
    }
    let plan = |layout| {
        let request = Stream { layout, packaging: Packaging::Cmaf, ..stream_request() };
        plan_stream(&request, Some(&[day.clone()]), None, &Capabilities::everything())
    };
    assert!(plan(SegmentLayout::SingleFile).is_ok());
    let refusal = plan(SegmentLayout::Files).unwrap_err();
    assert_eq!(refusal.pointer, "#/segments");
    assert!(refusal.detail.contains("single_file"), "{refusal:?}");
}

#[test]
fn the_default_ladder_starts_at_the_inputs_size() {
    let plan = ladder(vec![], video_facts()).unwrap();
    let expected = [(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240)];
    assert_eq!(sizes(&plan), expected);
    assert_eq!(plan.renditions[0].video.quality.max_bitrate, Some(5_000_000));
    let upright = VideoFacts { width: 720, height: 1280, ..video_facts() };
    assert_eq!(sizes(&ladder(vec![], upright).unwrap())[0], (720, 1280));
    // A size that is no usual one; 720 lines just below it would add nothing.
    let wide = VideoFacts { width: 1920, height: 800, ..video_facts() };
    let expected = [(1920, 800), (1152, 480), (864, 360), (576, 240)];
    assert_eq!(sizes(&ladder(vec![], wide).unwrap()), expected);
    let huge = VideoFacts { width: 7680, height: 4320, ..video_facts() };
    assert_eq!(sizes(&ladder(vec![], huge).unwrap())[..2], [(3840, 2160), (2560, 1440)]);
}

#[test]
fn variants_that_would_upscale_are_left_out_and_noted() {
    let step = |name: &str, height| Variant {
        name: name.to_owned(),
        width: None,
        height: Some(height),
        video_bitrate: None,
        crf: None,
        audio_bitrate: None,
    };
    let plan = ladder(vec![step("uhd", 2160), step("hd", 720)], video_facts()).unwrap();
    assert_eq!(sizes(&plan), [(1280, 720)]);
    assert!(plan.notes[0].contains("uhd"), "{:?}", plan.notes);
    let twice = ladder(vec![step("a", 720), step("a", 360)], video_facts()).unwrap_err();
    assert_eq!(twice.pointer, "#/variants/0/name");
}

fn plan_with(change: impl FnOnce(&mut Stream)) -> Result<StreamPlan, PlanRejection> {
    let mut request = stream_request();
    change(&mut request);
    plan_stream(&request, Some(&[media_facts(video_facts())]), None, &Capabilities::everything())
}

#[test]
fn ladder_caps_depend_on_complexity() {
    let caps = |complexity| {
        let request = stream_request();
        let inputs = [media_facts(video_facts())];
        let plan =
            plan_stream(&request, Some(&inputs), Some(complexity), &Capabilities::everything());
        let plan = plan.unwrap();
        let caps = plan.renditions.iter().map(|step| step.video.quality.max_bitrate.unwrap());
        (caps.collect::<Vec<_>>(), plan.notes[0].clone())
    };
    assert_eq!(caps(1.0).0, [5_000_000, 2_800_000, 1_400_000, 800_000, 400_000]);
    // Content that is hard to encode gets more; a cartoon gets less, and fewer steps.
    assert_eq!(caps(1.5).0[0], 7_500_000);
    let (easy, why) = caps(0.4);
    assert_eq!(easy, [2_000_000, 560_000, 160_000]);
    assert!(why.contains("0.40 times a typical video's bits"), "{why}");
    // An implausible complexity is clamped.
    assert_eq!(caps(90.0).0[0], 8_000_000);
}

#[test]
fn stills_and_metrics_are_planned_with_the_stream() {
    let plan = plan_with(|stream| {
        stream.poster = Some(Poster { timestamp: Some(2_000_000), ..Poster::default() });
        stream.sprite = Some(Sprite { interval: Some(1_000_000), ..Sprite::default() });
        stream.metrics = vec![Metric::Vmaf, Metric::Loudness];
    })
    .unwrap();
    assert_eq!(plan.poster.unwrap().times, [2_000_000]);
    assert_eq!(plan.sprite.unwrap().times.len(), 10);
    let pointer = |change: fn(&mut Stream)| plan_with(change).unwrap_err().pointer;
    let late = Some(Poster { timestamp: Some(11_000_000), ..Poster::default() });
    assert_eq!(plan_with(|stream| stream.poster = late).unwrap_err().pointer, "#/poster/timestamp");
    let wide = |stream: &mut Stream| {
        stream.sprite = Some(Sprite { width: Some(9_000), ..Sprite::default() });
    };
    assert_eq!(pointer(wide), "#/sprite/width");
    assert_eq!(pointer(|stream| stream.metrics = vec![Metric::Psnr]), "#/metrics/0");
}
