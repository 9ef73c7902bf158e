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
    let pace = Some(Pace::learn(None, &spent));
    let learned = effort.estimate(pace);
    assert!((learned.seconds - usual.seconds * 3.0).abs() < 0.01, "{learned:?}");
    assert!(learned.bytes.abs_diff(usual.bytes / 2) < 10, "{learned:?}");
    assert_eq!(learned.learned_from, 1);
    // One odd job does not turn everything over.
    let odd = Spent { seconds: usual.seconds * 30.0, ..spent };
    let after = effort.estimate(Some(Pace::learn(pace, &odd)));
    assert!(after.seconds < usual.seconds * 10.0, "{after:?}");
    // Half the film takes half as long.
    let trim = Operation::Trim(Trim { start: 0, end: Some(5_000_000) });
    let short =
        of(vec![trim, Operation::Transcode(Transcode { crf: Some(23), ..Transcode::default() })]);
    assert_eq!(short.class, effort.class);
    assert!((short.estimate(pace).seconds * 2.0 - learned.seconds).abs() < 0.01);
}

#[test]
fn what_is_decoded_and_not_kept_is_charged_as_well() {
    let charged = |operations| of(operations).charged;
    let speed = |factor| Operation::Speed(Speed { factor });
    let part = |start: Micros, end: Micros| trim(start * 1_000_000, Some(end * 1_000_000));
    assert_eq!(charged(vec![part(2, 5)]), 3_000_000, "what is skipped is not decoded");
    assert_eq!(charged(vec![speed(10.0)]), 10_000_000);
    assert_eq!(charged(vec![speed(0.5)]), 20_000_000);
    assert_eq!(charged(vec![part(2, 8), speed(2.0), part(1, 2)]), 4_000_000);
    // What comes before the part is decoded to get there.
    assert_eq!(charged(vec![speed(2.0), part(4, 5)]), 10_000_000);
}

fn pace(seconds: f64, jobs: u64) -> Pace {
    Pace { seconds, bytes: 1.0, jobs }
}

#[test]
fn what_cannot_have_been_is_not_learned_from() {
    let effort = transcode(|t| t.crf = Some(23));
    let spent = |seconds| Spent { effort: effort.clone(), seconds, bytes: 1 };
    assert!(spent(0.1).is_plausible() && spent(3_600.0).is_plausible());
    for seconds in [8e11, -1.0, f64::NAN, f64::INFINITY] {
        assert!(!spent(seconds).is_plausible(), "{seconds}");
    }
    let of = |change: fn(&mut Effort)| {
        let mut spent = spent(1.0);
        change(&mut spent.effort);
        spent.is_plausible()
    };
    assert!(!of(|effort| effort.amount = 0.0) && !of(|effort| effort.amount = f64::NAN));
    assert!(!of(|effort| effort.bits = f64::INFINITY) && !of(|effort| effort.bits = -1.0));
    assert!(!of(|effort| effort.class = "x".repeat(301)) && !of(|effort| effort.class.clear()));
    assert!(!of(|effort| effort.class = "a\0b".to_owned()));
}

#[test]
fn one_tenant_does_not_move_what_others_are_told() {
    let honest = [pace(1.0, 3), pace(1.1, 9), pace(0.9, 2), pace(1.05, 1)];
    let liar = pace(8e11, 1_000_000);
    let all: Vec<Pace> = honest.iter().copied().chain([liar]).collect();
    let believed = Pace::of_many(Some(honest[0]), &all).unwrap();
    assert!((0.9..=1.1).contains(&believed.seconds), "{believed:?}");
    // With enough of one's own nobody else counts at all.
    let own = pace(2.0, 5);
    assert_eq!(Pace::of_many(Some(own), &[own, liar]), Some(own));
    assert_eq!(Pace::of_many(None, &[]), None);
}

#[test]
fn however_little_is_known_an_estimate_stays_near_the_rule_of_thumb() {
    let effort = transcode(|t| t.crf = Some(23));
    let usual = effort.estimate(None);
    let liar = Pace { seconds: 8e11, bytes: 1e300, jobs: 1 };
    let misled = effort.estimate(Pace::of_many(None, &[liar]));
    assert!(misled.seconds <= usual.seconds * 51.0, "{misled:?}");
    assert!(misled.bytes <= usual.bytes * 51, "{misled:?}");
}
