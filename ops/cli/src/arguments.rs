mod backup;
mod client;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use ffapi_domain::Month;
use ffapi_workers::Lifetime;

pub(crate) use self::{
    backup::{
        BackupStore, BackupVerb, Create as CreateBackup, Restore as RestoreBackup,
        Verify as VerifyBackup,
    },
    client::{Analyze, Batch, Convert, Jobs, Server, Submit},
};

/// FFmpeg as a service, event-sourced.
#[derive(Debug, Parser)]
#[command(name = "ffapi", version, about)]
pub(crate) struct Arguments {
    /// A TOML file; environment variables `FFAPI_SECTION__KEY` take precedence
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of `ffapi up`: operator commands use its servers, unless others are configured
    #[arg(long, global = true, default_value = ".ffapi")]
    pub(crate) data_dir: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process, with a private NATS and Postgres
    Up {
        /// The address that HTTP is served on
        #[arg(long)]
        listen: Option<String>,
    },
    /// Serve HTTP with an existing NATS and Postgres
    Gateway,
    /// Write the read models
    Projector,
    /// Release jobs to workers
    Conductor,
    /// Run media jobs
    Worker(Worker),
    /// Bring the database schema up to date
    Migrate,
    /// Create or check the NATS streams
    Topology {
        #[command(subcommand)]
        verb: TopologyVerb,
    },
    /// Report what is wrong and how to fix it
    Doctor {
        /// Also check what a service that others rely on needs: transport, replicas, backups, …
        #[arg(long)]
        production: bool,
    },
    /// Inspect the configuration
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Create keys without an existing one, such as the first key of a service
    Keys {
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// Rotate the master key and the pepper
    Secrets {
        #[command(subcommand)]
        verb: SecretsVerb,
    },
    /// Create NATS users for tenants
    Nats {
        #[command(subcommand)]
        verb: NatsVerb,
    },
    /// Verify or export the audit trail
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Make, list, verify and delete backups
    Backup {
        #[command(subcommand)]
        verb: BackupVerb,
    },
    /// Restore a backup: into the configured servers, or else into an empty data folder
    Restore(RestoreBackup),
    /// Inspect or rebuild the read models
    Projections {
        #[command(subcommand)]
        verb: ProjectionsVerb,
    },
    /// Print events as JSON lines
    Replay(Replay),
    /// Print media minutes by month, tenant and codec, computed from the whole log
    Report {
        #[command(subcommand)]
        verb: Option<ReportVerb>,
    },
    /// Simulate the scheduling of past jobs with other weights, limits or worker fleets
    Simulate(Simulate),
    /// Show what the stores hold, compare it with the log, or delete what nothing needs
    Storage {
        #[command(subcommand)]
        verb: StorageVerb,
    },
    /// Convert a local file on a server and download the result
    Convert(Convert),
    /// Package a file for streaming
    Stream(Submit),
    /// Make images of a video
    Thumbnails(Submit),
    /// Measure a file
    Analyze(Analyze),
    /// Describe a file
    Probe(Submit),
    /// Submit a job for each of many files, and follow them to their ends
    Batch(Batch),
    /// Upload a file and print its id
    Upload {
        #[command(flatten)]
        server: Server,
        /// The file
        file: PathBuf,
    },
    /// List jobs
    Jobs(Jobs),
    /// Show a job
    Get {
        #[command(flatten)]
        server: Server,
        /// `job_…`
        id: String,
    },
    /// Retry a failed or cancelled job
    Retry {
        #[command(flatten)]
        server: Server,
        /// `job_…`
        id: String,
    },
    /// Follow a job to its end
    Watch {
        #[command(flatten)]
        server: Server,
        /// `job_…`
        id: String,
    },
    /// Cancel a job
    Cancel {
        #[command(flatten)]
        server: Server,
        /// `job_…`
        id: String,
    },
    /// Exit with 0 if a server is ready for requests, as a container's health check does
    Health {
        /// Its URL
        #[arg(long, env = "FFAPI_URL", default_value = "http://127.0.0.1:8080")]
        url: String,
    },
    /// Convert a second of generated video on a running service, check the result, and delete it
    Smoke {
        #[command(flatten)]
        server: Server,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a man page for each command
    Man {
        /// The folder for `ffapi.1`, `ffapi-up.1`, …
        folder: PathBuf,
    },
}

impl Verb {
    /// The server that a client command connects to.
    pub(crate) const fn server_mut(&mut self) -> Option<&mut Server> {
        match self {
            Self::Convert(Convert { server, .. })
            | Self::Stream(Submit { server, .. })
            | Self::Thumbnails(Submit { server, .. })
            | Self::Analyze(Analyze { submit: Submit { server, .. }, .. })
            | Self::Probe(Submit { server, .. })
            | Self::Batch(Batch { server, .. })
            | Self::Jobs(Jobs { server, .. })
            | Self::Upload { server, .. }
            | Self::Get { server, .. }
            | Self::Retry { server, .. }
            | Self::Watch { server, .. }
            | Self::Cancel { server, .. }
            | Self::Smoke { server } => Some(server),
            Self::Up { .. }
            | Self::Gateway
            | Self::Projector
            | Self::Conductor
            | Self::Worker(_)
            | Self::Migrate
            | Self::Topology { .. }
            | Self::Doctor { .. }
            | Self::Config { .. }
            | Self::Keys { .. }
            | Self::Secrets { .. }
            | Self::Nats { .. }
            | Self::Audit { .. }
            | Self::Backup { .. }
            | Self::Restore(_)
            | Self::Projections { .. }
            | Self::Replay(_)
            | Self::Report { .. }
            | Self::Simulate(_)
            | Self::Storage { .. }
            | Self::Health { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }
}

/// How long a worker runs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Worker {
    /// Run one task and exit with 0, as a Kubernetes Job does
    #[arg(long)]
    once: bool,
    /// With `--once`: exit with 0 when no task was available for so many seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS", requires = "once")]
    idle: u32,
}

impl Worker {
    pub(crate) const fn lifetime(self) -> Lifetime {
        if self.once {
            Lifetime::OneTask { idle: Duration::from_secs(self.idle as u64) }
        } else {
            Lifetime::Unlimited
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print the effective configuration without secrets
    Print,
    /// Exit with 0 if the configuration is valid; it connects to no server
    Validate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyVerb {
    /// Create missing streams and update those that differ
    Apply {
        /// How many servers of the cluster store each stream; by default, existing streams keep
        /// their number and new ones have 1
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
        replicas: Option<u8>,
    },
    /// Report the first difference
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Create a key and print its secret once
    Create {
        /// The tenant of the key: a-z, 0-9 and `-`
        #[arg(long)]
        tenant: String,
        /// A name to recognise the key by
        #[arg(long, default_value = "made on the command line")]
        name: String,
        /// `jobs:read`, `jobs:write`, `keys:manage`, `audit:read` or `admin`; the first two if none
        /// is given
        #[arg(long)]
        scope: Vec<String>,
        /// `free`, `basic`, `premium` or `enterprise`; the account is unchanged if none is given
        #[arg(long)]
        tier: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsVerb {
    /// Encrypt what the vault has under the current master key
    Rewrap,
    /// Show what still depends on a previous master key or pepper; exit with 0 if nothing does
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NatsVerb {
    /// Create an nkey for a tenant's programs to subscribe to its events, and print the server's
    /// part
    User {
        /// The tenant: a-z, 0-9 and `-`
        #[arg(long)]
        tenant: String,
        /// The server URL for its programs
        #[arg(long, default_value = "nats://127.0.0.1:4222")]
        server: String,
        /// The folder for `<tenant>.nk` and `<tenant>.json`
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Check for changed, deleted, added and moved rows; fails if there are any
    Verify,
    /// Print the public key of `secrets.signing_key`, for `secrets.verifying_key` of gateways
    Key,
    /// Print every entry from the first one on as JSON lines, for a SIEM, and follow new ones
    Follow {
        /// Store the position in this file, and resume from it
        #[arg(long)]
        state: Option<PathBuf>,
        /// Send RFC 5424 messages to udp://host:port or tcp://host:port instead of printing
        #[arg(long)]
        syslog: Option<String>,
        /// Send OpenTelemetry logs (OTLP/HTTP) to `http://host:4318` instead of printing;
        /// `OTEL_EXPORTER_OTLP_HEADERS` sets its authentication headers
        #[arg(long, conflicts_with = "syslog")]
        otlp: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionsVerb {
    /// Print the position of each read model
    Status,
    /// Rebuild one next to the served one, then switch to it; resumes if interrupted
    Rebuild {
        /// Its name, as printed by `status`
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportVerb {
    /// Print how well a month met its objectives, by the series that a Prometheus recorded
    Slo(SloReport),
}

/// The month, and the Prometheus that knows it.
#[derive(Debug, Args)]
pub(crate) struct SloReport {
    /// Like 2026-11, in UTC; the current month by default
    #[arg(long)]
    pub(crate) month: Option<Month>,
    /// The Prometheus that has the rules of ops/observability; its URL may have a user and a password
    #[arg(long, env = "FFAPI_PROMETHEUS_URL", default_value = "http://127.0.0.1:9090")]
    pub(crate) prometheus: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageVerb {
    /// Print the objects and bytes of each tenant in each store
    Usage,
    /// Check that every output of a completed job is where the log says, with the size that it says
    Verify {
        /// Also read every output and compare its SHA-256
        #[arg(long)]
        hash: bool,
    },
    /// Delete what ended jobs have left staged and uploads that were interrupted, as every cleanup does
    Gc {
        /// Only print it
        #[arg(long)]
        dry_run: bool,
    },
}

/// The events to print.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Only events of this job
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// Only events of this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// From this position on, like 1-42-0
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// At or after this RFC 3339 time
    #[arg(long)]
    pub(crate) since: Option<String>,
}

/// The jobs to simulate, and the parameters to change.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Only jobs submitted at or after this RFC 3339 time
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only jobs submitted before this RFC 3339 time
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Worker slots, like 8 or cpu=8, nvenc=2
    #[arg(long, default_value = "2")]
    pub(crate) slots: Vec<String>,
    /// A tenant's weight, like acme=4
    #[arg(long)]
    pub(crate) weight: Vec<String>,
    /// A tenant's maximum concurrent jobs, like acme=10
    #[arg(long)]
    pub(crate) cap: Vec<String>,
}
