//! Writes the golden file of each event that has none yet, or is written otherwise than before; never
//! touches one that is there.

use std::{collections::BTreeMap, fs, path::Path};

use domain::{
    HookId, JobId, KeyId, LeaseId, Personal, Timestamp,
    account::{AccountEvent, AccountTerms, Tier},
    batch::{BatchEvent, BatchJob, BatchSpec, BatchStatus, Counts},
    hook::{Callback, DisabledBy, HookEvent, HookRingEvent, HookTerms},
    job::{Failure, FailureCode, JobEvent, JobSpec, OutputFile, Priority, StreamSummary},
    kept::KeptEvent,
    key::{ClaimPurpose, KeyEvent, KeyTerms, RingEvent, Scope},
    media::{
        AudioCodec, Container, Convert, MediaRequest, Operation, Overwrite, Preset, Probe, Scale,
        ScaleMode, Transcode, Trim, VideoCodec,
    },
    preset::{PresetEvent, PresetVersion},
    quota::QuotaEvent,
    room::RoomEvent,
};
use serde::Serialize;
use uuid::Uuid;

fn events() -> Vec<(&'static str, JobEvent)> {
    let operations = vec![
        Operation::Trim(Trim { start: 1_000_000, end: Some(2_000_000) }),
        Operation::Scale(Scale { width: Some(640), height: None, mode: ScaleMode::Fit }),
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::H264),
            audio_codec: Some(AudioCodec::Aac),
            crf: Some(23),
            preset: Some(Preset::Medium),
            container: Some(Container::Mp4),
            ..Transcode::default()
        }),
    ];
    let request = MediaRequest::Convert(Convert {
        input: Personal::Erased,
        output: "out.mp4".parse().map_or(Personal::Erased, Personal::Clear),
        operations,
        overwrite: Overwrite::Fail,
    });
    let spec = Box::new(JobSpec {
        priority: Priority::High,
        metadata: Personal::Clear(BTreeMap::from([("a".to_owned(), "b".to_owned())])),
        not_before: Some(Timestamp::from_millis(5)),
        ..JobSpec::of(request)
    });
    let failure =
        || Failure { code: FailureCode::MediaCrashed, message: Personal::Clear("why".to_owned()) };
    let output = OutputFile {
        name: Personal::Clear("out.mp4".to_owned()),
        location: Personal::Clear("local://out.mp4".to_owned()),
        size: 7,
        sha256: "00".to_owned(),
        duration: Some(1.5),
        streams: vec![StreamSummary {
            kind: "video".to_owned(),
            codec: "h264".to_owned(),
            width: Some(640),
            height: Some(360),
            fps: Some(25.0),
            channels: None,
            sample_rate: None,
        }],
    };
    let text = |text: &str| text.to_owned();
    let retry_at = Some(Timestamp::from_millis(9));
    vec![
        ("job.submitted", JobEvent::Submitted { spec }),
        (
            "job.attempt_started",
            JobEvent::AttemptStarted {
                attempt: 1,
                worker: text("w"),
                pool: text("cpu"),
                device: None,
                waited: None,
            },
        ),
        (
            "job.attempt_failed",
            JobEvent::AttemptFailed { attempt: 1, failure: failure(), retry_at },
        ),
        (
            "job.attempt_abandoned",
            JobEvent::AttemptAbandoned { attempt: 1, reason: text("gone"), handed_back: false },
        ),
        ("job.cancel_requested", JobEvent::CancelRequested { attempt: 1 }),
        ("job.cancelled", JobEvent::Cancelled {}),
        (
            "job.outputs_sealed",
            JobEvent::OutputsSealed {
                attempt: 1,
                outputs: vec![output.clone()],
                result: None,
                spent: None,
            },
        ),
        ("job.completed", JobEvent::Completed { attempt: 1 }),
        ("job.failed", JobEvent::Failed { failure: failure(), dead_lettered: true }),
        ("job.retried", JobEvent::Retried { next_attempt: 2, lease: None }),
        ("job.outputs_expired", JobEvent::OutputsExpired {}),
        ("job.priority_changed", JobEvent::PriorityChanged { priority: Priority::Low }),
    ]
}

fn batches() -> Vec<(&'static str, BatchEvent)> {
    let job = JobId::from_uuid(Uuid::from_u128(7));
    let spec = JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Erased }));
    let events = ["batch.completed".to_owned()].into();
    let callback = Some(Callback { url: Personal::Clear("https://a".to_owned()), events });
    let spec = BatchSpec {
        name: Personal::Clear(Some("b".to_owned())),
        max_parallel: 5,
        callback,
        jobs: vec![BatchJob { id: job, spec }],
    };
    let status = BatchStatus::PartialSuccess;
    let counts = Counts { total: 2, completed: 1, failed: 1, ..Counts::default() };
    vec![
        ("batch.submitted", BatchEvent::Submitted { spec: Box::new(spec) }),
        ("batch.cancel_requested", BatchEvent::CancelRequested {}),
        ("batch.retried", BatchEvent::Retried { jobs: vec![job], lease: None }),
        ("batch.reopened", BatchEvent::Reopened {}),
        ("batch.ended", BatchEvent::Ended { round: 1, status, counts }),
    ]
}

