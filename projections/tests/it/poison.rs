//! Messages that cannot be decoded and values that no table can store, on every kind of subject:
//! they block only their own aggregate, and nothing of their contents is stored.

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
    Archive, AuditDecisions, BatchList, JobDetail, JobList, Presets, Projection, Queue, Uploads,
    Usage, Webhooks, job_detail,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{TestServers, job, spec, tenant, until};

/// Part of contents that no error text may quote.
const SECRET: &str = "Zaphod-Beeblebrox";

/// Bytes that are not a decision, with personal data in them.
fn garbage() -> Vec<u8> {
    let mut bytes = b"\x82\xa6tenant\xa4acme\xa4what".to_vec();
    bytes.push(0xa0 | u8::try_from(SECRET.len()).unwrap());
    bytes.extend(SECRET.as_bytes());
    bytes
}

/// A decision with a valid tenant and command id, but an unknown event.
async fn unknown_event(codec: &Codec, tenant: &str) -> Vec<u8> {
    let actor = ffapi_nats::Actor::Process("test".to_owned());
    let events = vec![json!({ SECRET: SECRET })];
    let decision = ffapi_nats::Decision::new(Uuid::now_v7(), actor, tenant, 1, events);
    codec.encode(&decision).await.unwrap().to_vec()
}

impl TestServers {
    async fn run_everything(&self) {
        self.run_all();
        self.run(BatchList);
        self.run(Presets);
        self.run(Uploads);
        self.run(Usage);
        self.run(AuditDecisions);
        self.run(Webhooks::new(self.commands.log().clone()));
    }

    async fn all_equal_their_rebuild(&self) {
        self.rebuilt_equals_served(JobDetail).await;
        self.rebuilt_equals_served(JobList).await;
        self.rebuilt_equals_served(Queue).await;
        self.rebuilt_equals_served(BatchList).await;
        self.rebuilt_equals_served(Presets).await;
        self.rebuilt_equals_served(Uploads).await;
        self.rebuilt_equals_served(Usage).await;
        self.rebuilt_equals_served(AuditDecisions).await;
        self.rebuilt_equals_served(Archive).await;
    }

    async fn command<D: Decider>(&self, tenant: &Tenant, id: &str, command: D::Command)
    where
        D::Event: serde::Serialize + serde::de::DeserializeOwned,
        D::State: Clone + 'static,
    {
        let caller = Caller::process("test");
        self.commands.handle::<D>(tenant.as_str(), id, &caller, command).await.unwrap();
    }

    async fn job_json(&self, tenant: &Tenant, number: u128) -> Option<serde_json::Value> {
        let found = job_detail::find(&self.database, tenant, job(number)).await.unwrap();
        found.map(|(job, _)| serde_json::to_value(job).unwrap())
    }
}

/// The list of jobs, which panics on one job.
struct Panicking {
    on: String,
}

impl Projection for Panicking {
    type Prepared = ();

    const NAME: &'static str = JobList::NAME;
    const TABLES: &'static [&'static str] = JobList::TABLES;

    async fn apply(
        &self,
        transaction: &mut sqlx::PgConnection,
        codec: &Codec,
        batch: &[ffapi_nats::Message],
        _prepared: &(),
    ) -> Result<(), ffapi_projections::ProjectionError> {
        let is_met = batch.iter().any(|message| message.subject.ends_with(&self.on));
        assert!(!is_met, "a fault of the read model");
        JobList.apply(transaction, codec, batch, &()).await
    }
}

#[tokio::test]
async fn a_message_on_which_a_read_model_panics_is_parked_and_the_rest_is_applied() {
    let servers = TestServers::new().await;
    let acme = tenant("acme");
    for number in 1..=3 {
        servers.submit(number, &acme).await;
    }
    let _running = servers.run(Panicking { on: job(2).to_string() });
    let listed = async || {
        let filter = ffapi_projections::job_list::Filter::default();
        let jobs = ffapi_projections::job_list::page(&servers.database, &acme, &filter, 9).await;
        jobs.unwrap().into_iter().map(|job| job.id).collect::<Vec<_>>() == [job(3), job(1)]
    };
    until(listed).await;
    let parked = servers.parked().await;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(parked[0].2, "the read model panics on it");
}

