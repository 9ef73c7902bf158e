//! Replays of webhooks, page by page.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ffapi_commands::Caller;
use ffapi_domain::{
    Personal, Tenant, Timestamp, WebhookId,
    webhook::{DisabledBy, Webhook, WebhookCommand, WebhookTerms},
};
use ffapi_projections::{Replays, Webhooks, delivery_queue};
use uuid::Uuid;

use crate::harness::{TestServers, tenant, until};

async fn command(servers: &TestServers, tenant: &Tenant, hook: WebhookId, command: WebhookCommand) {
    let (caller, id) = (Caller::process("test"), hook.to_string());
    servers.commands.handle::<Webhook>(tenant.as_str(), &id, &caller, command).await.unwrap();
}

/// Creates an endpoint that is subscribed to `job.queued`.
async fn create_hook(servers: &TestServers, tenant: &Tenant, number: u128) -> WebhookId {
    let id = WebhookId::from_uuid(Uuid::from_u128(number));
    let terms = WebhookTerms {
        url: Personal::Clear("https://example.com".to_owned()),
        events: BTreeSet::from(["job.queued".to_owned()]),
        description: Personal::Clear(None),
        concurrency: 1,
    };
    command(servers, tenant, id, WebhookCommand::Create { terms }).await;
    id
}

async fn pool(servers: &TestServers) -> sqlx::PgPool {
    sqlx::PgPool::connect(&servers.postgres.url()).await.unwrap()
}

async fn count(servers: &TestServers, sql: &'static str, hook: WebhookId) -> i64 {
    let count = sqlx::query_scalar(sql).bind(hook.to_string());
    count.fetch_one(&pool(servers).await).await.unwrap()
}

/// Number of due deliveries.
async fn due(servers: &TestServers, hook: WebhookId) -> i64 {
    count(servers, "SELECT count(*) FROM delivery WHERE hook_id = $1 AND state = 'due'", hook).await
}

/// Number of unfinished replays.
async fn open_replays(servers: &TestServers, hook: WebhookId) -> i64 {
    count(servers, "SELECT count(*) FROM replay WHERE hook_id = $1", hook).await
}

/// Marks all deliveries as delivered, and requests a replay of everything.
async fn replay_all(servers: &TestServers, tenant: &Tenant, hook: WebhookId) {
    servers.caught_up().await;
    let sent = sqlx::query("UPDATE delivery SET state = 'delivered' WHERE hook_id = $1");
    sent.bind(hook.to_string()).execute(&pool(servers).await).await.unwrap();
    command(servers, tenant, hook, WebhookCommand::Replay { sequence: 0, index: 0 }).await;
}

fn replays(servers: &TestServers) -> Replays {
    let (log, codec) = (servers.commands.log().clone(), servers.commands.codec().clone());
    Replays::new(servers.database.clone(), log, codec)
}

#[tokio::test]
async fn a_short_replay_does_not_wait_for_a_long_one_of_another_tenant() {
    let servers = TestServers::new().await;
    let _running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let (long, short) = (tenant("long"), tenant("short"));
    let (long_hook, short_hook) =
        (create_hook(&servers, &long, 1).await, create_hook(&servers, &short, 2).await);
    for n in 0..1_200 {
        servers.submit(n, &long).await;
    }
    servers.submit(5_000, &short).await;
    replay_all(&servers, &long, long_hook).await;
    let replays = replays(&servers);
    servers.caught_up().await;
    assert!(replays.step().await.unwrap());
    let first = due(&servers, long_hook).await;
    assert!((400..=500).contains(&first), "one page: {first}");
    replay_all(&servers, &short, short_hook).await;
    servers.caught_up().await;
    assert!(replays.step().await.unwrap());
    assert_eq!((due(&servers, short_hook).await, open_replays(&servers, short_hook).await), (1, 0));
    assert_eq!(due(&servers, long_hook).await, first, "it waits for its next turn");
    while replays.step().await.unwrap() {}
    assert_eq!(
        (due(&servers, long_hook).await, open_replays(&servers, long_hook).await),
        (1_200, 0)
    );
}

#[tokio::test]
async fn tenants_take_turns_regardless_of_their_number_of_endpoints() {
    let servers = TestServers::new().await;
    let _running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let (large, small) = (tenant("large"), tenant("small"));
    for number in 0..10 {
        create_hook(&servers, &large, number).await;
    }
    servers.submit(1, &large).await;
    servers.caught_up().await;
    create_hook(&servers, &small, 100).await;
    servers.submit(2, &small).await;
    servers.caught_up().await;
    let mut sender = delivery_queue::SenderSession::new(&servers.database, 1).await.unwrap();
    let mut held = BTreeMap::new();
    let mut take = async |most| {
        assert!(sender.holds().await);
        let lease = Duration::from_secs(90);
        let share = delivery_queue::Share { most, of_tenant: 4, held: &held, lease };
        let (database, codec) = (&servers.database, servers.commands.codec());
        let now = Timestamp::from_millis(u64::MAX >> 2);
        let taken = delivery_queue::claim(database, codec, &sender, now, share).await.unwrap();
        for endpoint in &taken {
            *held.entry(endpoint.view.tenant.clone()).or_default() += 1;
        }
        let mut tenants: Vec<String> =
            taken.iter().map(|endpoint| endpoint.view.tenant.to_string()).collect();
        tenants.sort();
        tenants
    };
    assert_eq!(take(2).await, ["large", "small"]);
    assert_eq!(take(8).await, ["large", "large", "large"], "never more than four of one");
    assert!(take(8).await.is_empty());
}

