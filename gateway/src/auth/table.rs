use std::{
    collections::{BTreeSet, HashMap},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use domain::{
    Decider, KeyId, Tenant,
    key::{Key, KeyEvent, KeyState, Scope},
};
use nats::{Codec, CodecError, Decision, Log, LogError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Pepper, secret};

/// Every key, in memory, as new as the log: an unknown id costs no look-up anywhere.
#[derive(Debug)]
pub struct KeyTable {
    pepper: Pepper,
    keys: RwLock<HashMap<KeyId, (Tenant, KeyState)>>,
    ready: watch::Sender<bool>,
}

impl KeyTable {
    /// An empty table; [`KeyTable::follow`] fills it.
    pub fn new(pepper: Pepper) -> Self {
        Self { pepper, keys: RwLock::default(), ready: watch::Sender::new(false) }
    }

    /// Follows the log until told to stop.
    ///
    /// # Errors
    /// When the log cannot be had at the start.
    pub async fn follow(
        &self,
        log: &Log,
        codec: &Codec,
        stop: &CancellationToken,
    ) -> Result<(), LogError> {
        let last = log.last_sequence().await?;
        let keys = log.load_matching("ev.key.>", last).await?;
        for message in &keys {
            self.fold(codec, message).await;
        }
        self.ready.send_replace(true);
        let mut reader = log.follow_only("ev.key.>", last.saturating_add(1));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                message = reader.next() => self.fold(codec, &message).await,
            }
        }
    }

    /// Waits until every key that existed at the start is known.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// True if there is a key that opens.
    pub fn has_any(&self) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().any(|(_, state)| matches!(state, KeyState::Active { .. }))
    }

    async fn fold(&self, codec: &Codec, message: &nats::Message) {
        let Some((_, tenant, id)) = message.address() else { return };
        let parsed = (id.parse::<KeyId>(), tenant.parse::<Tenant>());
        let (Ok(id), Ok(tenant)) = parsed else { return };
        let decision: Decision<KeyEvent> = loop {
            match codec.decode(&message.payload).await {
                Ok(decision) => break decision,
                Err(CodecError::Unreadable(why)) => {
                    tracing::error!(%id, why, "a key cannot be read");
                    return;
                }
                Err(CodecError::Log(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let (_, state) = keys.entry(id).or_insert_with(|| (tenant, KeyState::default()));
        *state = decision.events.iter().fold(std::mem::take(state), Key::evolve);
    }

    /// Whose a secret is and what it may do; none if it opens nothing.
    pub(crate) fn check(&self, sent: &str) -> Option<(KeyId, Tenant, BTreeSet<Scope>)> {
        let (id, secret) = secret::parse(sent)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        match keys.get(&id)? {
            (tenant, KeyState::Active { hash, pepper_version, scopes })
                if *pepper_version == self.pepper.version && self.pepper.matches(&secret, hash) =>
            {
                Some((id, tenant.clone(), scopes.clone()))
            }
            _ => None,
        }
    }
}
