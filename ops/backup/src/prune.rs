use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use ffapi_domain::Timestamp;
use ffapi_storage::duration_setting;
use serde::{Deserialize, Serialize};

use crate::{BackupError, Manifest, create::now, repository::Repository};

/// Which backups are kept. The newest one always is, and with it every earlier position of its
/// epoch: the older ones are for the case that it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The last backup of each of so many hours.
    pub hourly: u64,
    /// The last backup of each of so many days, UTC.
    pub daily: u64,
    /// The last backup of each of so many weeks.
    pub weekly: u64,
    /// The last backup of each of so many months of 30 days.
    pub monthly: u64,
    /// How long a vault is kept once it was replaced by a newer one. A tenant's data can be restored
    /// for so long after its erasure, and no longer.
    #[serde(with = "duration_setting::days")]
    pub vault_days: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            hourly: 24,
            daily: 7,
            weekly: 4,
            monthly: 12,
            vault_days: Duration::from_hours(7 * 24),
        }
    }
}

/// What was deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Backups.
    pub backups: u64,
    /// Chunks and vaults.
    pub objects: u64,
}

const HOUR: u64 = 3600 * 1000;
const DAY: u64 = 24 * HOUR;
/// How long an object may be unreferenced, because the backup that it belongs to is being made.
const UNFINISHED: Duration = Duration::from_hours(24);

/// Deletes backups that are not to be kept, and what only they needed.
///
/// # Errors
/// When the store fails.
pub async fn prune(repository: &Repository, keep: &Keep) -> Result<Pruned, BackupError> {
    let mut pruned = Pruned::default();
    let backups = repository.backups().await?;
    let kept = kept(&backups, keep);
    let (kept, dropped): (Vec<_>, Vec<_>) =
        backups.iter().partition(|backup| kept.contains(backup.id.as_str()));
    let needed: BTreeSet<&str> = kept.iter().flat_map(|backup| backup.keys()).collect();
    for backup in &dropped {
        repository.retract(&backup.id).await?;
        pruned.backups = pruned.backups.saturating_add(1);
    }
    let was_needed: BTreeSet<&str> = dropped.iter().flat_map(|backup| backup.keys()).collect();
    let vaults = VaultTimes::of(&backups, keep);
    let long_ago = SystemTime::now().checked_sub(UNFINISHED);
    let chunks = repository.list("streams").await?;
    let all_vaults = repository.list("vault").await?;
    for object in chunks.iter().chain(&all_vaults) {
        let key = object.key.as_str();
        let is_old = long_ago.is_some_and(|long_ago| object.modified < long_ago);
        let is_vault = key.starts_with("vault/");
        let delete = if is_vault {
            vaults.is_over(key).unwrap_or(is_old)
        } else {
            !needed.contains(key) && (was_needed.contains(key) || is_old)
        };
        if delete {
            repository.remove(key).await?;
            pruned.objects = pruned.objects.saturating_add(1);
        }
    }
    Ok(pruned)
}

/// The ids of the backups that are kept.
fn kept<'a>(backups: &'a [Manifest], keep: &Keep) -> BTreeSet<&'a str> {
    let mut kept: BTreeSet<&str> =
        backups.last().map(|newest| newest.id.as_str()).into_iter().collect();
    let rules =
        [(HOUR, keep.hourly), (DAY, keep.daily), (7 * DAY, keep.weekly), (30 * DAY, keep.monthly)];
    for (length, count) in rules {
        let mut periods = BTreeSet::new();
        for backup in backups.iter().rev() {
            let period = backup.at.as_millis() / length;
            if periods.len() as u64 >= count && !periods.contains(&period) {
                break;
            }
            if periods.insert(period) {
                kept.insert(&backup.id);
            }
        }
    }
    kept
}

/// The vaults of the backups, and when each was replaced.
struct VaultTimes<'a> {
    /// Keys with the time at which the next one was stored; the newest has none.
    replaced: Vec<(&'a str, Option<Timestamp>)>,
    keep_millis: u64,
}

impl<'a> VaultTimes<'a> {
    fn of(backups: &'a [Manifest], keep: &Keep) -> Self {
        let mut replaced: Vec<(&str, Option<Timestamp>)> = Vec::new();
        for backup in backups {
            let key = backup.vault.key.as_str();
            match replaced.last_mut() {
                Some((last, _)) if *last == key => continue,
                Some((_, until)) => *until = Some(backup.at),
                None => {}
            }
            replaced.push((key, None));
        }
        let keep_millis = u64::try_from(keep.vault_days.as_millis()).unwrap_or(u64::MAX);
        Self { replaced, keep_millis }
    }

    /// True if it was replaced long enough ago; none if no backup has it.
    fn is_over(&self, key: &str) -> Option<bool> {
        let until = self.replaced.iter().rev().find(|(known, _)| *known == key)?.1;
        let oldest = now().as_millis().saturating_sub(self.keep_millis);
        Some(until.is_some_and(|until| until.as_millis() < oldest))
    }
}
