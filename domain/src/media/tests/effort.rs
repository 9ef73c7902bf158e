use super::*;

fn of(operations: Vec<Operation>) -> Effort {
    let inputs = [media_facts(video_facts())];
    let plan = plan(&convert("o.mp4", operations), Some(&inputs), &Capabilities::everything());
    Effort::of_plan(&plan.unwrap(), inputs.first())
}

fn transcode(change: impl FnOnce(&mut Transcode)) -> Effort {
    let mut transcode = Transcode::default();
    change(&mut transcode);
    of(vec![Operation::Transcode(transcode)])
}

#[test]
fn a_requested_bitrate_is_estimated_exactly() {
    let effort = transcode(|t| {
        t.video_bitrate = Some(1_000_000);
        t.audio_bitrate = Some(128_000);
    });
    let estimate = effort.estimate(None);
    assert_eq!(estimate.bytes, 10 * (1_000_000 + 128_000) / 8);
    assert_eq!((estimate.minutes_charged, estimate.learned_from), (0.17, 0));
}

#[test]
fn quality_and_presets_change_the_estimate() {
    let at = |crf| transcode(|t| t.crf = Some(crf)).estimate(None).bytes;
    assert!(at(17) > at(23) && at(23) > at(29));
    let preset = |preset| transcode(|t| t.preset = Some(preset)).estimate(None).seconds;
    assert!(preset(Preset::Slow) > preset(Preset::Ultrafast));
}

#[test]
fn estimates_are_learned_from_past_jobs() {
    let effort = transcode(|t| t.crf = Some(23));
    let usual = effort.estimate(None);
    let spent = Spent {
        effort: effort.clone(),
        seconds: usual.seconds * 3.0,
        bytes: usual.bytes / 2,
        cpu_seconds: None,
    };
    let pace = Some(Pace::learn(None, &spent));
    let learned = effort.estimate(pace);
    assert!((learned.seconds - usual.seconds * 3.0).abs() < 0.01, "{learned:?}");
    assert!(learned.bytes.abs_diff(usual.bytes / 2) < 10, "{learned:?}");
    assert_eq!(learned.learned_from, 1);
    // One outlier does not dominate the average.
    let odd = Spent { seconds: usual.seconds * 30.0, ..spent };
    let after = effort.estimate(Some(Pace::learn(pace, &odd)));
    assert!(after.seconds < usual.seconds * 10.0, "{after:?}");
    // Half the input takes half the time.
    let trim = Operation::Trim(Trim { start: 0, end: Some(5_000_000) });
    let short =
        of(vec![trim, Operation::Transcode(Transcode { crf: Some(23), ..Transcode::default() })]);
    assert_eq!(short.class, effort.class);
    assert!((short.estimate(pace).seconds * 2.0 - learned.seconds).abs() < 0.01);
}

#[test]
fn decoded_media_time_is_charged_even_if_not_kept() {
    let charged = |operations| of(operations).charged;
    let speed = |factor| Operation::Speed(Speed { factor });
    let part = |start: Micros, end: Micros| trim(start * 1_000_000, Some(end * 1_000_000));
    assert_eq!(charged(vec![part(2, 5)]), 3_000_000, "what is skipped is not decoded");
    assert_eq!(charged(vec![speed(10.0)]), 10_000_000);
    assert_eq!(charged(vec![speed(0.5)]), 20_000_000);
    assert_eq!(charged(vec![part(2, 8), speed(2.0), part(1, 2)]), 4_000_000);
    // The part before is decoded to reach it.
    assert_eq!(charged(vec![speed(2.0), part(4, 5)]), 10_000_000);
}

fn pace(seconds: f64, jobs: u64) -> Pace {
    Pace { seconds, bytes: 1.0, jobs }
}

#[test]
fn implausible_measurements_are_rejected() {
    let effort = transcode(|t| t.crf = Some(23));
    let spent = |seconds| Spent { effort: effort.clone(), seconds, bytes: 1, cpu_seconds: None };
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
fn one_tenant_does_not_skew_the_estimates_of_others() {
    let typical = [pace(1.0, 3), pace(1.1, 9), pace(0.9, 2), pace(1.05, 1)];
    let outlier = pace(8e11, 1_000_000);
    let all: Vec<Pace> = typical.iter().copied().chain([outlier]).collect();
    let estimate = Pace::of_many(Some(typical[0]), &all).unwrap();
    assert!((0.9..=1.1).contains(&estimate.seconds), "{estimate:?}");
    // With enough own jobs, those of other tenants do not count.
    let own = pace(2.0, 5);
    assert_eq!(Pace::of_many(Some(own), &[own, outlier]), Some(own));
    assert_eq!(Pace::of_many(None, &[]), None);
}

#[test]
fn estimates_stay_within_the_maximum_deviation() {
    let effort = transcode(|t| t.crf = Some(23));
    let usual = effort.estimate(None);
    let outlier = Pace { seconds: 8e11, bytes: 1e300, jobs: 1 };
    let misled = effort.estimate(Pace::of_many(None, &[outlier]));
    assert!(misled.seconds <= usual.seconds * 51.0, "{misled:?}");
    assert!(misled.bytes <= usual.bytes * 51, "{misled:?}");
}
