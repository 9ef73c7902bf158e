//! What is noted of requests beside what they decide: refusals, limits, new addresses, and what an
//! admin looked at. Counted by who, what and minute, so that nobody can make us write much.

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
    clock,
    response_middleware::RequestId,
};

/// Something to note.
#[derive(Debug, Clone)]
pub(crate) struct AuditRecord {
    who: Who,
    request: Option<String>,
    request_id: Option<String>,
}

/// What is counted together within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    tenant: Option<Tenant>,
    key: Option<KeyId>,
    address: Option<IpAddr>,
    action: &'static str,
}

#[derive(Debug)]
struct Counted {
    fact: AuditRecord,
    count: u64,
    first: Timestamp,
    last: Timestamp,
    /// Of the minute in which it began; told once at once, then at the minute's end.
    minute: u64,
    told: bool,
}

/// The notes of one gateway that are not written yet.
#[derive(Debug)]
pub(crate) struct Audit {
    pending: Mutex<HashMap<Who, Counted>>,
    /// Keys and addresses that were seen together, lately.
    seen: Mutex<LruCache<(KeyId, IpAddr), ()>>,
}

/// Beyond so many different ones in a minute, strangers are counted as one.
const MOST: usize = 1_000;
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const LONGEST_PATH: usize = 512;
const BEAT: Duration = Duration::from_millis(500);
const FIRST_USE: &str = "key.first_used_from_address";

impl AuditRecord {
    /// Something that the holder of a key did or met.
    pub(crate) fn about(request: &Request, principal: &Principal, action: &'static str) -> Self {
        let Principal { key, tenant, address, .. } = principal;
        let (key, tenant) = (Some(*key), Some(tenant.clone()));
        Self {
            who: Who { tenant, key, address: *address, action },
            request: Some(line(request)),
            request_id: request.data::<RequestId>().map(|id| id.0.clone()),
        }
    }

    /// Something else of the same request.
    pub(crate) fn of(&self, action: &'static str) -> Self {
        Self { who: Who { action, ..self.who.clone() }, ..self.clone() }
    }

    /// Something that somebody met who showed no key that opens.
    pub(crate) fn of_a_refusal(
        address: IpAddr,
        key: Option<(KeyId, Tenant)>,
        action: &'static str,
    ) -> Self {
        let (key, tenant) = key.unzip();
        let who = Who { tenant, key, address: Some(subnet(address)), action };
        Self { who, request: None, request_id: None }
    }
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self { pending: Mutex::default(), seen: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Notes something; it is written within a moment.
    pub(crate) fn note(&self, fact: AuditRecord) {
        let now = clock::now();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = fact.who.clone();
        if pending.len() >= MOST && !pending.contains_key(&who) {
            (who.key, who.address) = (None, None);
        }
        let counted = pending.entry(who.clone()).or_insert_with(|| Counted {
            fact: AuditRecord { who, ..fact },
            count: 0,
            first: now,
            last: now,
            minute: now.as_millis() / 60_000,
            told: false,
        });
        counted.count = counted.count.saturating_add(1);
        counted.last = now;
    }

    /// Notes a key that is used from an address that it was not used from before.
    pub(crate) fn seen(&self, request: &Request, principal: &Principal) {
        let Some(address) = principal.address else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.put((principal.key, address), ()).is_none() {
            drop(seen);
            self.note(AuditRecord::about(request, principal, FIRST_USE));
        }
    }

    /// What is due to be written: what is new, and what minutes that are over had more of.
    fn due(&self, now: Timestamp) -> Vec<(AuditRecord, u64, Timestamp, Timestamp)> {
        let minute = now.as_millis() / 60_000;
        let mut due = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, counted| {
            let over = counted.minute < minute;
            if counted.count > 0 && (over || !counted.told) {
                due.push((counted.fact.clone(), counted.count, counted.first, counted.last));
                (counted.count, counted.first, counted.told) = (0, now, true);
            }
            !over
        });
        due
    }

    /// Writes notes until told to stop, and then what is left.
    pub(crate) async fn run(&self, commands: &Commands, stop: &CancellationToken) {
        let notes = AuditStream::new(commands.log().nats().clone());
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(BEAT) => false,
            };
            for (fact, count, first, last) in self.due(clock::now()) {
                let note = Note { fact, count, first, last };
                while let Err(error) = note.keep(commands, &notes).await {
                    // One that can never be kept keeps no others waiting.
                    let hopeless = !matches!(error, CodecError::Log(LogError::Unavailable(_)));
                    if hopeless || stopping || stop.is_cancelled() {
                        tracing::warn!(%error, "a note was not written");
                        break;
                    }
                    tokio::time::sleep(BEAT).await;
                }
            }
            if stopping {
                return;
            }
        }
    }
}

/// The method and the path, which may be as long as a stranger likes.
fn line(request: &Request) -> String {
    let path = request.original_uri().path().chars().take(LONGEST_PATH);
    format!("{} {}", request.method(), path.collect::<String>())
}

struct Note {
    fact: AuditRecord,
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Note {
    async fn keep(&self, commands: &Commands, notes: &AuditStream) -> Result<(), CodecError> {
        let AuditRecord { who, request, request_id } = &self.fact;
        let tenant = who.tenant.as_ref().map_or(NOBODY, Tenant::as_str);
        let action = who.action.replace('.', "-");
        let address = who.address.map(|address| address.to_string());
        let mut subject = format!("{tenant}.{action}");
        if who.action == FIRST_USE {
            // One subject each, so that a gateway that starts knows what others have seen.
            let key = who.key.map(|key| key.to_string()).unwrap_or_default();
            let of = format!("{key} {}", address.clone().unwrap_or_default());
            let digest = Sha256::digest(of);
            subject = format!("{subject}.{}", hex::encode(digest.get(..12).unwrap_or_default()));
            if notes.holds(&subject).await? {
                return Ok(());
            }
        }
        let event = AuditEvent::Noted {
            action: who.action.to_owned(),
            key: who.key,
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

    fn refusal(last: u8) -> AuditRecord {
        AuditRecord::of_a_refusal([192, 0, 2, last].into(), None, "key.refused_unknown")
    }

    #[test]
    fn the_same_thing_is_told_once_at_once_and_once_a_minute() {
        let audit = Audit::new();
        audit.note(refusal(1));
        let now = clock::now();
        assert_eq!(audit.due(now).len(), 1);
        for _ in 0..1_000 {
            audit.note(refusal(1));
        }
        assert!(audit.due(now).is_empty());
        let later = now.plus(Duration::from_mins(1));
        let due = audit.due(later);
        assert_eq!(due.iter().map(|(_, count, ..)| *count).collect::<Vec<_>>(), [1_000]);
        assert!(audit.due(later.plus(Duration::from_mins(1))).is_empty());
    }

    #[test]
    fn however_many_strangers_come_what_is_kept_of_them_is_bounded() {
        let audit = Audit::new();
        for n in 0..50_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            audit.note(AuditRecord::of_a_refusal(address, None, "key.refused_unknown"));
        }
        let due = audit.due(clock::now());
        assert_eq!(due.len(), MOST + 1);
        assert_eq!(due.iter().map(|(_, count, ..)| count).sum::<u64>(), 50_000);
    }
}
