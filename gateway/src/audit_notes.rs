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
    request_context::RequestId,
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
    pending: Mutex<Pending>,
    /// Recently seen pairs of key and address.
    seen: Mutex<LruCache<(KeyId, IpAddr), ()>>,
}

/// Records by group, and the number of groups that share each budget.
#[derive(Debug, Default)]
struct Pending {
    groups: HashMap<Group, Counted>,
    sizes: HashMap<Budget, usize>,
}

/// Groups that compete for details. A flood of one tenant's requests, or of rejections, takes them from
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Budget {
    tenant: Option<Tenant>,
    is_rejection: bool,
}

impl Budget {
    fn of(group: &Group) -> Self {
        let is_rejection = group.action.ends_with(".limited") || group.action.contains(".refused");
        Self { tenant: group.tenant.clone(), is_rejection }
    }
}

/// Above this number of groups of one budget in a minute, further records are counted without key and
/// address.
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
        let Pending { groups, sizes } = &mut *pending;
        let mut group = record.group.clone();
        let size = sizes.entry(Budget::of(&group)).or_default();
        if *size >= MAX_GROUPS && !groups.contains_key(&group) {
            (group.key, group.address) = (None, None);
        }
        let counted = groups.entry(group.clone()).or_insert_with(|| {
            *size = size.saturating_add(1);
            Counted {
                record: AuditRecord { group, ..record },
                count: 0,
                first: now,
                last: now,
                minute: now.as_millis() / 60_000,
                written: false,
            }
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
        let Pending { groups, sizes } = &mut *pending;
        groups.retain(|group, counted| {
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
            if ended && let Some(size) = sizes.get_mut(&Budget::of(group)) {
                *size = size.saturating_sub(1);
            }
            !ended
        });
        sizes.retain(|_, size| *size > 0);
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
        if group.action == FIRST_USE
            && let (Some(key), Some(address)) = (group.key, &address)
        {
            // Each pair has its own subject, so that a restarted gateway knows what was already
            // noted.
            let digest = Sha256::digest(format!("{key} {address}"));
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
        let (actor, at) = (Actor::Process("gateway".to_owned()), self.last.as_millis());
        let decision = Decision::new(Uuid::now_v7(), actor, tenant, at, vec![event]);
        let payload = commands.codec().encode(&decision).await?;
        Ok(notes.append(&subject, payload).await?)
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
    fn a_flood_of_one_tenant_takes_no_details_from_other_notes() {
        let audit = Audit::new();
        let record = |tenant: &str, address: u32, action| AuditRecord {
            group: Group {
                tenant: Some(tenant.parse().unwrap()),
                key: Some(KeyId::from_uuid(Uuid::from_u128(1))),
                address: Some(std::net::Ipv4Addr::from_bits(address).into()),
                action,
            },
            request: None,
            request_id: None,
        };
        for n in 0..5_000 {
            audit.note(record("loud", n, "request.limited"));
        }
        audit.note(record("loud", 1, FIRST_USE));
        audit.note(record("other", 1, "request.limited"));
        let due = audit.due(clock::now());
        let details = |note: &Note| note.record.group.key.is_some();
        assert_eq!((due.len(), due.iter().filter(|note| details(note)).count()), (1_003, 1_002));
        let later = clock::now().plus(Duration::from_mins(2));
        audit.due(later);
        let pending = audit.pending.lock().unwrap();
        assert!(pending.groups.is_empty() && pending.sizes.is_empty());
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
