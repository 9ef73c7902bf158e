//! Keys that are rotated by themselves: told of before, given a new secret in time, handed out once.

use std::{sync::Arc, time::Duration};

use ffapi_commands::Caller;
use ffapi_domain::{
    Timestamp,
    key::{ActiveKey, Grant, Key, KeyCommand, KeyState},
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{KnownKey, mint},
    clock,
    problem::Problem,
    state::Gateway,
};

/// How often keys are looked at.
const BEAT: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// What is to be done about a key now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Announce(Timestamp),
    Rotate { grace: Duration },
}

/// A tenth of the period before its end, a week at most, it is told of; for half a period, a week at
/// most, the old secret opens as well.
fn due(key: &ActiveKey, now: Timestamp) -> Option<Due> {
    let period = Duration::from_secs(key.terms.rotate_every?);
    let end = key.rotated_at.plus(period);
    if end <= now {
        return Some(Due::Rotate { grace: (period / 2).min(WEEK) });
    }
    let soon = end.since(now) <= (period / 10).min(WEEK);
    (soon && key.rotation_due != Some(end)).then_some(Due::Announce(end))
}

/// Looks after every key until told to stop. Several gateways do no harm: who comes second finds the
/// secret that it would replace gone.
pub(crate) async fn run(gateway: Arc<Gateway>, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
        let now = clock::now();
        for key in gateway.directory.rotated_keys() {
            let KeyState::Active(held) = &key.state else { continue };
            let outcome = match due(held, now).filter(|_| !held.is_expired(now)) {
                None => continue,
                Some(Due::Announce(due)) => {
                    give(&gateway, &key, KeyCommand::AnnounceRotation { due }).await
                }
                Some(Due::Rotate { grace }) => rotate(&gateway, &key, held, grace).await,
            };
            if let Err(problem) = outcome {
                tracing::warn!(%problem, key = %key.id, "a key is not rotated yet");
            }
        }
    }
}

async fn give(gateway: &Gateway, key: &KnownKey, command: KeyCommand) -> Result<(), Problem> {
    let caller = Caller::process("rotation");
    let id = key.id.to_string();
    gateway.commands.handle::<Key>(key.tenant.as_str(), &id, &caller, command).await?;
    Ok(())
}

async fn rotate(
    gateway: &Gateway,
    key: &KnownKey,
    held: &ActiveKey,
    grace: Duration,
) -> Result<(), Problem> {
    let minted = mint(gateway.directory.pepper(), key.id, crate::random::bytes()?);
    // Kept before it is the key's: a secret that nobody can hand out would lock its holder out.
    let place = place(key, &minted.hash);
    gateway.vault.put(&place, minted.secret.as_bytes()).await?;
    let command = KeyCommand::Rotate {
        hash: minted.hash.clone(),
        pepper_version: minted.pepper_version,
        grace,
        replaces: Some(held.rotated_at),
        by: Grant::of_the_house(),
        at: clock::now(),
    };
    give(gateway, key, command).await?;
    // The one before, if nobody fetched it, opens nothing soon.
    if let Some(before) = held.secrets.first() {
        gateway.vault.take(&self::place(key, &before.hash)).await?;
    }
    gateway.directory.catch_up(gateway.commands.log()).await?;
    let ours = gateway.directory.key(key.id).is_some_and(|key| {
        let newest = key.state.key().and_then(|held| held.secrets.first());
        newest.is_some_and(|kept| kept.hash == minted.hash)
    });
    if !ours {
        gateway.vault.take(&place).await?;
    }
    Ok(())
}

/// The secret that a key was given by itself and that nobody fetched yet; from now on somebody has.
pub(super) async fn collect(gateway: &Gateway, key: &KnownKey) -> Result<Option<String>, Problem> {
    let KeyState::Active(held) = &key.state else { return Ok(None) };
    let Some(kept) = held.secrets.first() else { return Ok(None) };
    let secret = gateway.vault.take(&place(key, &kept.hash)).await?;
    Ok(secret.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn place(key: &KnownKey, hash: &str) -> String {
    format!("rotated.{}.{}", key.id, hash.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ffapi_domain::{Personal, key::KeyTerms};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_key_is_told_of_and_then_rotated_in_time() {
        let mut key = ActiveKey {
            name: Personal::Erased,
            description: None,
            secrets: vec![],
            scopes: BTreeSet::new(),
            terms: KeyTerms::default(),
            makers: vec![],
            rotated_at: at(1_000),
            rotation_due: None,
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
