//! Audit notes: what is recorded of requests in addition to their events, which is rejections,
//! limits, new addresses and reads by admins. Equal notes are counted by minute, so that clients
//! cannot make the gateway write many of them.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ffapi_commands::Commands;
use ffapi_domain::{
    KeyId, Personal, Tenant, Timestamp,
    audit::{AuditEvent, NOBODY},
};
use ffapi_nats::{Actor, AuditStream, CodecError, Decision, LogError};
use lru::LruCache;
use poem::Request;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::{Principal, subnet},
    clock, playback,
    response_middleware::RequestId,
};

/// Something to note in the audit trail.
#[derive(Debug, Clone)]
pub(crate) struct AuditRecord {
    group: Group,
    request: Option<String>,
    request_id: Option<String>,
}

/// Records with the same group are counted together within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    tenant: Option<Tenant>,
    key: Option<KeyId>,
    address: Option<IpAddr>,
    action: &'static str,
}

#[derive(Debug)]
struct Counted {
    record: AuditRecord,
    count: u64,
    first: Timestamp,
    last: Timestamp,
    /// The minute of the first record, since the Unix epoch. A note is written at once, and another
    /// at the end of the minute if there were more.
    minute: u64,
    written: bool,
}

/// The records of one gateway that are not written yet.
#[derive(Debug)]
pub(crate) struct Audit {
    pending: Mutex<HashMap<Group, Counted>>,
    /// Recently seen pairs of key and address.
    seen: Mutex<LruCache<(KeyId, IpAddr), ()>>,
}

/// Above this number of groups in a minute, further records are counted without key and address.
const MAX_GROUPS: usize = 1_000;
const MAX_SEEN: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const MAX_PATH_LENGTH: usize = 512;
const WRITE_INTERVAL: Duration = Duration::from_millis(500);
const FIRST_USE: &str = "key.first_used_from_address";

impl AuditRecord {
    /// A record about a request with valid credentials.
    pub(crate) fn about(request: &Request, principal: &Principal, action: &'static str) -> Self {
        let Principal { key, tenant, address, .. } = principal;
        let (key, tenant) = (Some(*key), Some(tenant.clone()));
        Self {
            group: Group { tenant, key, address: *address, action },
            request: Some(request_line(request)),
            request_id: request.data::<RequestId>().map(|id| id.0.clone()),
        }
    }

    /// Another record about the same request.
    pub(crate) fn of(&self, action: &'static str) -> Self {
        Self { group: Group { action, ..self.group.clone() }, ..self.clone() }
    }

    /// A record about a request without valid credentials.
    pub(crate) fn of_rejection(
        address: IpAddr,
        key: Option<(KeyId, Tenant)>,
        action: &'static str,
    ) -> Self {
        let (key, tenant) = key.unzip();
        let group = Group { tenant, key, address: Some(subnet(address)), action };
        Self { group, request: None, request_id: None }
    }
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self { pending: Mutex::default(), seen: Mutex::new(LruCache::new(MAX_SEEN)) }
    }

    /// Adds a record; it is written within [`WRITE_INTERVAL`].
    pub(crate) fn note(&self, record: AuditRecord) {
        let now = clock::now();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = record.group.clone();
        if pending.len() >= MAX_GROUPS && !pending.contains_key(&group) {
            (group.key, group.address) = (None, None);
        }
        let counted = pending.entry(group.clone()).or_insert_with(|| Counted {
            record: AuditRecord { group, ..record },
            count: 0,
            first: now,
            last: now,
            minute: now.as_millis() / 60_000,
            written: false,
        });
        counted.count = counted.count.saturating_add(1);
        counted.last = now;
    }

    /// Adds a record if a key is used from an address for the first time.
    pub(crate) fn seen(&self, request: &Request, principal: &Principal) {
        let Some(address) = principal.address else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.put((principal.key, address), ()).is_none() {
            drop(seen);
            self.note(AuditRecord::about(request, principal, FIRST_USE));
        }
    }

    /// Takes the notes that are due: new groups, and further records of minutes that have ended.
    fn due(&self, now: Timestamp) -> Vec<Note> {
        let minute = now.as_millis() / 60_000;
        let mut due = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, counted| {
            let ended = counted.minute < minute;
            if counted.count > 0 && (ended || !counted.written) {
                due.push(Note {
                    record: counted.record.clone(),
                    count: counted.count,
                    first: counted.first,
                    last: counted.last,
                });
                (counted.count, counted.first, counted.written) = (0, now, true);
            }
            !ended
        });
        due
    }

    /// Writes notes until `stop` is cancelled, and then the remaining ones.
    pub(crate) async fn run(&self, commands: &Commands, stop: &CancellationToken) {
        let notes = AuditStream::new(commands.log().nats().clone());
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(WRITE_INTERVAL) => false,
            };
            for note in self.due(clock::now()) {
                while let Err(error) = note.write(commands, &notes).await {
                    // A note that can never be written must not block others.
                    let is_permanent = !matches!(error, CodecError::Log(LogError::Unavailable(_)));
                    if is_permanent || stopping || stop.is_cancelled() {
                        tracing::warn!(%error, "a note was not written");
                        break;
                    }
                    tokio::time::sleep(WRITE_INTERVAL).await;
                }
            }
            if stopping {
                return;
            }
        }
    }
}

