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
use ffapi_projections::{Replays, Webhooks, webhooks};
use uuid::Uuid;

use crate::harness::{Bed, tenant};

async fn give(bed: &Bed, of: &Tenant, hook: WebhookId, command: WebhookCommand) {
    let (caller, id) = (Caller::process("test"), hook.to_string());
    bed.commands.handle::<Webhook>(of.as_str(), &id, &caller, command).await.unwrap();
}

/// An endpoint that wants to be told of every job.
async fn hook(bed: &Bed, of: &Tenant, number: u128) -> WebhookId {
    let id = WebhookId::from_uuid(Uuid::from_u128(number));
    let terms = WebhookTerms {
        url: Personal::Clear("https://example.com".to_owned()),
        events: BTreeSet::from(["job.queued".to_owned()]),
        description: Personal::Clear(None),
        concurrency: 1,
    };
    give(bed, of, id, WebhookCommand::Create { terms }).await;
    id
}

async fn pool(bed: &Bed) -> sqlx::PgPool {
    sqlx::PgPool::connect(&bed.postgres.url()).await.unwrap()
}

async fn count(bed: &Bed, sql: &'static str, hook: WebhookId) -> i64 {
    let count = sqlx::query_scalar(sql).bind(hook.to_string());
    count.fetch_one(&pool(bed).await).await.unwrap()
}

async fn due(bed: &Bed, hook: WebhookId) -> i64 {
    count(bed, "SELECT count(*) FROM delivery WHERE hook_id = $1 AND state = 'due'", hook).await
}

async fn open(bed: &Bed, hook: WebhookId) -> i64 {
    count(bed, "SELECT count(*) FROM replay WHERE hook_id = $1", hook).await
}

/// Everything was sent, and is asked for once more.
async fn again(bed: &Bed, of: &Tenant, hook: WebhookId) {
    bed.caught_up().await;
    let sent = sqlx::query("UPDATE delivery SET state = 'delivered' WHERE hook_id = $1");
    sent.bind(hook.to_string()).execute(&pool(bed).await).await.unwrap();
    give(bed, of, hook, WebhookCommand::Replay { sequence: 0, index: 0 }).await;
}

fn replays(bed: &Bed) -> Replays {
    let (log, codec) = (bed.commands.log().clone(), bed.commands.codec().clone());
    Replays::new(bed.database.clone(), log, codec)
}

#[tokio::test]
async fn a_short_past_does_not_wait_for_a_long_one_of_another_account() {
    let bed = Bed::new().await;
    let _running = bed.run(Webhooks::new(bed.commands.log().clone()));
    let (long, short) = (tenant("long"), tenant("short"));
    let (patient, quick) = (hook(&bed, &long, 1).await, hook(&bed, &short, 2).await);
    for n in 0..1_200 {
        bed.submit(n, &long).await;
    }
    bed.submit(5_000, &short).await;
    again(&bed, &long, patient).await;
    let replays = replays(&bed);
    bed.caught_up().await;
    assert!(replays.step().await.unwrap());
    let first = due(&bed, patient).await;
    assert!((400..=500).contains(&first), "one page: {first}");
    again(&bed, &short, quick).await;
    bed.caught_up().await;
    assert!(replays.step().await.unwrap());
    assert_eq!((due(&bed, quick).await, open(&bed, quick).await), (1, 0));
    assert_eq!(due(&bed, patient).await, first, "it had its turn");
    while replays.step().await.unwrap() {}
    assert_eq!((due(&bed, patient).await, open(&bed, patient).await), (1_200, 0));
}

#[tokio::test]
async fn tenants_are_sent_to_in_turn_however_many_endpoints_each_has() {
    let bed = Bed::new().await;
    let _running = bed.run(Webhooks::new(bed.commands.log().clone()));
    let (large, small) = (tenant("large"), tenant("small"));
    for number in 0..10 {
        hook(&bed, &large, number).await;
    }
    bed.submit(1, &large).await;
    bed.caught_up().await;
    hook(&bed, &small, 100).await;
    bed.submit(2, &small).await;
    bed.caught_up().await;
    let mut sender = webhooks::Alive::new(&bed.database, 1).await.unwrap();
    let mut held = BTreeMap::new();
    let mut take = async |most| {
        assert!(sender.holds().await);
        let lease = Duration::from_secs(90);
        let share = webhooks::Share { most, of_tenant: 4, held: &held, lease };
        let (database, codec) = (&bed.database, bed.commands.codec());
        let now = Timestamp::from_millis(u64::MAX >> 2);
        let taken = webhooks::claim(database, codec, &sender, now, share).await.unwrap();
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
async fn what_a_disabled_endpoint_is_to_be_sent_again_waits_and_is_asked_for_once() {
    let bed = Bed::new().await;
    let _running = bed.run(Webhooks::new(bed.commands.log().clone()));
    let acme = tenant("acme");
    let hook = hook(&bed, &acme, 1).await;
    for n in 0..3 {
        bed.submit(n, &acme).await;
    }
    again(&bed, &acme, hook).await;
    let last = WebhookCommand::Replay { sequence: 1_000_000, index: 0 };
    give(&bed, &acme, hook, last).await;
    give(&bed, &acme, hook, WebhookCommand::Disable { by: DisabledBy::Owner }).await;
    bed.caught_up().await;
    let replays = replays(&bed);
    assert!(!replays.step().await.unwrap());
    assert_eq!((due(&bed, hook).await, open(&bed, hook).await), (0, 1));
    give(&bed, &acme, hook, WebhookCommand::Enable).await;
    bed.caught_up().await;
    assert!(replays.step().await.unwrap());
    // The earlier of both places counts.
    assert_eq!((due(&bed, hook).await, open(&bed, hook).await), (3, 0));
}

#[tokio::test]
async fn a_past_of_exactly_a_page_ends() {
    let bed = Bed::new().await;
    let _running = bed.run(Webhooks::new(bed.commands.log().clone()));
    let acme = tenant("acme");
    let hook = hook(&bed, &acme, 1).await;
    // With the endpoint's own beginning, 500 messages.
    for n in 0..499 {
        bed.submit(n, &acme).await;
    }
    again(&bed, &acme, hook).await;
    bed.caught_up().await;
    let replays = replays(&bed);
    assert!(replays.step().await.unwrap());
    assert_eq!(due(&bed, hook).await, 499);
    while replays.step().await.unwrap() {}
    assert_eq!((due(&bed, hook).await, open(&bed, hook).await), (499, 0));
}
