use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Create a key: backups are encrypted to its public part, and decrypted with the file
    Key {
        /// The file for the private part; keep it apart from the backups
        #[arg(long, default_value = "backup.key")]
        out: PathBuf,
    },
    /// Make a backup: copy what was added since the last one
    Create(Create),
    /// List the backups
    List {
        #[command(flatten)]
        store: BackupStore,
    },
    /// Restore a backup into private servers and compare it; fails if it differs
    Verify(Verify),
    /// Restore the newest backup into private servers, lose each of them, recover, and print how long
    /// that took; fails if anything is lost
    Drill(Verify),
    /// Delete backups that are not to be kept, as `backup.keep` says
    Prune {
        #[command(flatten)]
        store: BackupStore,
    },
}

/// The store of the backups.
#[derive(Debug, Args)]
pub(crate) struct BackupStore {
    /// A configured store, a URL (s3://…, az://…, gs://…, file:///…), or a folder; `backup.store` if
    /// absent
    #[arg(long = "store", visible_aliases = ["to", "from"])]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) store: BackupStore,
    /// A public key, age1…; `backup.recipients` if absent
    #[arg(long)]
    pub(crate) recipient: Vec<String>,
    /// Leave out the digests of the read models, which take a scan of every table: `verify` does not
    /// compare them then
    #[arg(long)]
    pub(crate) without_read_models: bool,
    /// Continue until it is stopped, with a backup every `backup.every`, and prune
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) store: BackupStore,
    /// The file with the private key
    #[arg(long)]
    pub(crate) identity: PathBuf,
    /// The id of the backup; the newest one if absent
    pub(crate) backup: Option<String>,
}

/// The backup to restore, and up to where.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) store: BackupStore,
    /// The file with the private key
    #[arg(long)]
    pub(crate) identity: PathBuf,
    /// The id of the backup; the newest one if absent
    #[arg(long)]
    pub(crate) backup: Option<String>,
    /// Up to and including this position, like 1-42-0
    #[arg(long, conflicts_with = "to_time")]
    pub(crate) to_position: Option<String>,
    /// Up to and including this RFC 3339 time
    #[arg(long)]
    pub(crate) to_time: Option<String>,
    /// Also restore what the archive in the configured Postgres has after the backup: where only NATS
    /// is lost, that is everything
    #[arg(long, conflicts_with_all = ["to_position", "to_time"])]
    pub(crate) with_archive: bool,
    /// Delete what the archive in the configured Postgres has after the backup
    #[arg(long, conflicts_with_all = ["to_position", "to_time", "with_archive"])]
    pub(crate) discard_archive: bool,
    /// Clear and build only the read models, where Postgres is lost and the log is not
    #[arg(long, conflicts_with_all = ["to_position", "to_time", "with_archive", "discard_archive", "backup"])]
    pub(crate) read_models: bool,
    /// Print what would be restored and what would be lost, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
