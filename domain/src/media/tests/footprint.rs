use super::*;

const MIB: u64 = 1024 * 1024;

fn of(inputs: &[MediaFacts], preset: Preset) -> u64 {
    let operations = vec![transcode(|t| t.preset = Some(preset))];
    footprint_of_plan(&resolve_for(inputs, "o.mp4", operations).unwrap(), inputs)
}

#[test]
fn decoded_and_lookahead_frames_count() {
    let frame = 1920 * 1080 * 3 / 2;
    let inputs = [media_facts(video_facts())];
    assert_eq!(of(&inputs, Preset::Ultrafast), 4 * frame);
    assert_eq!(of(&inputs, Preset::Medium), 44 * frame);
    // At most as many frames as the input has.
    let still = [MediaFacts { duration: Some(40_000), ..media_facts(video_facts()) }];
    let short = Operation::Trim(Trim { start: 0, end: Some(40_000) });
    let plan = resolve_for(&still, "o.mp4", vec![short]).unwrap();
    assert_eq!(footprint_of_plan(&plan, &still), 5 * frame);
}

#[test]
fn memory_depends_on_the_frame_size_not_the_file_size() {
    let huge = VideoFacts { width: 16_384, height: 16_384, chroma: Chroma::Full, ..video_facts() };
    let huge = VideoFacts { alpha: true, ..huge };
    assert_eq!(footprint_of_frames(&[media_facts(huge)]), 3 * 1024 * MIB);
    let deep = VideoFacts { bit_depth: 10, ..video_facts() };
    assert_eq!(footprint_of_frames(&[media_facts(deep)]), 3 * 1920 * 1080 * 3);
}

#[test]
fn copied_video_is_not_decoded() {
    let copy = vec![transcode(|t| t.video_codec = Some(VideoCodec::Copy))];
    let inputs = [media_facts(video_facts())];
    let plan = resolve_for(&inputs, "o.mp4", copy).unwrap();
    assert_eq!(footprint_of_plan(&plan, &inputs), 0);
}
