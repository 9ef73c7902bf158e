//! How long an output is planned to be.

use super::*;

/// Video of 10 s and audio of 13 s, whose ends the container states or not.
fn audio_longer_than_video(are_stated: bool) -> MediaFacts {
    let mut facts = media_facts(video_facts());
    facts.duration = Some(13_000_000);
    for (stream, end) in facts.streams.iter_mut().zip([10_000_000, 13_000_000]) {
        stream.duration = are_stated.then_some(end);
    }
    facts
}

#[test]
fn the_output_is_as_long_as_the_last_track_that_is_kept() {
    let audio = |audio| Operation::Audio(audio);
    let remove = || audio(Audio { remove: true, ..Audio::default() });
    let extract = || audio(Audio { extract: true, ..Audio::default() });
    let cut = || trim(2_000_000, Some(12_000_000));
    let inputs = [audio_longer_than_video(true)];
    for (output, operations, duration) in [
        ("o.mp4", vec![], 13_000_000),
        ("o.mp4", vec![remove()], 10_000_000),
        ("o.mp4", vec![cut(), remove()], 8_000_000),
        ("o.mp4", vec![cut(), extract()], 10_000_000),
        ("o.mp4", vec![Operation::Speed(Speed { factor: 2.0 }), remove()], 5_000_000),
        ("o.gif", vec![], 10_000_000),
        ("o.mp3", vec![], 13_000_000),
    ] {
        let plan = resolve_for(&inputs, output, operations.clone()).unwrap();
        let found = (plan.duration, plan.duration_is_estimate);
        assert_eq!(found, (Some(duration), false), "{output} {operations:?}");
    }
}

#[test]
fn the_duration_of_the_container_is_an_estimate_where_streams_do_not_state_their_ends() {
    let inputs = [audio_longer_than_video(false)];
    let plan = resolve_for(&inputs, "o.gif", vec![]).unwrap();
    assert_eq!((plan.duration, plan.duration_is_estimate), (Some(13_000_000), true));
    // A joint holds what is before it until its end.
    let concat = Operation::Concat(Concat { inputs: vec![Personal::Erased] });
    let inputs = [inputs[0].clone(), media_facts(video_facts())];
    let plan = resolve_for(&inputs, "o.mp4", vec![concat]).unwrap();
    assert_eq!((plan.duration, plan.duration_is_estimate), (Some(23_000_000), false));
}

#[test]
fn the_end_of_a_trim_is_an_estimate_where_the_input_states_no_duration() {
    let mut facts = media_facts(video_facts());
    facts.duration = None;
    facts.streams.iter_mut().for_each(|stream| stream.duration = None);
    let inputs = [facts];
    let plan = resolve_for(&inputs, "o.mp4", vec![trim(1_000_000, Some(9_000_000))]).unwrap();
    assert_eq!((plan.duration, plan.duration_is_estimate), (Some(8_000_000), true));
    let plan = resolve("o.mp4", vec![trim(1_000_000, Some(9_000_000))]).unwrap();
    assert!(!plan.duration_is_estimate);
}
