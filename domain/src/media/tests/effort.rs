use super::*;

fn of(operations: Vec<Operation>) -> Effort {
    let films = [film(picture())];
    let plan = plan(&convert("o.mp4", operations), Some(&films), &Capabilities::everything());
    Effort::of_plan(&plan.unwrap(), films.first())
}

fn transcode(change: impl FnOnce(&mut Transcode)) -> Effort {
    let mut transcode = Transcode::default();
    change(&mut transcode);
    of(vec![Operation::Transcode(transcode)])
}

#[test]
fn a_rate_that_was_asked_for_is_what_comes_out() {
    let effort = transcode(|t| {
        t.video_bitrate = Some(1_000_000);
        t.audio_bitrate = Some(128_000);
    });
    let estimate = effort.estimate(None);
    assert_eq!(estimate.bytes, 10 * (1_000_000 + 128_000) / 8);
    assert_eq!((estimate.minutes_charged, estimate.learned_from), (0.17, 0));
}

#[test]
fn better_and_smaller_pull_apart() {
    let at = |crf| transcode(|t| t.crf = Some(crf)).estimate(None).bytes;
    assert!(at(17) > at(23) && at(23) > at(29));
    let preset = |preset| transcode(|t| t.preset = Some(preset)).estimate(None).seconds;
    assert!(preset(Preset::Slow) > preset(Preset::Ultrafast));
}

#[test]
fn past_jobs_teach_what_the_next_takes() {
    let effort = transcode(|t| t.crf = Some(23));
    let usual = effort.estimate(None);
    let spent =
        Spent { effort: effort.clone(), seconds: usual.seconds * 3.0, bytes: usual.bytes / 2 };
    let pace = Pace::learn(None, &spent);
    let learned = effort.estimate(pace);
    assert!((learned.seconds - usual.seconds * 3.0).abs() < 0.01, "{learned:?}");
    assert!(learned.bytes.abs_diff(usual.bytes / 2) < 10, "{learned:?}");
    assert_eq!(learned.learned_from, 1);
    // One odd job does not turn everything over.
    let odd = Spent { seconds: usual.seconds * 30.0, ..spent };
    let after = effort.estimate(Pace::learn(pace, &odd));
    assert!(after.seconds < usual.seconds * 10.0, "{after:?}");
    // Half the film takes half as long.
    let trim = Operation::Trim(Trim { start: 0, end: Some(5_000_000) });
    let short =
        of(vec![trim, Operation::Transcode(Transcode { crf: Some(23), ..Transcode::default() })]);
    assert_eq!(short.class, effort.class);
    assert!((short.estimate(pace).seconds * 2.0 - learned.seconds).abs() < 0.01);
}
