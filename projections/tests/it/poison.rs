//! What nobody can read and no table can hold, at every place where a projector meets it: it stops nothing
//! but its own aggregate, and nothing that stood in it is kept.

use ffapi_commands::Caller;
use ffapi_domain::{
    BatchId, Decider, Personal, Tenant,
    account::Account,
    batch::{Batch, BatchCommand, BatchJob, BatchSpec},
    job::{Job, JobCommand, JobSpec},
    key::{Grant, Key, KeyCommand, KeyTerms, Scope},
    media::{MediaRequest, Operation, Probe, SubtitleMode, Subtitles},
    preset::{Preset, PresetCommand},
};
use ffapi_nats::Codec;
use ffapi_projections::{
    Archive, AuditDecisions, BatchList, JobDetail, JobList, Presets, Projection, Queue, Webhooks,
    job_detail,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Bed, job, spec, tenant};

/// In what no error text may quote.
const SECRET: &str = "Zaphod-Beeblebrox";

/// What no decision can be read from, with something personal in it.
fn garbage() -> Vec<u8> {
    let mut bytes = b"\x82\xa6tenant\xa4acme\xa4what".to_vec();
    bytes.push(0xa0 | u8::try_from(SECRET.len()).unwrap());
    bytes.extend(SECRET.as_bytes());
    bytes
}

/// A decision that names its tenant and its command, and whose event nobody knows.
async fn unknown(codec: &Codec, of: &str) -> Vec<u8> {
    let id = Uuid::now_v7();
    let decision = ffapi_nats::Decision {
        command_id: id,
        correlation_id: id,
        causation: None,
        actor: ffapi_nats::Actor::Process("test".to_owned()),
        tenant: of.to_owned(),
        at: 1,
        traceparent: None,
        address: None,
        schema: 1,
        events: vec![json!({ SECRET: SECRET })],
        stands: None,
    };
    codec.encode(&decision).await.unwrap().to_vec()
}

impl Bed {
    async fn run_everything(&self) {
        self.run_all();
        self.run(BatchList);
        self.run(Presets);
        self.run(AuditDecisions);
        self.run(Webhooks::new(self.commands.log().clone()));
    }

    async fn all_equal_their_rebuild(&self) {
        self.rebuilt_equals_served(JobDetail).await;
        self.rebuilt_equals_served(JobList).await;
        self.rebuilt_equals_served(Queue).await;
        self.rebuilt_equals_served(BatchList).await;
        self.rebuilt_equals_served(Presets).await;
        self.rebuilt_equals_served(AuditDecisions).await;
        self.rebuilt_equals_served(Archive).await;
    }

    async fn give<D: Decider>(&self, of: &Tenant, id: &str, command: D::Command)
    where
        D::Event: serde::Serialize + serde::de::DeserializeOwned,
        D::State: Clone + 'static,
    {
        let caller = Caller::process("test");
        self.commands.handle::<D>(of.as_str(), id, &caller, command).await.unwrap();
    }

    async fn shown(&self, of: &Tenant, number: u128) -> Option<serde_json::Value> {
        let found = job_detail::find(&self.database, of, job(number)).await.unwrap();
        found.map(|(job, _)| serde_json::to_value(job).unwrap())
    }
}

