use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use ffapi_domain::Timestamp;
use ffapi_storage::duration_setting;
use serde::{Deserialize, Serialize};

use crate::{BackupError, Backups, Manifest, create::now, repository::Repository};

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
    /// Backups that cannot be read, and were therefore kept.
    pub unreadable: u64,
}

const HOUR: u64 = 3600 * 1000;
const DAY: u64 = 24 * HOUR;
/// How long an object may be unreferenced, because the backup that it belongs to is being made.
const UNFINISHED: Duration = Duration::from_hours(24);

/// Deletes backups that are not to be kept, and what only they needed. While a manifest cannot be read it is
/// unknown which chunks its backup needs: all are kept. Vaults are deleted all the same, because erased
/// tenants are in them.
///
/// # Errors
/// When the store fails.
pub async fn prune(repository: &Repository, keep: &Keep) -> Result<Pruned, BackupError> {
    let mut pruned = Pruned::default();
    let Backups { readable: backups, unreadable } = repository.backups().await?;
    for error in &unreadable {
        pruned.unreadable = pruned.unreadable.saturating_add(1);
        tracing::warn!(%error, "a backup cannot be read; it and all chunks are kept");
    }
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
        let delete = match (is_vault, unreadable.is_empty()) {
            (true, true) => vaults.is_over(key).unwrap_or(is_old),
            // It may be that of a backup that cannot be read.
            (true, false) => {
                vaults.is_over(key).unwrap_or_else(|| vaults.was_replaced(object.modified.into()))
            }
            (false, true) => !needed.contains(key) && (was_needed.contains(key) || is_old),
            (false, false) => false,
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
    /// When the backups were made, oldest first.
    made: Vec<Timestamp>,
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
        let made = backups.iter().map(|backup| backup.at).collect();
        let keep_millis = u64::try_from(keep.vault_days.as_millis()).unwrap_or(u64::MAX);
        Self { replaced, made, keep_millis }
    }

    /// True if it was replaced long enough ago; none if no backup has it.
    fn is_over(&self, key: &str) -> Option<bool> {
        let until = self.replaced.iter().rev().find(|(known, _)| *known == key)?.1;
        Some(until.is_some_and(|until| self.is_long_ago(until)))
    }

    /// True if a vault of this time, which no known backup has, was replaced long enough ago: by that of
    /// the first backup after it.
    fn was_replaced(&self, stored: Timestamp) -> bool {
        let later = self.made.iter().find(|at| **at > stored);
        later.is_some_and(|at| self.is_long_ago(*at))
    }

    fn is_long_ago(&self, time: Timestamp) -> bool {
        let oldest = now().as_millis().saturating_sub(self.keep_millis);
        time.as_millis() < oldest
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path, time::UNIX_EPOCH};

    use ffapi_storage::{PlainStore, StoresConfig};
    use uuid::Uuid;

    use super::*;
    use crate::manifest::{Chunk, FORMAT, VaultObject};

    /// A store with a backup of each of these ages in days, oldest first, each with a chunk and a vault of
    /// its own.
    async fn store_of(folder: &Path, ages: &[u64]) -> Repository {
        let name = folder.display().to_string();
        let repository =
            Repository::new(PlainStore::named(&name, &StoresConfig::default()).unwrap());
        for age in ages {
            let at = Timestamp::from_millis(now().as_millis() - age * DAY);
            let (sha256, contents) = (String::new(), String::new());
            let vault = format!("vault/{age}.age");
            let chunk = format!("streams/EVENTS/{age}.age");
            for key in [&vault, &chunk] {
                repository.put(key, "sealed".into()).await.unwrap();
                let file = fs::File::options().write(true).open(folder.join(key)).unwrap();
                file.set_modified(UNIX_EPOCH + Duration::from_millis(at.as_millis() - 1)).unwrap();
            }
            let chunk = Chunk {
                key: chunk,
                first: 1,
                last: 2,
                messages: 2,
                first_at: at,
                last_at: at,
                clear_bytes: 1,
                bytes: 1,
                sha256: sha256.clone(),
                chain: None,
            };
            let manifest = Manifest {
                format: FORMAT,
                id: format!("b{}", 100 - age),
                at,
                log_id: Uuid::nil(),
                epoch: 1,
                sequence: 2,
                version: String::new(),
                streams: BTreeMap::from([("EVENTS".to_owned(), vec![chunk])]),
                vault: VaultObject { key: vault, at, bytes: 1, sha256, contents },
                read_models: vec![],
            };
            repository.publish(&manifest).await.unwrap();
        }
        repository
    }

    async fn keys(repository: &Repository, beneath: &str) -> Vec<String> {
        let listed = repository.list(beneath).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }

    const KEEP: Keep = Keep {
        hourly: 1,
        daily: 1,
        weekly: 0,
        monthly: 0,
        vault_days: Duration::from_hours(7 * 24),
    };

    #[tokio::test]
    async fn backups_that_are_not_kept_are_deleted_with_what_only_they_needed() {
        let folder = tempfile::tempdir().unwrap();
        let repository = store_of(folder.path(), &[30, 20, 0]).await;
        let pruned = prune(&repository, &KEEP).await.unwrap();
        assert_eq!(pruned, Pruned { backups: 2, objects: 3, unreadable: 0 });
        assert_eq!(keys(&repository, "backups").await, ["backups/b100.json"]);
        assert_eq!(keys(&repository, "streams").await, ["streams/EVENTS/0.age"]);
        // The other one was replaced today.
        assert_eq!(keys(&repository, "vault").await, ["vault/0.age", "vault/20.age"]);
    }

    #[tokio::test]
    async fn a_backup_that_cannot_be_read_hides_no_others_and_keeps_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let repository = store_of(folder.path(), &[40, 30, 20, 10, 0]).await;
        for unreadable in ["backups/b70.json", "backups/b90.json"] {
            repository.put(unreadable, "{\"format\": 1, \"id\":".into()).await.unwrap();
        }
        let backups = repository.backups().await.unwrap();
        let ids: Vec<&str> = backups.readable.iter().map(|backup| backup.id.as_str()).collect();
        assert_eq!(ids, ["b60", "b80", "b100"]);
        assert!(backups.unreadable[0].to_string().contains("backups/b70.json"));
        let pruned = prune(&repository, &KEEP).await.unwrap();
        assert_eq!((pruned.backups, pruned.unreadable), (2, 2));
        let left = ["backups/b100.json", "backups/b70.json", "backups/b90.json"];
        assert_eq!(keys(&repository, "backups").await, left);
        assert_eq!(keys(&repository, "streams").await.len(), 5);
        // Those of 40 and 30 days ago were replaced long ago, those of 20 and 10 today.
        assert_eq!(
            keys(&repository, "vault").await,
            ["vault/0.age", "vault/10.age", "vault/20.age"]
        );
    }
}