#[tokio::test]
async fn any_event_value_can_be_stored_and_a_rebuild_stores_the_same() {
    let servers = TestServers::new().await;
    servers.run_everything().await;
    let acme = tenant("acme");
    let labels = [("a\0b".to_owned(), format!("{SECRET}\0"))].into();
    let mut bad = JobSpec { metadata: Personal::Clear(labels), ..*spec() };
    if let MediaRequest::Convert(convert) = &mut bad.request {
        let language = Some("a\0b".to_owned());
        let mode = SubtitleMode::Sidecar;
        convert.operations.push(Operation::Subtitles(Subtitles { input: None, mode, language }));
    }
    servers.handle(job(1), &acme, JobCommand::Submit { spec: Box::new(bad.clone()) }).await;
    servers.handle(job(1), &acme, JobCommand::Cancel).await;
    let id = BatchId::from_uuid(Uuid::from_u128(7));
    let batch = BatchSpec {
        name: Personal::Clear(Some("a\0b".to_owned())),
        max_parallel: 1,
        callback: None,
        jobs: vec![BatchJob { id: job(2), spec: bad }],
    };
    servers
        .command::<Batch>(&acme, &id.to_string(), BatchCommand::Submit { spec: Box::new(batch) })
        .await;
    let deep = (0..120).fold(json!("a\0b"), |inner, _| json!([inner]));
    let body = [("a\0".to_owned(), deep)].into_iter().collect();
    servers
        .command::<Preset>(
            &acme,
            "web",
            PresetCommand::Define { kind: "con\0vert".to_owned(), body },
        )
        .await;
    let key = ffapi_domain::KeyId::from_uuid(Uuid::from_u128(9));
    let create = KeyCommand::Create {
        name: Personal::Clear("a\0b".to_owned()),
        description: Some(Personal::Clear("a\0b".to_owned())),
        hash: "\0".to_owned(),
        pepper_version: 1,
        scopes: [Scope::JobsRead].into(),
        terms: KeyTerms::default(),
        by: Grant::unrestricted(),
        at: ffapi_domain::Timestamp::from_millis(1),
    };
    servers.command::<Key>(&acme, &key.to_string(), create).await;
    servers.caught_up().await;
    assert_eq!(servers.parked().await, []);
    let shown = servers.job_json(&acme, 1).await.unwrap();
    assert!(shown.to_string().contains("a\u{fffd}b"), "{shown:#}");
    servers.all_equal_their_rebuild().await;

    servers.erase(&acme).await;
    servers.submit(3, &tenant("other")).await;
    servers.caught_up().await;
    let shown = servers.job_json(&acme, 1).await.unwrap();
    assert!(!shown.to_string().contains(SECRET), "{shown:#}");
    assert!(servers.job_json(&tenant("other"), 3).await.is_some());
    servers.all_equal_their_rebuild().await;
}

/// Subjects of all kinds of aggregates, valid and invalid.
fn subjects(tenant: &Tenant) -> Vec<String> {
    vec![
        format!("ev.{}.{tenant}.{}", Job::CATEGORY, job(50)),
        format!("ev.{}.{tenant}.no-job", Job::CATEGORY),
        format!("ev.{}.{tenant}.no-batch", Batch::CATEGORY),
        format!("ev.{}.{tenant}.{}", Batch::CATEGORY, BatchId::from_uuid(Uuid::from_u128(50))),
        format!("ev.{}.{tenant}.web", Preset::CATEGORY),
        format!("ev.{}.{tenant}.key_1", Key::CATEGORY),
        format!("ev.{}.{tenant}.{tenant}", Account::CATEGORY),
        format!("ev.hook.{tenant}.hook_1"),
        format!("ev.nothing.{tenant}.1"),
    ]
}

#[tokio::test]
async fn an_unreadable_message_blocks_no_projector_no_erasure_and_no_rebuild() {
    let servers = TestServers::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    servers.submit(1, &acme).await;
    for bytes in
        [garbage(), unknown_event(servers.commands.codec(), "acme").await, unknown_tenant()]
    {
        for subject in subjects(&acme) {
            servers.append(&subject, &bytes).await;
        }
    }
    // After valid messages of a job: their effects stay.
    servers.append(&format!("ev.{}.{acme}.{}", Job::CATEGORY, job(1)), &garbage()).await;
    servers.submit(2, &other).await;
    servers.run_everything().await;
    servers.caught_up().await;
    assert!(servers.job_json(&other, 2).await.is_some());
    assert!(servers.job_json(&acme, 1).await.is_some());
    let parked = servers.parked().await;
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
    servers.all_equal_their_rebuild().await;

    // The account with unreadable messages cannot be erased; another tenant can.
    let third = tenant("third");
    servers.submit(3, &third).await;
    let subject = format!("ev.{}.{third}.{}", Job::CATEGORY, job(3));
    servers.append(&subject, &garbage()).await;
    servers.append(&format!("ev.{}.{third}.no-job", Job::CATEGORY), &garbage()).await;
    servers.erase(&third).await;
    servers.submit(4, &other).await;
    servers.caught_up().await;
    assert!(servers.job_json(&other, 4).await.is_some());
    let shown = servers.job_json(&third, 3).await.unwrap();
    assert_eq!(shown["summary"]["metadata"], json!(null), "{shown:#}");
    servers.all_equal_their_rebuild().await;
}

