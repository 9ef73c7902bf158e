//! What phones, recorders and broadcasters leave: which streams are used, and how they are fitted.

use super::*;

fn unusable(index: u32, reason: Unusable) -> StreamFacts {
    let detail = StreamDetail::Audio(audio_facts(4));
    StreamFacts { unusable: Some(reason), ..stream(index, "unknown", detail) }
}

#[test]
fn streams_that_cannot_be_used_are_left_out_and_noted() {
    let mut facts = media_facts(video_facts());
    facts.streams.push(unusable(2, Unusable::UnknownCodec));
    facts.streams.push(unusable(3, Unusable::Empty));
    assert_eq!(facts.audio().map(|(stream, _)| stream.index), Some(1));
    let plan = resolve_for(&[facts], "o.mp4", vec![]).unwrap();
    assert_eq!(plan.audio.len(), 1);
    let notes = plan.notes.join("; ");
    assert!(notes.contains("stream 2 (audio) cannot be used: its codec is unknown"), "{notes}");
    assert!(notes.contains("stream 3 (audio) cannot be used: it is empty"), "{notes}");
}

#[test]
fn the_audio_is_that_of_the_videos_program() {
    let mut facts = media_facts(video_facts());
    let mut other = stream(2, "aac", StreamDetail::Audio(audio_facts(8)));
    other.program = Some(2);
    facts.streams.iter_mut().for_each(|stream| stream.program = Some(1));
    facts.streams.push(other);
    assert_eq!(facts.audio().map(|(stream, _)| stream.index), Some(1));
}

#[test]
fn lossless_audio_keeps_its_channel_layout_and_a_mixdown_is_noted() {
    let quad = AudioFacts { layout: "quad".to_owned(), ..audio_facts(4) };
    let mut facts = media_facts(video_facts());
    facts.streams[1].detail = StreamDetail::Audio(quad);
    let plan = resolve_for(&[facts.clone()], "o.wav", vec![]).unwrap();
    let audio = &plan.audio[0];
    assert_eq!((audio.channels, audio.layout.as_deref()), (4, Some("quad")));
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    let plan = resolve_for(&[facts], "o.m4a", vec![]).unwrap();
    assert_eq!((plan.audio[0].channels, plan.audio[0].layout.as_deref()), (2, None));
    assert!(plan.notes[0].contains("4 channels"), "{:?}", plan.notes);
}

#[test]
fn audio_that_begins_with_an_appended_input_waits_for_it() {
    let mut silent = media_facts(video_facts());
    silent.streams.truncate(1);
    let concat = |inputs| Operation::Concat(Concat { inputs: vec![Personal::Erased; inputs] });
    let inputs = [silent.clone(), silent.clone(), media_facts(video_facts()), silent.clone()];
    let plan = resolve_for(&inputs, "o.mp4", vec![concat(3)]).unwrap();
    let audio = &plan.audio[0];
    assert_eq!(audio.source, Source { input: 2, stream: 1 });
    let after = AudioSegment { input: 3, stream: None, duration: 10_000_000 };
    assert_eq!(
        audio.filters,
        [
            AudioFilter::Fill(10_000_000),
            AudioFilter::Delay(20_000_000),
            AudioFilter::Concat(vec![after]),
        ]
    );
    let all_silent = resolve_for(&[silent.clone(), silent], "o.mp4", vec![concat(1)]).unwrap();
    assert!(all_silent.audio.is_empty());
}

#[test]
fn images_get_the_matrix_that_viewers_assume() {
    let facts = |matrix: Option<&str>, width| {
        let color = Color { matrix: matrix.map(str::to_owned), ..Color::default() };
        [media_facts(VideoFacts { color, width, height: 360, ..video_facts() })]
    };
    let to_601 = VideoFilter::Matrix(Matrix::Bt601);
    for (matrix, width, filter) in [
        (Some("bt709"), 640, Some(&to_601)),
        (Some("smpte170m"), 1920, None),
        // Without a declaration, players go by the size.
        (None, 1920, Some(&to_601)),
        (None, 640, None),
    ] {
        let found = filters(resolve_for(&facts(matrix, width), "o.jpg", vec![]).unwrap());
        assert_eq!(found.first(), filter, "{matrix:?} {width}");
    }
    assert!(filters(resolve_for(&facts(Some("bt709"), 640), "o.png", vec![]).unwrap()).is_empty());
}

#[test]
fn a_variable_frame_rate_becomes_a_constant_one_that_keeps_its_frames() {
    let rate = |num| Rational { num, den: 1 };
    let constant = |average, base, variable_rate| {
        let (frame_rate, base_rate) = (rate(average), Some(rate(base)));
        let video = VideoFacts { frame_rate, variable_rate, base_rate, ..video_facts() };
        filters(resolve_for(&[media_facts(video)], "o.avi", vec![]).unwrap())
    };
    assert_eq!(constant(25, 25, false), [VideoFilter::Rate(rate(25))]);
    assert_eq!(constant(17, 50, true), [VideoFilter::Rate(rate(50))]);
    // Timestamps in milliseconds.
    assert_eq!(constant(17, 1_000, true), [VideoFilter::Rate(rate(30))]);
    assert_eq!(constant(45, 1_000, true), [VideoFilter::Rate(rate(60))]);
}

#[test]
fn a_video_of_less_than_a_frame_keeps_the_frame_that_it_has() {
    let mut facts = media_facts(video_facts());
    facts.duration = Some(40_000);
    facts.streams.iter_mut().for_each(|stream| stream.duration = Some(40_000));
    let slow = Operation::Fps(Fps { millifps: 10_000 });
    let is_rated =
        |plan: Plan| filters(plan).iter().any(|filter| matches!(filter, VideoFilter::Rate(_)));
    assert!(!is_rated(resolve_for(&[facts], "o.webp", vec![slow.clone()]).unwrap()));
    assert!(is_rated(resolve("o.webp", vec![slow]).unwrap()));
}

#[test]
fn a_frame_of_one_pixel_is_scaled_to_what_the_codec_can_hold() {
    let tiny = VideoFacts { width: 1, height: 1, ..video_facts() };
    let plan = resolve_for(&[media_facts(tiny)], "o.mp4", vec![]).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("scaled to 2x2")), "{:?}", plan.notes);
    assert_eq!(filters(plan), [VideoFilter::Scale { width: 2, height: 2 }]);
}
