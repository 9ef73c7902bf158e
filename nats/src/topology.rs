//! The streams as data. Applied once by an operator (or `ffapi up`), checked by every process at
//! start: an old or hand-changed server that ignores a setting is refused, never worked around.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, pull},
    stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
};
use uuid::Uuid;

use crate::{LogError, Nats};

/// The log itself.
pub const EVENTS: &str = "EVENTS";
/// Released tasks.
pub const WORK: &str = "WORK";
/// What media children had to say.
pub const LOGS: &str = "LOGS";
/// Client keys and the resources they stand for.
pub const IDEM: &str = "IDEM";
/// What of an allowance is handed out.
pub const QUOTA: &str = "QUOTA";
/// What was refused and looked at: facts that no decision of ours holds.
pub const AUDIT: &str = "AUDIT";
/// Signed hashes of the archive and of the notes.
pub const ANCHORS: &str = "ANCHORS";
/// On what they are told.
pub(crate) const ANCHOR: &str = "anchor.archive";
/// Secrets and data keys.
pub const VAULT: &str = "KV_VAULT";

/// The pools of work there is a consumer for.
pub const POOLS: &[&str] = &["cpu", "vaapi", "nvenc", "qsv"];

/// How long a worker may be silent about a task before it is offered again.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

const DAYS_7: Duration = Duration::from_hours(168);
const HOURS_48: Duration = Duration::from_hours(48);
const DAYS_90: Duration = Duration::from_hours(90 * 24);
/// What strangers can make us keep at most.
const AUDIT_BYTES: i64 = 256 * 1024 * 1024;
/// Lines of media children: the oldest go first.
const LOG_BYTES: i64 = 1024 * 1024 * 1024;
const LOG_ID: &str = "ffapi_log_id";
const EPOCH: &str = "ffapi_epoch";

/// Which log this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Made when the log was.
    pub log_id: Uuid,
    /// Raised whenever it was restored.
    pub epoch: u32,
}

fn wanted() -> Vec<Config> {
    let base = Config {
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        allow_direct: true,
        num_replicas: 1,
        max_consumers: 100_000,
        ..Config::default()
    };
    vec![
        Config {
            name: EVENTS.to_owned(),
            subjects: vec!["ev.>".to_owned()],
            deny_delete: true,
            deny_purge: true,
            allow_atomic_publish: true,
            ..base.clone()
        },
        Config {
            name: WORK.to_owned(),
            subjects: vec!["work.>".to_owned()],
            retention: RetentionPolicy::WorkQueue,
            // One message a task, whoever offers it and however often.
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            // What a power cut takes from the queue, the conductor puts back from the log.
            persist_mode: Some(PersistenceMode::Async),
            ..base.clone()
        },
        Config {
            name: LOGS.to_owned(),
            subjects: vec!["logs.>".to_owned()],
            max_age: DAYS_7,
            // A child that never stops complaining costs its own oldest lines.
            max_messages_per_subject: 5_000,
            max_bytes: LOG_BYTES,
            discard: DiscardPolicy::Old,
            ..base.clone()
        },
        Config {
            name: IDEM.to_owned(),
            subjects: vec!["idem.>".to_owned()],
            max_age: HOURS_48,
            ..base.clone()
        },
        Config {
            name: QUOTA.to_owned(),
            subjects: vec!["quota.>".to_owned()],
            max_messages_per_subject: 1,
            max_age: HOURS_48,
            discard: DiscardPolicy::Old,
            ..base.clone()
        },
        Config {
            name: AUDIT.to_owned(),
            subjects: vec!["audit.>".to_owned()],
            max_age: DAYS_90,
            max_bytes: AUDIT_BYTES,
            discard: DiscardPolicy::Old,
            deny_delete: true,
            ..base.clone()
        },
        Config {
            name: ANCHORS.to_owned(),
            subjects: vec![ANCHOR.to_owned()],
            deny_delete: true,
            deny_purge: true,
            ..base.clone()
        },
        Config {
            name: VAULT.to_owned(),
            subjects: vec!["$KV.VAULT.>".to_owned()],
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            ..base
        },
    ]
}

fn pool_consumer(pool: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(pool.to_owned()),
        filter_subject: format!("work.{pool}.>"),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    }
}

