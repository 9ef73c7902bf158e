use super::*;

const MIB: u64 = 1024 * 1024;

fn of(inputs: &[MediaFacts], preset: Preset) -> u64 {
    let operations = vec![transcode(|t| t.preset = Some(preset))];
    footprint_of_plan(&resolve_for(inputs, "o.mp4", operations).unwrap(), inputs)
}

#[test]
fn frames_that_are_decoded_and_those_that_an_encoder_waits_for_count() {
    let frame = 1920 * 1080 * 3 / 2;
    let inputs = [film(picture())];
    assert_eq!(of(&inputs, Preset::Ultrafast), 4 * frame);
    assert_eq!(of(&inputs, Preset::Medium), 44 * frame);
    // No more than there are.
    let still = [MediaFacts { duration: Some(40_000), ..film(picture()) }];
    let short = Operation::Trim(Trim { start: 0, end: Some(40_000) });
    let plan = resolve_for(&still, "o.mp4", vec![short]).unwrap();
    assert_eq!(footprint_of_plan(&plan, &still), 5 * frame);
}

#[test]
fn a_huge_canvas_takes_its_memory_whatever_the_file_weighs() {
    let huge = VideoFacts { width: 16_384, height: 16_384, chroma: Chroma::Full, ..picture() };
    let huge = VideoFacts { alpha: true, ..huge };
    assert_eq!(footprint_of_frames(&[film(huge)]), 3 * 1024 * MIB);
    let deep = VideoFacts { bit_depth: 10, ..picture() };
    assert_eq!(footprint_of_frames(&[film(deep)]), 3 * 1920 * 1080 * 3);
}

#[test]
fn what_is_copied_is_not_decoded() {
    let copy = vec![transcode(|t| t.video_codec = Some(VideoCodec::Copy))];
    let inputs = [film(picture())];
    let plan = resolve_for(&inputs, "o.mp4", copy).unwrap();
    assert_eq!(footprint_of_plan(&plan, &inputs), 0);
}
