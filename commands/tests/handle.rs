//! Commands against a real log: concurrent writers, stale folds and crashed servers.

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

struct TestServer {
    server: NatsServer,
    _folder: TempDir,
}

impl TestServer {
    fn new() -> Self {
        let folder = temporary_folder().unwrap();
        let server = NatsServer::start(folder.path()).unwrap();
        Self { server, _folder: folder }
    }

    /// Simulates another process: a separate connection and cache.
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
    KeyCommand::Revoke { by: Grant::unrestricted() }
}

fn create() -> KeyCommand {
    KeyCommand::Create {
        name: Personal::Clear("first".to_owned()),
        hash: "00".to_owned(),
        pepper_version: 1,
        scopes: BTreeSet::from([Scope::Admin]),
        description: None,
        terms: KeyTerms::default(),
        by: Grant::unrestricted(),
        at: Timestamp::from_millis(1),
    }
}

#[tokio::test]
async fn a_command_returns_position_and_version() {
    let test_server = TestServer::new();
    let commands = test_server.commands().await;
    let handled = commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    assert_eq!((handled.version, handled.changed()), (1, true));
    assert_eq!(handled.position.to_string(), "1-1-0");
    let history = commands.history::<Key>("acme", "k1").await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].1.tenant, "acme");
}

/// A creator of answers can fold them from outcomes: they are what a reader of the log finds.
#[tokio::test]
async fn an_outcome_is_what_the_log_holds_afterwards() {
    let test_server = TestServer::new();
    let commands = test_server.commands().await;
    let created = commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    let revoked = commands.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    let again = commands.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    assert_eq!(again.appended, None);
    assert_eq!(again.position.sequence, revoked.position.sequence);
    let reader = test_server.commands().await;
    let state = reader.state::<Key>("acme", "k1").await.unwrap();
    assert_eq!((&revoked.state, &again.state), (&state, &state));
    assert!(matches!(created.state, KeyState::Active(_)));
    let history = reader.history::<Key>("acme", "k1").await.unwrap();
    let [created, revoked] =
        [created, revoked].map(|outcome| (outcome.position.sequence, outcome.appended.unwrap()));
    assert_eq!((created.1.previous, revoked.1.previous), (0, created.0));
    assert_eq!(history, [(created.0, created.1.decision), (revoked.0, revoked.1.decision)]);
}

#[tokio::test]
async fn a_rejection_is_not_appended_to_the_log() {
    let test_server = TestServer::new();
    let commands = test_server.commands().await;
    let rejected = commands.handle::<Key>("acme", "k1", &caller(), revoke()).await;
    assert!(matches!(rejected, Err(HandleError::Rejected(KeyRejection::NotFound))));
    assert_eq!(commands.log().last_sequence().await.unwrap(), 0);
}

#[tokio::test]
async fn another_tenants_aggregate_is_empty() {
    let test_server = TestServer::new();
    let commands = test_server.commands().await;
    commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    assert_eq!(commands.state::<Key>("other", "k1").await.unwrap(), KeyState::Unknown);
}

#[tokio::test]
async fn a_stale_fold_is_refreshed_before_it_decides() {
    let test_server = TestServer::new();
    let (one, two) = (test_server.commands().await, test_server.commands().await);
    one.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    two.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    // `one` still has the key as active in its cache.
    let again = one.handle::<Key>("acme", "k1", &caller(), revoke()).await.unwrap();
    assert_eq!((again.version, again.changed()), (2, false));
    assert!(matches!(one.state::<Key>("acme", "k1").await.unwrap(), KeyState::Revoked(_)));
}

#[tokio::test]
async fn an_outdated_version_is_rejected() {
    let test_server = TestServer::new();
    let commands = test_server.commands().await;
    commands.handle::<Key>("acme", "k1", &caller(), create()).await.unwrap();
    let rejected = commands.handle_if::<Key>("acme", "k1", &caller(), revoke(), Some(7)).await;
    assert!(matches!(rejected, Err(HandleError::VersionMismatch(1))));
    commands.handle_if::<Key>("acme", "k1", &caller(), revoke(), Some(1)).await.unwrap();
}

#[tokio::test]
async fn concurrent_processes_decide_serially() {
    let test_server = TestServer::new();
    let mut processes = Vec::new();
    for _ in 0..6 {
        processes.push(test_server.commands().await);
    }
    let caller = caller();
    let all = processes.iter().map(|p| p.handle::<Key>("acme", "k1", &caller, create()));
    let outcomes = futures::future::join_all(all).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(processes[0].history::<Key>("acme", "k1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn all_concurrent_writers_to_one_aggregate_succeed() {
    let test_server = TestServer::new();
    let processes = [test_server.commands().await, test_server.commands().await];
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
async fn state_is_loaded_from_the_newest_snapshot() {
    let test_server = TestServer::new();
    let (one, two) = (test_server.commands().await, test_server.commands().await);
    // The first message cannot be decoded, so only the snapshot can be used.
    let request = AppendRequest {
        subject: "ev.room.acme.acme".to_owned(),
        expected: 0,
        command_id: Uuid::now_v7(),
        payload: "garbage".into(),
    };
    one.log().append(request).await.unwrap();
    assert!(one.state::<QueueQuota>("acme", "acme").await.is_err());
    let snapshot = serde_json::json!({ "leased": 5, "returned": 1, "over": 2, "open": {} });
    let actor = Actor::Process("test".to_owned());
    let events = vec![QueueQuotaEvent::Freed { over: 2, closed: vec![] }];
    let mut decision = Decision::new(Uuid::now_v7(), actor, "acme", 0, events);
    decision.snapshot = Some(Snapshot { version: 7, state: snapshot });
    let request = AppendRequest {
        subject: "ev.room.acme.acme".to_owned(),
        expected: 1,
        command_id: decision.command_id,
        payload: one.codec().encode(&decision).await.unwrap(),
    };
    one.log().append(request).await.unwrap();
    assert_eq!(one.state::<QueueQuota>("acme", "acme").await.unwrap().taken(), 2);
    // The next command continues from that snapshot.
    let handled = one.handle::<QueueQuota>("acme", "acme", &caller(), lease(1)).await.unwrap();
    assert_eq!(handled.version, 8);
    let (state, sequence) = two.state_at::<QueueQuota>("acme", "acme").await.unwrap();
    assert_eq!((state, sequence), (one.state::<QueueQuota>("acme", "acme").await.unwrap(), 3));
}
