use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Decider, Timestamp, WebhookId};

/// How long after its claim an endpoint may still be made or changed: until then the claim counts,
/// whatever the endpoint is.
const SETTLING: Duration = Duration::from_mins(1);
/// Claims of one endpoint that may be settling at once.
const CHANGES: usize = 32;

/// What happened to the places for a tenant's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookQuotaEvent {
    /// An endpoint has a place.
    #[serde(rename = "hookring.claimed")]
    Claimed {
        /// Which.
        hook: WebhookId,
        /// A keyed hash of where and of what: two that are the same have the same.
        digest: String,
        /// Those whose places it found free, for they are deleted or never came to be.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<WebhookId>,
        /// When; the beginning of time in events of before this was kept.
        #[serde(default)]
        at: Timestamp,
        /// What else it holds: what it is as long as the change does not happen, and other changes that may
        /// be under way.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        beside: BTreeSet<String>,
    },
}

/// What is known of a tenant's endpoints.
#[derive(Debug, Clone, Default)]
pub struct WebhookCensus {
    /// Those that are deleted.
    pub deleted: BTreeSet<WebhookId>,
    /// Those that nobody made so far.
    pub unmade: BTreeSet<WebhookId>,
    /// What the others are. It says nothing of those that it does not name.
    pub digests: BTreeMap<WebhookId, String>,
    /// Everything of the above was so after this time.
    pub as_of: Timestamp,
}

/// What an endpoint holds, and since when.
pub type WebhookClaims = BTreeMap<String, Timestamp>;

impl WebhookCensus {
    fn is_settling(&self, at: Timestamp) -> bool {
        self.as_of.since(at) < SETTLING
    }

    fn is_gone(&self, hook: WebhookId, claims: &WebhookClaims) -> bool {
        let settling = || claims.values().any(|at| self.is_settling(*at));
        self.deleted.contains(&hook) || (self.unmade.contains(&hook) && !settling())
    }

    /// True if an endpoint is this, or may be about to become it.
    fn holds(&self, hook: WebhookId, claims: &WebhookClaims, digest: &str) -> bool {
        match (self.digests.get(&hook), claims.get(digest)) {
            (Some(now), _) if now == digest => true,
            (Some(_), Some(at)) => self.is_settling(*at),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum WebhookQuotaCommand {
    /// A place for an endpoint that is about to be made, or to become another.
    Claim {
        /// Which.
        hook: WebhookId,
        /// A keyed hash of where and of what.
        digest: String,
        /// What is known of the tenant's endpoints; at least of this one, if it is there.
        census: WebhookCensus,
        /// How many there are, as far as the read side knows: those of before there was a ring claimed
        /// nothing.
        known: u32,
        /// What the account has.
        limit: u32,
    },
}

/// The decider of a tenant's endpoints: however many are made at once, there are no more than may be, and
/// no two that are the same.
#[derive(Debug)]
pub struct WebhookQuota;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookQuotaRejection {
    /// Every place is taken.
    #[error("the account has its {limit} webhooks; delete one that is not needed")]
    Full {
        /// What the account has.
        limit: u32,
    },
    /// There is one that sends the same to the same address.
    #[error("{hook} sends the same events to this address already; change that one")]
    Same {
        /// Which.
        hook: WebhookId,
    },
    /// It is changed again and again.
    #[error(
        "the webhook's `url` or `events` were to be changed {CHANGES} times within a minute; wait one"
    )]
    Busy,
}

impl Decider for WebhookQuota {
    type Command = WebhookQuotaCommand;
    type Event = WebhookQuotaEvent;
    type State = BTreeMap<WebhookId, WebhookClaims>;
    type Rejection = WebhookQuotaRejection;

    const CATEGORY: &'static str = "hookring";

    fn decide(
        state: &Self::State,
        command: WebhookQuotaCommand,
    ) -> Result<Vec<WebhookQuotaEvent>, WebhookQuotaRejection> {
        let WebhookQuotaCommand::Claim { hook, digest, census, known, limit } = command;
        let at = census.as_of;
        let others = || {
            let others = state.iter().filter(|(other, _)| **other != hook);
            others.filter(|(other, claims)| !census.is_gone(**other, claims))
        };
        if let Some((same, _)) =
            others().find(|(other, claims)| census.holds(**other, claims, &digest))
        {
            return Err(WebhookQuotaRejection::Same { hook: *same });
        }
        // One that has a place keeps it, whatever it becomes.
        let own = state.get(&hook);
        if own.is_none() {
            let claimed = u32::try_from(others().count()).unwrap_or(u32::MAX);
            if claimed.max(known) >= limit {
                return Err(WebhookQuotaRejection::Full { limit });
            }
        }
        let held = own.and_then(|claims| claims.get(&digest));
        if held.is_some_and(|held| at.since(*held) < SETTLING / 2) {
            return Ok(vec![]);
        }
        let beside = own.into_iter().flatten().map(|(beside, _)| beside);
        let beside = beside.filter(|beside| {
            **beside != digest && own.is_some_and(|claims| census.holds(hook, claims, beside))
        });
        let beside: BTreeSet<String> = beside.cloned().collect();
        if beside.len() > CHANGES {
            return Err(WebhookQuotaRejection::Busy);
        }
        let gone =
            state.iter().filter(|(gone, claims)| **gone != hook && census.is_gone(**gone, claims));
        let gone = gone.map(|(gone, _)| *gone).collect();
        Ok(vec![WebhookQuotaEvent::Claimed { hook, digest, gone, at, beside }])
    }

    fn evolve(mut state: Self::State, event: &WebhookQuotaEvent) -> Self::State {
        let WebhookQuotaEvent::Claimed { hook, digest, gone, at, beside } = event;
        state.retain(|hook, _| !gone.contains(hook));
        let claims = state.entry(*hook).or_default();
        claims.retain(|claimed, _| beside.contains(claimed));
        // Events of before the time was kept: a name is as old as its claim at least.
        claims.insert(digest.clone(), (*at).max(named_at(*hook)));
        state
    }
}

/// When an endpoint got its name.
fn named_at(hook: WebhookId) -> Timestamp {
    let (seconds, nanos) = hook.uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    Timestamp::from_millis(seconds.saturating_mul(1_000)).plus(Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests;
