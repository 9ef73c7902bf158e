use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Category, Decider, Timestamp, WebhookId};

/// Time after a claim in which the endpoint may still be created or changed: until then the claim
/// counts, whatever the read model knows about the endpoint.
const SETTLING_TIME: Duration = Duration::from_mins(1);
/// Maximum number of unsettled claims of one endpoint.
const MAX_CHANGES: usize = 32;

/// What happened to the webhook slots of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookQuotaEvent {
    /// A slot was claimed for an endpoint.
    #[serde(rename = "hookring.claimed")]
    Claimed {
        /// The endpoint.
        hook: WebhookId,
        /// Keyed hash of its URL and events: equal endpoints have equal digests.
        digest: String,
        /// Endpoints whose slots were reclaimed, because they were deleted or never created.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        gone: BTreeSet<WebhookId>,
        /// When it was claimed; the epoch in events from before this was recorded.
        #[serde(default)]
        at: Timestamp,
        /// Other digests it holds: the current one until the change happens, and those of other
        /// pending changes.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        beside: BTreeSet<String>,
    },
}

/// The read model's knowledge of a tenant's endpoints.
#[derive(Debug, Clone, Default)]
pub struct WebhookCensus {
    /// Endpoints that were deleted.
    pub deleted: BTreeSet<WebhookId>,
    /// Endpoints that do not exist yet.
    pub unmade: BTreeSet<WebhookId>,
    /// Digests of the other endpoints; not necessarily of all.
    pub digests: BTreeMap<WebhookId, String>,
    /// All of this was true at some time after this one.
    pub as_of: Timestamp,
}

/// The digests that an endpoint holds, and when each was claimed.
pub type WebhookClaims = BTreeMap<String, Timestamp>;

impl WebhookCensus {
    fn is_settling(&self, at: Timestamp) -> bool {
        self.as_of.since(at) < SETTLING_TIME
    }

    fn is_gone(&self, hook: WebhookId, claims: &WebhookClaims) -> bool {
        let settling = || claims.values().any(|at| self.is_settling(*at));
        self.deleted.contains(&hook) || (self.unmade.contains(&hook) && !settling())
    }

    /// True if an endpoint has this digest, or may be about to get it.
    fn holds(&self, hook: WebhookId, claims: &WebhookClaims, digest: &str) -> bool {
        match (self.digests.get(&hook), claims.get(digest)) {
            (Some(now), _) if now == digest => true,
            (Some(_), Some(at)) => self.is_settling(*at),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// A command for a tenant's webhook slots.
#[derive(Debug, Clone)]
pub enum WebhookQuotaCommand {
    /// Claim a slot for an endpoint that is about to be created or changed.
    Claim {
        /// The endpoint.
        hook: WebhookId,
        /// Keyed hash of its URL and events.
        digest: String,
        /// The read model's knowledge of the tenant's endpoints; at least of this one, if it
        /// exists.
        census: WebhookCensus,
        /// Number of endpoints in the read model: those created before slots were introduced have
        /// claimed none.
        known: u32,
        /// The account's limit.
        limit: u32,
    },
}

/// The webhook quota decider: bounds the number of endpoints, and prevents duplicates, even if many
/// are created concurrently.
#[derive(Debug)]
pub struct WebhookQuota;

/// Why a webhook quota command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookQuotaRejection {
    /// Every slot is taken.
    #[error("the account has its {limit} webhooks; delete one that is not needed")]
    Full {
        /// The account's limit.
        limit: u32,
    },
    /// An endpoint with the same URL and events exists.
    #[error("{hook} sends the same events to this address already; change that one")]
    Same {
        /// The existing endpoint.
        hook: WebhookId,
    },
    /// Too many changes are pending.
    #[error(
        "the webhook's `url` or `events` were changed over {MAX_CHANGES} times within a \
         minute; wait a minute"
    )]
    Busy,
}

impl Decider for WebhookQuota {
    type Command = WebhookQuotaCommand;
    type Event = WebhookQuotaEvent;
    type State = BTreeMap<WebhookId, WebhookClaims>;
    type Rejection = WebhookQuotaRejection;

    const CATEGORY: &'static str = Category::WebhookQuota.as_str();

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
        // An endpoint that has a slot keeps it through all changes.
        let own = state.get(&hook);
        if own.is_none() {
            let claimed = u32::try_from(others().count()).unwrap_or(u32::MAX);
            if claimed.max(known) >= limit {
                return Err(WebhookQuotaRejection::Full { limit });
            }
        }
        let held = own.and_then(|claims| claims.get(&digest));
        if held.is_some_and(|held| at.since(*held) < SETTLING_TIME / 2) {
            return Ok(vec![]);
        }
        let beside = own.into_iter().flatten().map(|(beside, _)| beside);
        let beside = beside.filter(|beside| {
            **beside != digest && own.is_some_and(|claims| census.holds(hook, claims, beside))
        });
        let beside: BTreeSet<String> = beside.cloned().collect();
        if beside.len() > MAX_CHANGES {
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
        // Events from before the time was recorded: the claim is at least as old as the endpoint's
        // id.
        claims.insert(digest.clone(), (*at).max(id_created_at(*hook)));
        state
    }
}

/// When an endpoint's id was created.
fn id_created_at(hook: WebhookId) -> Timestamp {
    let (seconds, nanos) = hook.uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    Timestamp::from_millis(seconds.saturating_mul(1_000)).plus(Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests;