/// A decision with a tenant name that is not valid in the key store: a lookup would never succeed.
fn unknown_tenant() -> Vec<u8> {
    let mut bytes = b"\x82\xa6tenant\xa3a b\xaacommand_id\xc4\x10".to_vec();
    bytes.extend([0; 16]);
    bytes
}

#[tokio::test]
async fn a_row_rejected_by_the_database_parks_only_its_job_and_is_retried_by_an_erasure() {
    let servers = TestServers::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    // The constraint rejects probes, and its error message contains the row.
    sqlx::query("ALTER TABLE job_list ADD CONSTRAINT no_probes CHECK (kind <> 'probe')")
        .execute(&servers.pool().await)
        .await
        .unwrap();
    let probe = JobSpec::of(MediaRequest::Probe(Probe {
        input: Personal::Clear(format!("{SECRET}.mp4").parse().unwrap()),
    }));
    for n in 1..=3 {
        servers.submit(n, &acme).await;
    }
    servers.handle(job(4), &acme, JobCommand::Submit { spec: Box::new(probe) }).await;
    servers.handle(job(4), &acme, JobCommand::Cancel).await;
    servers.submit(5, &other).await;
    servers.run_all();
    servers.caught_up().await;
    let rejected = [
        ("job_list".to_owned(), 4, "the database cannot hold it (23514)".to_owned()),
        ("job_list".to_owned(), 5, "an earlier one of its aggregate is parked".to_owned()),
    ];
    assert_eq!(servers.parked().await, rejected);
    servers.rebuilt_equals_served(JobList).await;

    // Still rejected, it is parked again; no longer rejected, it is stored.
    servers.erase(&acme).await;
    servers.submit(6, &other).await;
    servers.caught_up().await;
    assert_eq!(servers.parked().await, rejected);
    sqlx::query("ALTER TABLE job_list DROP CONSTRAINT no_probes")
        .execute(&servers.pool().await)
        .await
        .unwrap();
    servers.rebuild_contains_parked(JobList).await;
    for (tenant, n) in [(&acme, 1), (&acme, 4), (&other, 5), (&other, 6)] {
        assert!(servers.job_json(tenant, n).await.is_some(), "{tenant} {n}");
    }
}

impl TestServers {
    /// Rebuilds a read model, which then also contains the parked job.
    async fn rebuild_contains_parked<P: Projection>(&self, projection: P) {
        let rebuild = self.rebuild(projection).await;
        rebuild.catch_up().await.unwrap();
        assert_eq!(rebuild.differences().await.unwrap(), 1, "the row that was parked");
        rebuild.switch().await.unwrap();
        let parked = self.parked().await;
        assert!(parked.iter().all(|(name, ..)| name != P::NAME), "{parked:?}");
    }
}

#[tokio::test]
async fn messages_parked_by_an_earlier_version_are_retried_by_an_erasure() {
    let servers = TestServers::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    servers.submit(1, &acme).await;
    servers.submit(2, &other).await;
    let parked = "INSERT INTO projection_parked (name, sequence, subject, error)
                  VALUES ('job_detail', 1, $1, $2), ('job_list', 1, $1, $2)";
    sqlx::query(parked)
        .bind(format!("ev.{}.{acme}.{}", Job::CATEGORY, job(1)))
        .bind(SECRET)
        .execute(&servers.pool().await)
        .await
        .unwrap();
    servers.run_all();
    servers.caught_up().await;
    assert!(servers.job_json(&acme, 1).await.is_none());
    servers.erase(&acme).await;
    servers.caught_up().await;
    assert_eq!(servers.parked().await, []);
    assert!(
        servers.job_json(&acme, 1).await.is_some() && servers.job_json(&other, 2).await.is_some()
    );
    servers.rebuilt_equals_served(JobDetail).await;
    servers.rebuilt_equals_served(JobList).await;
}
