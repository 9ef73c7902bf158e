use std::{path::PathBuf, time::Duration};

use ffapi_backup::Keep;
use ffapi_storage::{comma_separated, duration_setting};
use serde::{Deserialize, Serialize};

/// Backups.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackupConfig {
    /// Where they are stored: one of the stores, a URL, or a folder.
    pub(crate) store: Option<String>,
    /// The public keys that they are encrypted to.
    #[serde(deserialize_with = "comma_separated")]
    pub(crate) recipients: Vec<String>,
    /// Time between two of them.
    #[serde(with = "duration_setting::seconds")]
    pub(crate) every: Duration,
    /// Which are kept.
    pub(crate) keep: Keep,
    /// The data folder of `ffapi up`, whose secrets are part of backups.
    #[serde(skip)]
    pub(crate) folder: Option<PathBuf>,
}

impl Default for BackupConfig {
    fn default() -> Self {
        let every = Duration::from_secs(30);
        Self { store: None, recipients: vec![], every, keep: Keep::default(), folder: None }
    }
}
