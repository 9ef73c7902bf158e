use std::collections::BTreeMap;

use ffapi_domain::Timestamp;
use ffapi_nats::{Position, topology::EVENTS};

use crate::{BackupError, Manifest, chunk, repository::Repository};

/// Up to where a log is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Everything that the backup has.
    Latest,
    /// Up to and including a position.
    Position(Position),
    /// Up to and including the last message that was stored at or before this time.
    Time(Timestamp),
}

/// What a restore would do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The backup.
    pub manifest: Manifest,
    /// Stream sequence of the last message that is restored.
    pub sequence: u64,
    /// When that was stored; none if nothing is restored.
    pub last_at: Option<Timestamp>,
}

/// Messages that a restore would leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// Number of messages by kind of aggregate.
    pub messages: BTreeMap<String, u64>,
    /// When the first and the last of them were stored.
    pub between: Option<(Timestamp, Timestamp)>,
}

impl Plan {
    /// Plans the restore of a backup (the newest one, if none is named) up to a point.
    ///
    /// # Errors
    /// When there is no such backup, the point is not in it, or the store fails.
    pub async fn new(
        repository: &Repository,
        backup: Option<&str>,
        point: Point,
    ) -> Result<Self, BackupError> {
        let manifest = match (backup, point) {
            (Some(id), _) => repository.backup(id).await?,
            (None, Point::Position(position)) => {
                repository.newest(Some(position.epoch)).await?.ok_or_else(|| {
                    let epoch = position.epoch;
                    BackupError::refused(format!("there is no backup of epoch {epoch}"))
                })?
            }
            (None, _) => repository
                .newest(None)
                .await?
                .ok_or_else(|| BackupError::refused("there is no backup in this store"))?,
        };
        let chunks = manifest.chunks(EVENTS);
        let (sequence, within) = match point {
            Point::Latest => (manifest.sequence, None),
            Point::Position(position) if position.epoch != manifest.epoch => {
                return Err(BackupError::refused(format!(
                    "backup {} is of epoch {}, not {}",
                    manifest.id, manifest.epoch, position.epoch
                )));
            }
            Point::Position(position) if position.sequence > manifest.sequence => {
                return Err(BackupError::refused(format!(
                    "backup {} ends at {}-{}",
                    manifest.id, manifest.epoch, manifest.sequence
                )));
            }
            Point::Position(position) => {
                let holds = chunks.iter().find(|chunk| position.sequence <= chunk.last);
                (position.sequence, holds)
            }
            Point::Time(time) => {
                let holds = chunks.iter().rev().find(|chunk| chunk.first_at <= time);
                let holds = holds
                    .ok_or_else(|| BackupError::refused(format!("the log begins after {time}")))?;
                let records = chunk::load(repository, EVENTS, holds).await?;
                let wanted = records.iter().rev().find(|record| record.at <= time.as_millis());
                (wanted.map_or(0, |record| record.sequence), Some(holds))
            }
        };
        let last_at = match within {
            None => chunks.last().map(|chunk| chunk.last_at),
            Some(chunk) => {
                let records = chunk::load(repository, EVENTS, chunk).await?;
                let last = records.iter().find(|record| record.sequence == sequence);
                last.map(|record| Timestamp::from_millis(record.at))
            }
        };
        Ok(Self { manifest, sequence, last_at })
    }

    /// What the backup has and the restore would leave out.
    ///
    /// # Errors
    /// When the store fails, or a chunk is damaged.
    pub async fn lost(&self, repository: &Repository) -> Result<Lost, BackupError> {
        let mut lost = Lost::default();
        let chunks = self.manifest.chunks(EVENTS).iter();
        for chunk in chunks.filter(|chunk| chunk.last > self.sequence) {
            let records = chunk::load(repository, EVENTS, chunk).await?;
            for record in records.iter().filter(|record| record.sequence > self.sequence) {
                lost.add(&record.subject, Timestamp::from_millis(record.at));
            }
        }
        Ok(lost)
    }
}

impl Lost {
    /// Adds a message.
    pub fn add(&mut self, subject: &str, at: Timestamp) {
        let kind = subject.split('.').nth(1).unwrap_or_default().to_owned();
        let count = self.messages.entry(kind).or_default();
        *count = count.saturating_add(1);
        let (first, last) = self.between.unwrap_or((at, at));
        self.between = Some((first.min(at), last.max(at)));
    }

    /// The number of all messages.
    pub fn total(&self) -> u64 {
        self.messages.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
