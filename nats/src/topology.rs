//! The stream configurations. Applied once by an operator (or `ffapi up`) and checked by every
//! process at start: a server with a different configuration is rejected, never worked around.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
};
use uuid::Uuid;

use crate::{LogError, Nats, subject};

/// The event log.
pub const EVENTS: &str = "EVENTS";
/// The queue of released tasks.
pub const WORK: &str = "WORK";
/// Log lines of media children.
pub const LOGS: &str = "LOGS";
/// Idempotency keys and the resources that they belong to.
pub const IDEM: &str = "IDEM";
/// Quota counters: how much of each limit has been leased.
pub const QUOTA: &str = "QUOTA";
/// Audit records that are not decisions: rejected requests and reads.
pub const AUDIT: &str = "AUDIT";
/// Signed head hashes of the archive and of the audit records.
pub const ANCHORS: &str = "ANCHORS";
/// The subject of signed heads.
pub(crate) const ANCHOR: &str = "anchor.archive";
/// Secrets and data keys.
pub const VAULT: &str = "KV_VAULT";

/// The worker pools; each has a consumer on the task queue.
pub const POOLS: &[&str] = &["cpu", "vaapi", "nvenc", "qsv"];

/// How long a task stays leased without an acknowledgement or progress before it is redelivered.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

const DAYS_7: Duration = Duration::from_hours(168);
const HOURS_48: Duration = Duration::from_hours(48);
const DAYS_90: Duration = Duration::from_hours(90 * 24);
/// Maximum size of the audit stream, to which anonymous clients can cause writes.
const AUDIT_BYTES: i64 = 256 * 1024 * 1024;
/// Maximum size of the log lines of media children; the oldest are discarded.
const LOG_BYTES: i64 = 1024 * 1024 * 1024;
const LOG_ID: &str = "ffapi_log_id";
const EPOCH: &str = "ffapi_epoch";
/// Of a log that is being restored: which restore that is. It has no identity until it is complete.
const RESTORING: &str = "ffapi_restoring";
/// Of a log that was restored: which restore that was.
const RESTORED: &str = "ffapi_restored";

/// Identity of a log, to detect that it was replaced or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Generated when the log was created.
    pub log_id: Uuid,
    /// Incremented whenever the log is restored from a backup.
    pub epoch: u32,
}

fn expected_streams() -> Vec<Config> {
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
            subjects: vec![subject::ALL_DECISIONS.to_owned()],
            deny_delete: true,
            deny_purge: true,
            allow_atomic_publish: true,
            ..base.clone()
        },
        Config {
            name: WORK.to_owned(),
            subjects: vec![subject::ALL_TASKS.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            // One message per task, however often it is offered.
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            // Tasks lost in a power failure are offered again by the conductor, from the log.
            persist_mode: Some(PersistenceMode::Async),
            ..base.clone()
        },
        Config {
            name: LOGS.to_owned(),
            subjects: vec![subject::ALL_JOB_LOGS.to_owned()],
            max_age: DAYS_7,
            // A job with too many lines loses its own oldest ones.
            max_messages_per_subject: 5_000,
            max_bytes: LOG_BYTES,
            discard: DiscardPolicy::Old,
            ..base.clone()
        },
        Config {
            name: IDEM.to_owned(),
            subjects: vec![subject::ALL_IDEMPOTENCY_KEYS.to_owned()],
            max_age: HOURS_48,
            ..base.clone()
        },
        Config {
            name: QUOTA.to_owned(),
            subjects: vec![subject::ALL_QUOTA_COUNTERS.to_owned()],
            max_messages_per_subject: 1,
            max_age: HOURS_48,
            discard: DiscardPolicy::Old,
            ..base.clone()
        },
        Config {
            name: AUDIT.to_owned(),
            subjects: vec![subject::ALL_NOTES.to_owned()],
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
        filter_subject: subject::tasks(pool),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    }
}

/// With replicas the vault is read from the leader, since others may lag behind; and the queue is in
/// memory: only a stream with a single replica can be written asynchronously, and nats-server may find
/// no leader for one on disks after a power cut of all servers.
fn replicated(mut config: Config, replicas: usize) -> Config {
    config.num_replicas = replicas;
    if replicas > 1 {
        config.allow_direct = config.name != VAULT;
        if config.name == WORK {
            config.persist_mode = None;
            config.storage = StorageType::Memory;
        }
    }
    config
}

/// How the queue of tasks would be created, with this many replicas.
pub(crate) fn queue(replicas: usize) -> Option<Config> {
    let config = expected_streams().into_iter().find(|config| config.name == WORK);
    config.map(|config| replicated(config, replicas))
}

/// Creates the consumer of each pool on the queue, where it is missing.
pub(crate) async fn create_pools(nats: &Nats) -> Result<(), LogError> {
    let work = nats.jetstream.get_stream_no_info(WORK).await.map_err(LogError::unavailable)?;
    for pool in POOLS {
        work.create_consumer(pool_consumer(pool)).await.map_err(LogError::unavailable)?;
    }
    Ok(())
}