#[tokio::test]
async fn whatever_an_event_holds_a_row_can_hold_and_a_rebuild_holds_the_same() {
    let bed = Bed::new().await;
    bed.run_everything().await;
    let acme = tenant("acme");
    let labels = [("a\0b".to_owned(), format!("{SECRET}\0"))].into();
    let mut bad = JobSpec { metadata: Personal::Clear(labels), ..*spec() };
    if let MediaRequest::Convert(convert) = &mut bad.request {
        let language = Some("a\0b".to_owned());
        let mode = SubtitleMode::Sidecar;
        convert.operations.push(Operation::Subtitles(Subtitles { input: None, mode, language }));
    }
    bed.tell(job(1), &acme, JobCommand::Submit { spec: Box::new(bad.clone()) }).await;
    bed.tell(job(1), &acme, JobCommand::Cancel).await;
    let id = BatchId::from_uuid(Uuid::from_u128(7));
    let batch = BatchSpec {
        name: Personal::Clear(Some("a\0b".to_owned())),
        max_parallel: 1,
        callback: None,
        jobs: vec![BatchJob { id: job(2), spec: bad }],
    };
    bed.give::<Batch>(&acme, &id.to_string(), BatchCommand::Submit { spec: Box::new(batch) }).await;
    let deep = (0..120).fold(json!("a\0b"), |inner, _| json!([inner]));
    let body = [("a\0".to_owned(), deep)].into_iter().collect();
    bed.give::<Preset>(&acme, "web", PresetCommand::Define { kind: "con\0vert".to_owned(), body })
        .await;
    let key = ffapi_domain::KeyId::from_uuid(Uuid::from_u128(9));
    let create = KeyCommand::Create {
        name: Personal::Clear("a\0b".to_owned()),
        description: Some(Personal::Clear("a\0b".to_owned())),
        hash: "\0".to_owned(),
        pepper_version: 1,
        scopes: [Scope::JobsRead].into(),
        terms: KeyTerms::default(),
        by: Grant::of_the_house(),
        at: ffapi_domain::Timestamp::from_millis(1),
    };
    bed.give::<Key>(&acme, &key.to_string(), create).await;
    bed.caught_up().await;
    assert_eq!(bed.parked().await, []);
    let shown = bed.shown(&acme, 1).await.unwrap();
    assert!(shown.to_string().contains("a\u{fffd}b"), "{shown:#}");
    bed.all_equal_their_rebuild().await;

    bed.erase(&acme).await;
    bed.submit(3, &tenant("other")).await;
    bed.caught_up().await;
    let shown = bed.shown(&acme, 1).await.unwrap();
    assert!(!shown.to_string().contains(SECRET), "{shown:#}");
    assert!(bed.shown(&tenant("other"), 3).await.is_some());
    bed.all_equal_their_rebuild().await;
}

/// Names that a message may have, whatever is in it.
fn places(of: &Tenant) -> Vec<String> {
    vec![
        format!("ev.{}.{of}.{}", Job::CATEGORY, job(50)),
        format!("ev.{}.{of}.no-job", Job::CATEGORY),
        format!("ev.{}.{of}.no-batch", Batch::CATEGORY),
        format!("ev.{}.{of}.{}", Batch::CATEGORY, BatchId::from_uuid(Uuid::from_u128(50))),
        format!("ev.{}.{of}.web", Preset::CATEGORY),
        format!("ev.{}.{of}.key_1", Key::CATEGORY),
        format!("ev.{}.{of}.{of}", Account::CATEGORY),
        format!("ev.hook.{of}.hook_1"),
        format!("ev.nothing.{of}.1"),
    ]
}

#[tokio::test]
async fn a_message_that_cannot_be_read_stops_no_projector_no_erasure_and_no_rebuild() {
    let bed = Bed::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    bed.submit(1, &acme).await;
    for bytes in [garbage(), unknown(bed.commands.codec(), "acme").await, unknown_tenant()] {
        for subject in places(&acme) {
            bed.append(&subject, &bytes).await;
        }
    }
    // In the middle of a job's life: what came before it stays as it was.
    bed.append(&format!("ev.{}.{acme}.{}", Job::CATEGORY, job(1)), &garbage()).await;
    bed.submit(2, &other).await;
    bed.run_everything().await;
    bed.caught_up().await;
    assert!(bed.shown(&other, 2).await.is_some());
    assert!(bed.shown(&acme, 1).await.is_some());
    let parked = bed.parked().await;
    assert!(!parked.is_empty());
    for (name, sequence, error) in &parked {
        assert!(!error.contains(SECRET), "{name} {sequence}: {error}");
        assert!(
            ["it cannot be read", "an earlier one of its aggregate is parked"]
                .contains(&error.as_str())
                || error.starts_with("its subject names no"),
            "{name} {sequence}: {error}"
        );
    }
    bed.all_equal_their_rebuild().await;

    // An account that nobody can read cannot be told that it is erased; its neighbour can.
    let third = tenant("third");
    bed.submit(3, &third).await;
    let subject = format!("ev.{}.{third}.{}", Job::CATEGORY, job(3));
    bed.append(&subject, &garbage()).await;
    bed.append(&format!("ev.{}.{third}.no-job", Job::CATEGORY), &garbage()).await;
    bed.erase(&third).await;
    bed.submit(4, &other).await;
    bed.caught_up().await;
    assert!(bed.shown(&other, 4).await.is_some());
    let shown = bed.shown(&third, 3).await.unwrap();
    assert_eq!(shown["summary"]["metadata"], json!(null), "{shown:#}");
    bed.all_equal_their_rebuild().await;
}

