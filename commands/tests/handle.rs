//! Commands against a real log: what many writers, stale folds and dead servers may do to them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ffapi_commands::{Caller, Commands, HandleError};
use ffapi_domain::{
    LeaseId, Personal, Timestamp,
    key::{Grant, Key, KeyCommand, KeyRejection, KeyState, KeyTerms, Scope},
    queue_quota::{QueueQuota, QueueQuotaCommand, QueueQuotaEvent},
};
use ffapi_embedded::{NatsServer, temporary_folder};
use ffapi_nats::{
    Actor, AppendRequest, Codec, Decision, Log, Nats, NatsConfig, Snapshot, Vault, topology,
};
use tempfile::TempDir;
use uuid::Uuid;

struct Bed {
    server: NatsServer,
    _folder: TempDir,
}

impl Bed {
    fn new() -> Self {
        let folder = temporary_folder().unwrap();
        let server = NatsServer::start(folder.path()).unwrap();
        Self { server, _folder: folder }
    }

    /// As another process would: its own connection and its own cache.
    async fn commands(&self) -> Commands {
        let nats = Nats::connect(&NatsConfig { url: self.server.url() }).await.unwrap();
        topology::apply(&nats).await.unwrap();
        let codec = Codec::new(Vault::open(&nats, &[1; 32]).await.unwrap());
        Commands::new(Log::open(nats).await.unwrap(), codec)
    }
}

fn caller() -> Caller {
    Caller::process("test")
}

fn revoke() -> KeyCommand {
    KeyCommand::Revoke { by: Grant::of_the_house() }
}

fn create() -> KeyCommand {
    KeyCommand::Create {
        name: Personal::Clear("first".to_owned()),
        hash: "00".to_owned(),
        pepper_version: 1,
        scopes: BTreeSet::from([Scope::Admin]),
        description: None,
        terms: KeyTerms::default(),
        by: Grant::of_the_house(),
        at: Timestamp::from_millis(1),
    }
}

#[tokio::test]
async fn a_command_answers_where_it_stands() {
    let bed = Bed::new();
    let commands = bed.commands().await;
    let handled = commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    assert_eq!((handled.version, handled.changed), (1, true));
    assert_eq!(handled.position.to_string(), "1-1-0");
    let history = commands.history::<Key>("acme", "k1").await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].1.tenant, "acme");
}

#[tokio::test]
async fn a_refusal_is_not_in_the_log() {
    let bed = Bed::new();
    let commands = bed.commands().await;
    let refused = commands.handle::<Key>("acme", "k1", &caller(), revoke()).await;
    assert!(matches!(refused, Err(HandleError::Rejected(KeyRejection::NotFound))));
    assert_eq!(commands.log().last_sequence().await.unwrap(), 0);
}

#[tokio::test]
async fn another_tenants_aggregate_is_an_empty_one() {
    let bed = Bed::new();
    let commands = bed.commands().await;
    commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    assert_eq!(commands.state::<Key>("other", "k1").await.unwrap(), KeyState::Unknown);
}

#[tokio::test]
async fn a_stale_fold_never_gives_the_answer() {
    let bed = Bed::new();
    let (one, two) = (bed.commands().await, bed.commands().await);
    one.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    two.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    // `one` still thinks the key is active.
    let again = one.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    assert_eq!((again.version, again.changed), (2, false));
    assert!(matches!(one.state::<Key>("acme", "k1").await.unwrap(), KeyState::Revoked(_)));
}

#[tokio::test]
async fn a_version_that_no_longer_holds_is_refused() {
    let bed = Bed::new();
    let commands = bed.commands().await;
    commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    let refused = commands.handle_if::<Key>("acme", "k1", &caller(), revoke(), Some(7)).await;
    assert!(matches!(refused, Err(HandleError::VersionMismatch(1))));
    commands.handle_if::<Key>("acme", "k1", &caller(), revoke(), Some(1)).await.unwrap();
}

#[tokio::test]
async fn many_processes_at_once_decide_as_if_one_after_the_other() {
    let bed = Bed::new();
    let mut processes = Vec::new();
    for _ in 0..6 {
        processes.push(bed.commands().await);
    }
    let caller = caller();
    let all = processes.iter().map(|p| p.handle::<Key>("acme", "k1", &caller, create()));
    let outcomes = futures::future::join_all(all).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(processes[0].history::<Key>("acme", "k1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn however_many_write_to_one_aggregate_at_once_all_get_their_turn() {
    let bed = Bed::new();
    let processes = [bed.commands().await, bed.commands().await];
    let caller = caller();
    let lease = |n: u128| QueueQuotaCommand::Lease {
        lease: LeaseId::from_uuid(Uuid::from_u128(n)),
        least: 1,
        most: 1,
        until: Timestamp::from_millis(9),
        limit: 200,
    };
    let all = (0..100).map(|n| {
        let process = &processes[usize::try_from(n % 2).unwrap()];
        process.handle::<QueueQuota>("acme", "acme", &caller, lease(n))
    });
    for outcome in futures::future::join_all(all).await {
        outcome.unwrap();
    }
}

fn lease(n: u128) -> QueueQuotaCommand {
    let until = Timestamp::from_millis(9);
    QueueQuotaCommand::Lease {
        lease: LeaseId::from_uuid(Uuid::from_u128(n)),
        least: 1,
        most: 1,
        until,
        limit: 9,
    }
}

#[tokio::test]
async fn what_never_ends_is_known_from_its_newest_message() {
    let bed = Bed::new();
    let (one, two) = (bed.commands().await, bed.commands().await);
    // Nobody can read what was before.
    let draft = AppendRequest {
        subject: "ev.room.acme.acme".to_owned(),
        expected: 0,
        command_id: Uuid::now_v7(),
        payload: "garbage".into(),
    };
    one.log().append(draft).await.unwrap();
    assert!(one.state::<QueueQuota>("acme", "acme").await.is_err());
    let stands = serde_json::json!({ "leased": 5, "returned": 1, "over": 2, "open": {} });
    let decision = Decision {
        command_id: Uuid::now_v7(),
        correlation_id: Uuid::now_v7(),
        causation: None,
        actor: Actor::Process("test".to_owned()),
        tenant: "acme".to_owned(),
        at: 0,
        traceparent: None,
        address: None,
        schema: 1,
        events: vec![QueueQuotaEvent::Freed { over: 2, closed: vec![] }],
        stands: Some(Snapshot { version: 7, state: stands }),
    };
    let draft = AppendRequest {
        subject: "ev.room.acme.acme".to_owned(),
        expected: 1,
        command_id: decision.command_id,
        payload: one.codec().encode(&decision).await.unwrap(),
    };
    one.log().append(draft).await.unwrap();
    assert_eq!(one.state::<QueueQuota>("acme", "acme").await.unwrap().taken(), 2);
    // And so on, for whoever comes next.
    let handled = one.handle::<QueueQuota>("acme", "acme", &caller(), lease(1)).await.unwrap();
    assert_eq!(handled.version, 8);
    let (state, sequence) = two.state_at::<QueueQuota>("acme", "acme").await.unwrap();
    assert_eq!((state, sequence), (one.state::<QueueQuota>("acme", "acme").await.unwrap(), 3));
}