/// Creates missing streams and consumers, updates the others, then checks them. Existing streams
/// keep their number of replicas, new ones have one.
///
/// # Errors
/// When the server does not respond, rejects a change, or applied it differently.
pub async fn apply(nats: &Nats) -> Result<LogIdentity, LogError> {
    apply_streams(nats, None).await
}

/// Like [`apply`]; gives each stream this many replicas, each on another server of the cluster.
///
/// # Errors
/// When the cluster does not respond, has fewer servers, rejects a change, or applied it
/// differently.
pub async fn apply_replicated(nats: &Nats, replicas: usize) -> Result<LogIdentity, LogError> {
    apply_streams(nats, Some(replicas)).await
}

async fn apply_streams(nats: &Nats, replicas: Option<usize>) -> Result<LogIdentity, LogError> {
    for config in expected_streams() {
        if let Some(have) = find(nats, &config.name).await? {
            let mut config = replicated(config, replicas.unwrap_or(have.num_replicas));
            config.metadata.clone_from(&have.metadata);
            let is_rebuilt =
                config.persist_mode != have.persist_mode || config.storage != have.storage;
            if config.name == WORK && is_rebuilt {
                // These cannot be updated; the conductor fills the queue again from the log.
                let deleted = nats.jetstream.delete_stream(WORK).await;
                deleted.map_err(LogError::unavailable)?;
                nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
                continue;
            }
            nats.jetstream.update_stream(&config).await.map_err(LogError::unavailable)?;
        } else {
            let mut config = replicated(config, replicas.unwrap_or(1));
            if config.name == EVENTS {
                config.metadata = HashMap::from([
                    (LOG_ID.to_owned(), Uuid::now_v7().to_string()),
                    (EPOCH.to_owned(), "1".to_owned()),
                ]);
            }
            nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
        }
    }
    create_pools(nats).await?;
    check(nats).await
}

/// Compares the server's configuration with the expected one; returns the identity of the log.
///
/// # Errors
/// When the server does not respond; `Misconfigured` with the first difference.
pub async fn check(nats: &Nats) -> Result<LogIdentity, LogError> {
    let identity = check_stored(nats).await?;
    check_queue(nats).await?;
    Ok(identity)
}

/// Like [`check`], but accepts that the queue of tasks is missing or has no leader: a conductor that
/// runs recreates it ([`crate::Work::recreate`]).
///
/// # Errors
/// As [`check`].
pub async fn check_at_start(nats: &Nats) -> Result<LogIdentity, LogError> {
    let identity = check_stored(nats).await?;
    match find(nats, WORK).await {
        Ok(Some(_)) => check_queue(nats).await?,
        Ok(None) => tracing::warn!("the queue of tasks is missing; a conductor creates it"),
        Err(error) => tracing::warn!(%error, "the queue of tasks cannot be checked"),
    }
    Ok(identity)
}

/// Checks a stream, and returns the configuration that it has.
async fn check_stream(nats: &Nats, want: Config) -> Result<Config, LogError> {
    let name = want.name.clone();
    let missing = || {
        LogError::Misconfigured(format!(
            "stream {name} is missing; run `ffapi topology apply` to create it"
        ))
    };
    let have = find(nats, &name).await?.ok_or_else(missing)?;
    // The number of replicas is the operator's choice.
    let want = replicated(want, have.num_replicas);
    nats.found_replicas(have.num_replicas);
    match difference(&want, &have) {
        None => Ok(have),
        Some(difference) => Err(LogError::Misconfigured(format!(
            "stream {name}: {difference}; run `ffapi topology apply` to fix it"
        ))),
    }
}

/// Checks every stream but the queue.
async fn check_stored(nats: &Nats) -> Result<LogIdentity, LogError> {
    let mut identity = None;
    for want in expected_streams().into_iter().filter(|want| want.name != WORK) {
        let is_log = want.name == EVENTS;
        let have = check_stream(nats, want).await?;
        if is_log {
            if have.metadata.contains_key(RESTORING) {
                return Err(LogError::Misconfigured(
                    "the log is being restored; repeat `ffapi restore` if it was interrupted"
                        .to_owned(),
                ));
            }
            identity = read_identity(&have.metadata);
        }
    }
    identity.ok_or_else(|| {
        LogError::Misconfigured(format!(
            "stream {EVENTS} has no log id; it was not created by ffapi"
        ))
    })
}