fn hooks() -> Vec<(&'static str, HookEvent)> {
    let terms = || HookTerms {
        url: Personal::Clear("https://a".to_owned()),
        events: ["job.*".to_owned()].into(),
        description: Personal::Clear(None),
        concurrency: 4,
    };
    let old_until = Timestamp::from_millis(5);
    vec![
        ("webhook.created", HookEvent::Created { terms: terms() }),
        ("webhook.updated", HookEvent::Updated { terms: terms() }),
        ("webhook.secret_rotated", HookEvent::SecretRotated { secret: 2, old_until }),
        ("webhook.disabled", HookEvent::Disabled { by: DisabledBy::Gone }),
        ("webhook.enabled", HookEvent::Enabled {}),
        ("webhook.deleted", HookEvent::Deleted {}),
        ("webhook.tested", HookEvent::Tested {}),
        ("webhook.replay_asked", HookEvent::ReplayAsked { sequence: 4, index: 1 }),
    ]
}

fn presets() -> Vec<(&'static str, PresetEvent)> {
    let body = [("priority".to_owned(), "low".into())].into_iter().collect();
    let version = PresetVersion { version: 3, kind: "probe".to_owned(), body };
    vec![
        ("preset.defined", PresetEvent::Defined { version }),
        ("preset.deleted", PresetEvent::Deleted {}),
    ]
}

fn rooms() -> Vec<(&'static str, RoomEvent)> {
    let lease = LeaseId::from_uuid(Uuid::from_u128(9));
    vec![
        ("room.leased", RoomEvent::Leased { lease, places: 8, until: Timestamp::from_millis(5) }),
        ("room.returned", RoomEvent::Returned { lease, unspent: 3 }),
        ("room.freed", RoomEvent::Freed { over: 5, closed: vec![lease] }),
    ]
}

fn rings() -> Vec<(&'static str, RingEvent)> {
    let key = KeyId::from_uuid(Uuid::from_u128(1));
    let gone = [KeyId::from_uuid(Uuid::from_u128(2))].into();
    let (at, purpose) = (Timestamp::from_millis(5), ClaimPurpose::Extend);
    vec![("ring.claimed", RingEvent::Claimed { key, gone, at, purpose })]
}

fn accounts() -> Vec<(&'static str, AccountEvent)> {
    let terms = AccountTerms { tier: Some(Tier::Basic), ..AccountTerms::default() };
    vec![
        ("account.changed", AccountEvent::Changed { terms }),
        ("account.closing", AccountEvent::Closing {}),
        ("account.erased", AccountEvent::Erased {}),
        ("account.reopened", AccountEvent::Reopened {}),
    ]
}

fn keys() -> Vec<(&'static str, KeyEvent)> {
    let created = KeyEvent::Created {
        name: Personal::Clear("k".to_owned()),
        hash: "00".to_owned(),
        pepper_version: 1,
        scopes: [Scope::JobsRead].into(),
        description: None,
        terms: KeyTerms::default(),
        makers: vec![KeyId::from_uuid(Uuid::from_u128(1))],
        at: Timestamp::from_millis(5),
    };
    vec![("key.created", created)]
}

fn quotas() -> Vec<(&'static str, QuotaEvent)> {
    let job = JobId::from_uuid(Uuid::from_u128(7));
    let key = |n| KeyId::from_uuid(Uuid::from_u128(n));
    let reserved =
        QuotaEvent::Reserved { job, key: Some(key(2)), makers: vec![key(1)], micros: 60_000_000 };
    vec![
        ("quota.reserved", reserved),
        ("quota.settled", QuotaEvent::Settled { job, micros: 60_000_000 }),
    ]
}

fn hook_rings() -> Vec<(&'static str, HookRingEvent)> {
    let hook = HookId::from_uuid(Uuid::from_u128(1));
    let gone = [HookId::from_uuid(Uuid::from_u128(2))].into();
    let (digest, at, beside) =
        ("00".to_owned(), Timestamp::from_millis(5), ["01".to_owned()].into());
    vec![("hookring.claimed", HookRingEvent::Claimed { hook, digest, gone, at, beside })]
}

fn kept() -> Vec<(&'static str, KeptEvent)> {
    let thing = || "upload_1".to_owned();
    let until = Timestamp::from_millis(5);
    vec![
        ("kept.held", KeptEvent::Held { thing: thing(), bytes: 7, until }),
        ("kept.released", KeptEvent::Released { thing: thing() }),
        ("kept.counted", KeptEvent::Counted { bytes: 7, as_of: 3, closed: vec![thing()] }),
    ]
}

fn write<E: Serialize>(events: Vec<(&str, E)>) -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, event) in events {
        let bytes = rmp_serde::to_vec_named(&event)?;
        // The newest that is there; the next number if what is written today differs from it.
        let path = |version: u32| folder.join(format!("{name}.{version}.msgpack"));
        let newest = (1..=999).rev().find(|version| path(*version).exists()).unwrap_or(0);
        if newest == 0 || fs::read(path(newest))? != bytes {
            fs::write(path(newest.saturating_add(1)), bytes)?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    write(events())?;
    write(batches())?;
    write(hooks())?;
    write(presets())?;
    write(rooms())?;
    write(rings())?;
    write(accounts())?;
    write(keys())?;
    write(quotas())?;
    write(kept())?;
    write(hook_rings())
}