/// Makes what is missing and brings the rest to what is wanted, then checks it.
///
/// # Errors
/// When the server does not answer, refuses, or did something else than asked.
pub async fn apply(nats: &Nats) -> Result<LogIdentity, LogError> {
    for mut config in wanted() {
        if let Ok(found) = nats.jetstream.get_stream(&config.name).await {
            let have = &found.cached_info().config;
            config.metadata.clone_from(&have.metadata);
            // How many servers keep it is the operator's to say.
            config.num_replicas = have.num_replicas;
            if config.persist_mode != have.persist_mode && config.name == WORK {
                // Cannot be changed, and can be made anew.
                let deleted = nats.jetstream.delete_stream(WORK).await;
                deleted.map_err(LogError::unavailable)?;
                nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
                continue;
            }
            nats.jetstream.update_stream(&config).await.map_err(LogError::unavailable)?;
        } else {
            if config.name == EVENTS {
                config.metadata = HashMap::from([
                    (LOG_ID.to_owned(), Uuid::now_v7().to_string()),
                    (EPOCH.to_owned(), "1".to_owned()),
                ]);
            }
            nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
        }
    }
    let work = nats.jetstream.get_stream(WORK).await.map_err(LogError::unavailable)?;
    for pool in POOLS {
        work.create_consumer(pool_consumer(pool)).await.map_err(LogError::unavailable)?;
    }
    check(nats).await
}

/// Compares what the server says with what is wanted, and says which log this is.
///
/// # Errors
/// When the server does not answer, or names the first difference.
pub async fn check(nats: &Nats) -> Result<LogIdentity, LogError> {
    let mut identity = None;
    for want in wanted() {
        let found = nats.jetstream.get_stream(&want.name).await.map_err(|error| {
            if nats.connected_for().is_none() {
                return LogError::unavailable(error);
            }
            LogError::Misconfigured(format!(
                "stream {} is missing; `ffapi topology apply` makes it",
                want.name
            ))
        })?;
        let have = &found.cached_info().config;
        if let Some(difference) = difference(&want, have) {
            return Err(LogError::Misconfigured(format!(
                "stream {}: {difference}; `ffapi topology apply` mends it",
                want.name
            )));
        }
        if want.name == EVENTS {
            identity = read_identity(&have.metadata);
        }
    }
    for pool in POOLS {
        let consumer: Result<async_nats::jetstream::consumer::PullConsumer, _> =
            nats.jetstream.get_consumer_from_stream(*pool, WORK).await;
        let consumer = consumer.map_err(|_| {
            LogError::Misconfigured(format!(
                "consumer {pool} of {WORK} is missing; `ffapi topology apply` makes it"
            ))
        })?;
        let have = &consumer.cached_info().config;
        let want = pool_consumer(pool);
        if have.ack_wait != want.ack_wait || have.filter_subject != want.filter_subject {
            return Err(LogError::Misconfigured(format!(
                "consumer {pool} of {WORK} is not as wanted; `ffapi topology apply` mends it"
            )));
        }
    }
    identity.ok_or_else(|| {
        LogError::Misconfigured(format!("stream {EVENTS} has no log id; it is not ours"))
    })
}

fn read_identity(metadata: &HashMap<String, String>) -> Option<LogIdentity> {
    Some(LogIdentity {
        log_id: metadata.get(LOG_ID)?.parse().ok()?,
        epoch: metadata.get(EPOCH)?.parse().ok()?,
    })
}

/// The first setting that the server echoes otherwise than wanted.
fn difference(want: &Config, have: &Config) -> Option<String> {
    macro_rules! compare {
        ($($field:ident),+) => {
            $(if want.$field != have.$field {
                return Some(format!(
                    concat!("`", stringify!($field), "` is {:?}, wanted {:?}"),
                    have.$field, want.$field
                ));
            })+
        };
    }
    // The client writes "no limit" as 0 or -1.
    compare!(
        subjects,
        retention,
        storage,
        discard,
        discard_new_per_subject,
        max_age,
        deny_delete,
        deny_purge,
        allow_direct,
        allow_rollup,
        allow_atomic_publish,
        persist_mode,
        max_consumers
    );
    let per_subject = |config: &Config| config.max_messages_per_subject.max(0);
    if per_subject(want) != per_subject(have) {
        return Some(format!(
            "`max_msgs_per_subject` is {}, wanted {}",
            have.max_messages_per_subject, want.max_messages_per_subject
        ));
    }
    let bytes = |config: &Config| config.max_bytes.max(0);
    let limited = have.max_messages > 0 || bytes(have) != bytes(want);
    limited.then(|| "it has another size limit; the log must never refuse for that".to_owned())
}
