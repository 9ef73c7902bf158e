//! What a player or an editor makes of a picture: turned, mirrored, two fields.

use super::*;

#[test]
fn a_turned_phone_picture_is_planned_upright() {
    let turned = film(VideoFacts { rotation: 90, ..picture() });
    let operations = vec![scale(None, Some(960), ScaleMode::Fit)];
    let plan = resolve_for(&[turned], "o.mp4", operations).unwrap();
    let video = plan.video.unwrap();
    assert_eq!((video.width, video.height), (540, 960));
    assert_eq!(video.filters.first(), Some(&VideoFilter::Rotate(90)));
}

#[test]
fn a_turned_picture_is_copied_only_to_where_it_is_still_turned() {
    let copy = || {
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::Copy),
            ..Transcode::default()
        })
    };
    for facts in
        [VideoFacts { rotation: 90, ..picture() }, VideoFacts { mirrored: true, ..picture() }]
    {
        let turned = [film(facts)];
        for fits in ["o.mp4", "o.mov"] {
            assert!(resolve_for(&turned, fits, vec![copy()]).is_ok(), "{fits}");
        }
        for loses in ["o.mkv", "o.ts"] {
            let refusal = resolve_for(&turned, loses, vec![copy()]).unwrap_err();
            assert_eq!(refusal.pointer, "#/operations/0/video_codec");
            assert!(refusal.detail.contains("mp4 and mov would not"), "{refusal}");
        }
    }
}

#[test]
fn fields_are_kept_only_for_cutting_and_where_nothing_mixes_them() {
    let fields = [film(VideoFacts { interlaced: true, ..picture() })];
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
