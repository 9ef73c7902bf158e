//! Automatic rotation of keys: announced in advance; the new secret can be collected once, and the next
//! rotation waits until it is.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands, HandleError};
use ffapi_domain::{
    KeyId, Timestamp,
    key::{ActiveKey, Grant, Key, KeyCommand, KeyRejection, KeyState},
};
use ffapi_nats::{LogError, Vault};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{CredentialStore, CredentialsBehind, KnownKey, mint},
    clock,
    random::RandomError,
};

/// When a key whose newest secret was not collected is looked at again.
const UNCOLLECTED_RECHECK_INTERVAL: Duration = Duration::from_mins(1);
/// How often keys are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Upper bound of the notice before a rotation, and of the grace period after it.
const WEEK: Duration = Duration::from_hours(7 * 24);

/// The next step of a key's rotation that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Announce(Timestamp),
    Rotate { grace: Duration },
}

/// A rotation is announced a tenth of the period before its end, a week at most. The old secret
/// stays valid for half a period, a week at most.
fn due(key: &ActiveKey, now: Timestamp) -> Option<Due> {
    let period = Duration::from_secs(key.terms.rotate_every?);
    let end = key.rotated_at.plus(period);
    if end <= now {
        return Some(Due::Rotate { grace: (period / 2).min(WEEK) });
    }
    let soon = end.since(now) <= (period / 10).min(WEEK);
    (soon && key.rotation_due != Some(end)).then_some(Due::Announce(end))
}

/// Rotates the keys whose terms ask for it.
#[derive(Debug, Clone)]
pub(crate) struct KeyRotation {
    commands: Arc<Commands>,
    credentials: Arc<CredentialStore>,
    vault: Vault,
}

/// Why a key is not rotated yet.
#[derive(Debug, thiserror::Error)]
enum RotationError {
    #[error(transparent)]
    Command(#[from] HandleError<KeyRejection>),
    /// The vault or the log is unavailable.
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Credentials(#[from] CredentialsBehind),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl KeyRotation {
    pub(crate) const fn new(
        commands: Arc<Commands>,
        credentials: Arc<CredentialStore>,
        vault: Vault,
    ) -> Self {
        Self { commands, credentials, vault }
    }

    /// Rotates keys until `stop` is cancelled. Several gateways may do so at once: the command of the
    /// second one is rejected, because the secret that it replaces is no longer the newest.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut uncollected: BTreeMap<KeyId, Instant> = BTreeMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            let now = clock::now();
            for key in self.credentials.rotated_keys() {
                let KeyState::Active(held) = &key.state else { continue };
                let due = due(held, now).filter(|_| !held.is_expired(now));
                let Some(due) = due else { continue };
                let found_lately = |found: &Instant| found.elapsed() < UNCOLLECTED_RECHECK_INTERVAL;
                if uncollected.get(&key.id).is_some_and(found_lately) {
                    continue;
                }
                if self.is_uncollected(&key, held).await {
                    uncollected.insert(key.id, Instant::now());
                    continue;
                }
                uncollected.remove(&key.id);
                let outcome = match due {
                    Due::Announce(due) => {
                        self.execute(&key, KeyCommand::AnnounceRotation { due }).await
                    }
                    Due::Rotate { grace } => self.rotate(&key, held, grace).await,
                };
                if let Err(error) = outcome {
                    tracing::warn!(%error, key = %key.id, "a key is not rotated yet");
                }
            }
        }
    }

    /// True if nobody has collected the secret of the last automatic rotation: the next one would write
    /// to the log, and no client would know its secret either.
    async fn is_uncollected(&self, key: &KnownKey, held: &ActiveKey) -> bool {
        let Some(current) = held.secrets.first() else { return false };
        let kept = self.vault.read(&vault_name(key, &current.hash)).await;
        // If the vault cannot be read, the rotation itself will fail.
        kept.is_ok_and(|kept| kept.is_some())
    }

    async fn execute(&self, key: &KnownKey, command: KeyCommand) -> Result<(), RotationError> {
        let caller = Caller::process("rotation");
        let id = key.id.to_string();
        self.commands.handle::<Key>(key.tenant.as_str(), &id, &caller, command).await?;
        Ok(())
    }

    async fn rotate(
        &self,
        key: &KnownKey,
        held: &ActiveKey,
        grace: Duration,
    ) -> Result<(), RotationError> {
        let minted = mint(self.credentials.pepper(), key.id, crate::random::bytes()?);
        // Stored before it becomes valid: otherwise a crash would lock the holder of the key out.
        let vault_name = vault_name(key, &minted.hash);
        self.vault.put(&vault_name, minted.secret.as_bytes()).await?;
        let command = KeyCommand::Rotate {
            hash: minted.hash.clone(),
            pepper_version: minted.pepper_version,
            grace,
            replaces: Some(held.rotated_at),
            by: Grant::unrestricted(),
            at: clock::now(),
        };
        self.execute(key, command).await?;
        // The previous one, if it was not collected, is removed: it expires soon.
        if let Some(previous) = held.secrets.first() {
            self.vault.take(&self::vault_name(key, &previous.hash)).await?;
        }
        self.credentials.catch_up(self.commands.log()).await?;
        let is_current = self.credentials.key(key.id).is_some_and(|key| {
            let newest = key.state.key().and_then(|held| held.secrets.first());
            newest.is_some_and(|kept| kept.hash == minted.hash)
        });
        if !is_current {
            self.vault.take(&vault_name).await?;
        }
        Ok(())
    }
}

/// Takes the secret of an automatic rotation out of the vault, if it was not collected before.
pub(super) async fn collect(vault: &Vault, key: &KnownKey) -> Result<Option<String>, LogError> {
    let KeyState::Active(held) = &key.state else { return Ok(None) };
    let Some(kept) = held.secrets.first() else { return Ok(None) };
    let secret = vault.take(&vault_name(key, &kept.hash)).await?;
    Ok(secret.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// The name under which the vault holds a rotated secret until it is collected.
fn vault_name(key: &KnownKey, hash: &str) -> String {
    format!("rotated.{}.{}", key.id, hash.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ffapi_domain::{Personal, key::KeyTerms};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_rotation_is_announced_and_then_due() {
        let mut key = ActiveKey {
            name: Personal::Erased,
            description: None,
            secrets: vec![],
            scopes: BTreeSet::new(),
            terms: KeyTerms::default(),
            makers: vec![],
            rotated_at: at(1_000),
            rotation_due: None,
            revoked_tokens: BTreeMap::new(),
        };
        assert_eq!(due(&key, at(9_999_999)), None);
        key.terms.rotate_every = Some(1_000);
        assert_eq!(due(&key, at(1_899)), None);
        assert_eq!(due(&key, at(1_900)), Some(Due::Announce(at(2_000))));
        key.rotation_due = Some(at(2_000));
        assert_eq!(due(&key, at(1_901)), None);
        let grace = Duration::from_secs(500);
        assert_eq!(due(&key, at(2_000)), Some(Due::Rotate { grace }));
    }
}