/// A decision of a tenant whose name no key store takes: looking for its key would never end.
fn unknown_tenant() -> Vec<u8> {
    let mut bytes = b"\x82\xa6tenant\xa3a b\xaacommand_id\xc4\x10".to_vec();
    bytes.extend([0; 16]);
    bytes
}

#[tokio::test]
async fn what_the_database_refuses_is_parked_alone_and_an_erasure_tries_it_again() {
    let bed = Bed::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    // It takes no probes, and says what it refused in words that hold the row.
    sqlx::query("ALTER TABLE job_list ADD CONSTRAINT films CHECK (kind <> 'probe')")
        .execute(&bed.pool().await)
        .await
        .unwrap();
    let probe = JobSpec::of(MediaRequest::Probe(Probe {
        input: Personal::Clear(format!("{SECRET}.mp4").parse().unwrap()),
    }));
    for n in 1..=3 {
        bed.submit(n, &acme).await;
    }
    bed.tell(job(4), &acme, JobCommand::Submit { spec: Box::new(probe) }).await;
    bed.tell(job(4), &acme, JobCommand::Cancel).await;
    bed.submit(5, &other).await;
    bed.run_all();
    bed.caught_up().await;
    let refused = [
        ("job_list".to_owned(), 4, "the database cannot hold it (23514)".to_owned()),
        ("job_list".to_owned(), 5, "an earlier one of its aggregate is parked".to_owned()),
    ];
    assert_eq!(bed.parked().await, refused);
    bed.rebuilt_equals_served(JobList).await;

    // Still refused, it is parked anew; no longer refused, it is there.
    bed.erase(&acme).await;
    bed.submit(6, &other).await;
    bed.caught_up().await;
    assert_eq!(bed.parked().await, refused);
    sqlx::query("ALTER TABLE job_list DROP CONSTRAINT films")
        .execute(&bed.pool().await)
        .await
        .unwrap();
    bed.rebuilt_equals_parked_as_well(JobList).await;
    for (of, n) in [(&acme, 1), (&acme, 4), (&other, 5), (&other, 6)] {
        assert!(bed.shown(of, n).await.is_some(), "{of} {n}");
    }
}

impl Bed {
    /// Rebuilt, it holds what was parked as well.
    async fn rebuilt_equals_parked_as_well<P: Projection>(&self, projection: P) {
        let rebuild = self.rebuild(projection).await;
        rebuild.catch_up().await.unwrap();
        assert_eq!(rebuild.differences().await.unwrap(), 1, "the row that was parked");
        rebuild.switch().await.unwrap();
        let parked = self.parked().await;
        assert!(parked.iter().all(|(name, ..)| name != P::NAME), "{parked:?}");
    }
}

#[tokio::test]
async fn what_an_earlier_version_parked_is_made_anew_by_an_erasure() {
    let bed = Bed::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    bed.submit(1, &acme).await;
    bed.submit(2, &other).await;
    let parked = "INSERT INTO projection_parked (name, sequence, subject, error)
                  VALUES ('job_detail', 1, $1, $2), ('job_list', 1, $1, $2)";
    sqlx::query(parked)
        .bind(format!("ev.{}.{acme}.{}", Job::CATEGORY, job(1)))
        .bind(SECRET)
        .execute(&bed.pool().await)
        .await
        .unwrap();
    bed.run_all();
    bed.caught_up().await;
    assert!(bed.shown(&acme, 1).await.is_none());
    bed.erase(&acme).await;
    bed.caught_up().await;
    assert_eq!(bed.parked().await, []);
    assert!(bed.shown(&acme, 1).await.is_some() && bed.shown(&other, 2).await.is_some());
    bed.rebuilt_equals_served(JobDetail).await;
    bed.rebuilt_equals_served(JobList).await;
}