/// The method and the path, truncated, as clients can send paths of any length.
fn request_line(request: &Request) -> String {
    let path = playback::path(request).chars().take(MAX_PATH_LENGTH);
    format!("{} {}", request.method(), path.collect::<String>())
}

/// One note to write: a record, how often it occurred, and when first and last.
struct Note {
    record: AuditRecord,
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Note {
    /// Appends the note to the audit stream.
    async fn write(&self, commands: &Commands, notes: &AuditStream) -> Result<(), CodecError> {
        let AuditRecord { group, request, request_id } = &self.record;
        let tenant = group.tenant.as_ref().map_or(NOBODY, Tenant::as_str);
        let action = group.action.replace('.', "-");
        let address = group.address.map(|address| address.to_string());
        let mut subject = format!("{tenant}.{action}");
        if group.action == FIRST_USE {
            // Each pair has its own subject, so that a restarted gateway knows what was already
            // noted.
            let key = group.key.map(|key| key.to_string()).unwrap_or_default();
            let pair = format!("{key} {}", address.clone().unwrap_or_default());
            let digest = Sha256::digest(pair);
            subject = format!("{subject}.{}", hex::encode(digest.get(..12).unwrap_or_default()));
            if notes.holds(&subject).await? {
                return Ok(());
            }
        }
        let event = AuditEvent::Noted {
            action: group.action.to_owned(),
            key: group.key,
            address: address.map_or(Personal::Erased, Personal::Clear),
            request: request.clone().map(Personal::Clear),
            request_id: request_id.clone(),
            count: self.count,
            first: self.first,
            last: self.last,
        };
        let id = Uuid::now_v7();
        let decision = Decision {
            command_id: id,
            correlation_id: id,
            causation: None,
            actor: Actor::Process("gateway".to_owned()),
            tenant: tenant.to_owned(),
            at: self.last.as_millis(),
            traceparent: None,
            address: None,
            schema: 1,
            events: vec![event],
            stands: None,
        };
        let payload = commands.codec().encode(&decision).await?;
        Ok(notes.keep(&subject, payload).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(last: u8) -> AuditRecord {
        AuditRecord::of_rejection([192, 0, 2, last].into(), None, "key.refused_unknown")
    }

    #[test]
    fn equal_records_are_written_at_once_and_then_once_a_minute() {
        let audit = Audit::new();
        audit.note(rejection(1));
        let now = clock::now();
        assert_eq!(audit.due(now).len(), 1);
        for _ in 0..1_000 {
            audit.note(rejection(1));
        }
        assert!(audit.due(now).is_empty());
        let later = now.plus(Duration::from_mins(1));
        let due = audit.due(later);
        assert_eq!(due.iter().map(|note| note.count).collect::<Vec<_>>(), [1_000]);
        assert!(audit.due(later.plus(Duration::from_mins(1))).is_empty());
    }

    #[test]
    fn the_notes_about_anonymous_clients_are_bounded() {
        let audit = Audit::new();
        for n in 0..50_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            audit.note(AuditRecord::of_rejection(address, None, "key.refused_unknown"));
        }
        let due = audit.due(clock::now());
        assert_eq!(due.len(), MAX_GROUPS + 1);
        assert_eq!(due.iter().map(|note| note.count).sum::<u64>(), 50_000);
    }
}
