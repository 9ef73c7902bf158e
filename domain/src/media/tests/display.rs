//! Rotation, mirroring and interlacing as players and editors treat them.

use super::*;

#[test]
fn a_rotated_phone_video_is_planned_upright() {
    let rotated = media_facts(VideoFacts { rotation: 90, ..video_facts() });
    let operations = vec![scale(None, Some(960), ScaleMode::Fit)];
    let plan = resolve_for(&[rotated], "o.mp4", operations).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (540, 960));
    assert_eq!(video.filters.first(), Some(&VideoFilter::Rotate(90)));
}

#[test]
fn a_rotated_video_is_only_copied_to_containers_that_keep_the_rotation() {
    let copy = || {
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::Copy),
            ..Transcode::default()
        })
    };
    for facts in [
        VideoFacts { rotation: 90, ..video_facts() },
        VideoFacts { mirrored: true, ..video_facts() },
    ] {
        let rotated = [media_facts(facts)];
        for fits in ["o.mp4", "o.mov"] {
            assert!(resolve_for(&rotated, fits, vec![copy()]).is_ok(), "{fits}");
        }
        for loses in ["o.mkv", "o.ts"] {
            let refusal = resolve_for(&rotated, loses, vec![copy()]).unwrap_err();
            assert_eq!(refusal.pointer, "#/operations/0/video_codec");
            assert!(refusal.detail.contains("mp4 and mov would not"), "{refusal}");
        }
    }
}

#[test]
fn fields_are_only_kept_for_prores_without_frame_operations() {
    let fields = [media_facts(VideoFacts { interlaced: true, ..video_facts() })];
    let prores = || {
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::Prores),
            ..Transcode::default()
        })
    };
    let kept = |operations: Vec<Operation>| {
        resolve_for(&fields, "o.mov", operations).unwrap().video.unwrap().fields
    };
    assert_eq!(kept(vec![trim(0, Some(1_000_000)), prores()]), Some(Fields::TopFirst));
    assert_eq!(kept(vec![scale(None, Some(90), ScaleMode::Fit), prores()]), None);
    assert_eq!(kept(vec![]), None);
}