#[tokio::test]
async fn a_replay_to_a_disabled_endpoint_waits_and_is_merged_with_a_later_one() {
    let servers = TestServers::new().await;
    let _running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let acme = tenant("acme");
    let hook = create_hook(&servers, &acme, 1).await;
    for n in 0..3 {
        servers.submit(n, &acme).await;
    }
    replay_all(&servers, &acme, hook).await;
    let last = WebhookCommand::Replay { sequence: 1_000_000, index: 0 };
    command(&servers, &acme, hook, last).await;
    command(&servers, &acme, hook, WebhookCommand::Disable { by: DisabledBy::Owner }).await;
    servers.caught_up().await;
    let replays = replays(&servers);
    assert!(!replays.step().await.unwrap());
    assert_eq!((due(&servers, hook).await, open_replays(&servers, hook).await), (0, 1));
    command(&servers, &acme, hook, WebhookCommand::Enable).await;
    servers.caught_up().await;
    assert!(replays.step().await.unwrap());
    // The earlier of both positions is used.
    assert_eq!((due(&servers, hook).await, open_replays(&servers, hook).await), (3, 0));
}

#[tokio::test]
async fn a_replay_of_exactly_one_page_completes() {
    let servers = TestServers::new().await;
    let _running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let acme = tenant("acme");
    let hook = create_hook(&servers, &acme, 1).await;
    // 500 messages, including the one that created the endpoint.
    for n in 0..499 {
        servers.submit(n, &acme).await;
    }
    replay_all(&servers, &acme, hook).await;
    servers.caught_up().await;
    let replays = replays(&servers);
    assert!(replays.step().await.unwrap());
    assert_eq!(due(&servers, hook).await, 499);
    while replays.step().await.unwrap() {}
    assert_eq!((due(&servers, hook).await, open_replays(&servers, hook).await), (499, 0));
}

/// Sends a signal to the server of the log.
fn signal(servers: &TestServers, signal: &str) {
    let pid = servers.nats.pid().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// Sessions with an open transaction that does nothing.
async fn idle_transactions(servers: &TestServers) -> i64 {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
    );
    count.fetch_one(&pool(servers).await).await.unwrap()
}

#[tokio::test]
async fn no_transaction_is_open_while_a_replay_waits_for_the_log() {
    let servers = TestServers::new().await;
    let running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let acme = tenant("acme");
    let hook = create_hook(&servers, &acme, 1).await;
    servers.submit(1, &acme).await;
    replay_all(&servers, &acme, hook).await;
    servers.caught_up().await;
    running.stop().await.unwrap();
    signal(&servers, "-STOP");
    let replays = replays(&servers);
    let step = tokio::spawn(async move { replays.step().await });
    let locked = async || {
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted",
        );
        count.fetch_one(&pool(&servers).await).await.unwrap() == 1
    };
    until(locked).await;
    assert_eq!(idle_transactions(&servers).await, 0);
    assert!(!step.is_finished(), "it waits for the log");
    signal(&servers, "-CONT");
    assert!(step.await.unwrap().unwrap());
    assert_eq!((due(&servers, hook).await, open_replays(&servers, hook).await), (1, 0));
}

#[tokio::test]
async fn one_process_works_on_replays_and_another_one_takes_over() {
    let servers = TestServers::new().await;
    let _running = servers.run(Webhooks::new(servers.commands.log().clone()));
    let acme = tenant("acme");
    let hook = create_hook(&servers, &acme, 1).await;
    for n in 0..1_000 {
        servers.submit(n, &acme).await;
    }
    replay_all(&servers, &acme, hook).await;
    servers.caught_up().await;
    let (one, other) = (replays(&servers), replays(&servers));
    assert!(one.step().await.unwrap());
    assert!(!other.step().await.unwrap(), "the other one has the lock");
    drop(one);
    // The server releases the lock when it sees the end of the connection.
    until(async || other.step().await.unwrap()).await;
    while other.step().await.unwrap() {}
    assert_eq!((due(&servers, hook).await, open_replays(&servers, hook).await), (1_000, 0));
}

#[tokio::test]
async fn endpoints_that_were_deleted_are_not_read_again() {
    let servers = TestServers::new().await;
    let pool = pool(&servers).await;
    for (status, from, to) in [("deleted", 1, 5_000), ("enabled", 5_001, 5_003)] {
        let rows = sqlx::query(
            "INSERT INTO webhook (id, tenant, thing, status, sequence, doc)
             SELECT 'hook_' || n, 'acme', NULL, $1, n, '{}' FROM generate_series($2::int, $3::int) n",
        );
        rows.bind(status).bind(from).bind(to).execute(&pool).await.unwrap();
    }
    sqlx::query("ANALYZE webhook").execute(&pool).await.unwrap();
    for read in [
        "SELECT doc FROM webhook WHERE tenant = ANY(ARRAY['acme']) AND thing IS NULL AND status <> 'deleted'",
        "SELECT count(*) FROM webhook WHERE tenant = 'acme' AND thing IS NULL AND status <> 'deleted'",
        "SELECT doc FROM webhook WHERE tenant = 'acme' AND thing IS NULL AND status <> 'deleted' AND id > ''
         ORDER BY id LIMIT 50",
    ] {
        let plan = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN ANALYZE {read}")));
        let plan: Vec<String> = plan.fetch_all(&pool).await.unwrap();
        assert!(!plan.iter().any(|line| line.contains("Rows Removed")), "{plan:#?}");
    }
}