/// Checks the queue and the consumers of its pools.
async fn check_queue(nats: &Nats) -> Result<(), LogError> {
    if let Some(want) = queue(1) {
        check_stream(nats, want).await?;
    }
    for pool in POOLS {
        let consumer: Result<PullConsumer, _> =
            nats.jetstream.get_consumer_from_stream(*pool, WORK).await;
        let consumer = consumer.map_err(|_| {
            LogError::Misconfigured(format!(
                "consumer {pool} of {WORK} is missing; run `ffapi topology apply` to create it"
            ))
        })?;
        let have = &consumer.cached_info().config;
        let want = pool_consumer(pool);
        if have.ack_wait != want.ack_wait || have.filter_subject != want.filter_subject {
            return Err(LogError::Misconfigured(format!(
                "consumer {pool} of {WORK} has other settings; run `ffapi topology apply` to fix it"
            )));
        }
    }
    Ok(())
}

/// The name of the restore that was begun or completed on this server; `None` if there was none.
///
/// # Errors
/// When the server does not respond.
pub async fn restore_name(nats: &Nats) -> Result<Option<String>, LogError> {
    let Some(events) = find(nats, EVENTS).await? else { return Ok(None) };
    let name = [RESTORING, RESTORED].iter().find_map(|key| events.metadata.get(*key));
    Ok(name.cloned())
}

/// Creates the streams for a restore, empty; or continues the restore of the same name.
///
/// # Errors
/// When the server does not respond, or has streams of ffapi already.
pub async fn begin_restore(nats: &Nats, restore: &str) -> Result<(), LogError> {
    let found = find(nats, EVENTS).await?;
    let resumes = found.as_ref().is_some_and(|config| {
        config.metadata.get(RESTORING).is_some_and(|unfinished| unfinished == restore)
    });
    for mut config in expected_streams() {
        match find(nats, &config.name).await? {
            Some(_) if resumes => continue,
            Some(_) => {
                return Err(LogError::Misconfigured(format!(
                    "the server has a stream {} already; a restore needs one without any of ffapi",
                    config.name
                )));
            }
            None => {}
        }
        if config.name == EVENTS {
            config.metadata = HashMap::from([(RESTORING.to_owned(), restore.to_owned())]);
        }
        nats.jetstream.create_stream(config).await.map_err(LogError::unavailable)?;
    }
    Ok(())
}

/// Completes a restore: the log has this identity from now on, and can be used.
///
/// # Errors
/// When the server does not respond, or no restore was begun.
pub async fn end_restore(nats: &Nats, identity: &LogIdentity) -> Result<(), LogError> {
    let missing = || LogError::Misconfigured("no restore was begun on this server".to_owned());
    let mut config = find(nats, EVENTS).await?.ok_or_else(missing)?;
    let name = config.metadata.remove(RESTORING).ok_or_else(missing)?;
    config.metadata.insert(RESTORED.to_owned(), name);
    config.metadata.insert(LOG_ID.to_owned(), identity.log_id.to_string());
    config.metadata.insert(EPOCH.to_owned(), identity.epoch.to_string());
    nats.jetstream.update_stream(&config).await.map_err(LogError::unavailable)?;
    let restored = apply(nats).await?;
    if restored == *identity {
        return Ok(());
    }
    Err(LogError::Misconfigured(format!("the restored log is {restored:?}, not {identity:?}")))
}

/// How many servers store each stream: the fewest of any.
///
/// # Errors
/// When the server does not respond, or a stream is missing.
pub async fn replicas(nats: &Nats) -> Result<usize, LogError> {
    let mut fewest = usize::MAX;
    for expected in expected_streams() {
        let missing = || LogError::Misconfigured(format!("stream {} is missing", expected.name));
        let found = find(nats, &expected.name).await?.ok_or_else(missing)?;
        fewest = fewest.min(found.num_replicas);
    }
    Ok(fewest)
}

/// The configuration of a stream; `None` if it does not exist.
pub(crate) async fn find(nats: &Nats, name: &str) -> Result<Option<Config>, LogError> {
    match nats.jetstream.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.code() == 404 => Ok(None),
            _ => Err(LogError::unavailable(error)),
        },
    }
}

fn read_identity(metadata: &HashMap<String, String>) -> Option<LogIdentity> {
    Some(LogIdentity {
        log_id: metadata.get(LOG_ID)?.parse().ok()?,
        epoch: metadata.get(EPOCH)?.parse().ok()?,
    })
}

/// The first setting that differs from the expected one.
fn difference(want: &Config, have: &Config) -> Option<String> {
    macro_rules! compare {
        ($($field:ident),+) => {
            $(if want.$field != have.$field {
                return Some(format!(
                    concat!("`", stringify!($field), "` is {:?}, expected {:?}"),
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
            "`max_msgs_per_subject` is {}, expected {}",
            have.max_messages_per_subject, want.max_messages_per_subject
        ));
    }
    let bytes = |config: &Config| config.max_bytes.max(0);
    let limited = have.max_messages > 0 || bytes(have) != bytes(want);
    limited.then(|| {
        "its size limit differs; appends to the log must never be rejected for its size".to_owned()
    })
}
