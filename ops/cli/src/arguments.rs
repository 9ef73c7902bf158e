use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// FFmpeg as a service, event-sourced.
#[derive(Debug, Parser)]
#[command(name = "ffapi", version, about)]
pub(crate) struct Arguments {
    /// A TOML file; environment variables `FFAPI_SECTION__KEY` win over it.
    #[arg(long, global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process, with a private NATS and Postgres
    Up {
        /// Where everything is kept
        #[arg(long, default_value = ".ffapi")]
        data_dir: PathBuf,
        /// Where HTTP is served
        #[arg(long)]
        listen: Option<String>,
    },
    /// Serve HTTP against given NATS and Postgres
    Gateway,
    /// Write the read models
    Projector,
    /// Release jobs to workers
    Conductor,
    /// Run media jobs
    Worker,
    /// Bring the database schema up to date
    Migrate,
    /// Make or check the streams
    Topology {
        #[command(subcommand)]
        verb: TopologyVerb,
    },
    /// Say what is wrong, and how to mend it
    Doctor,
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Make keys without one: the first of a service
    Keys {
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// Users of NATS that are not roles of ours
    Nats {
        #[command(subcommand)]
        verb: NatsVerb,
    },
    /// Look after the audit trail
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Look after the read models
    Projections {
        #[command(subcommand)]
        verb: ProjectionsVerb,
    },
    /// Print events as JSON lines
    Replay(Replay),
    /// Print minutes by month, tenant and codec, built from the whole log
    Report,
    /// Replay the log's arrivals and durations under other weights, caps or fleets
    Simulate(Simulate),
    /// Convert a local file on a server, and fetch the result
    Convert(Convert),
    /// List jobs
    Jobs(Server),
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print what is in force, secrets hidden
    Print,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyVerb {
    /// Make what is missing, mend what differs
    Apply,
    /// Say the first difference
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key and print its secret, once
    Create {
        /// Whose: a-z, 0-9 and `-`
        #[arg(long)]
        tenant: String,
        /// For a person
        #[arg(long, default_value = "made on the command line")]
        name: String,
        /// `jobs:read`, `jobs:write`, `keys:manage`, `audit:read` or `admin`; the first two if none is given
        #[arg(long)]
        scope: Vec<String>,
        /// `free`, `basic`, `premium` or `enterprise`; the account stays as it is if none is given
        #[arg(long)]
        tier: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NatsVerb {
    /// Make what lets a tenant's own programs hear its events, and print the server's side of it
    User {
        /// Whose: a-z, 0-9 and `-`
        #[arg(long)]
        tenant: String,
        /// What its programs connect to
        #[arg(long, default_value = "nats://127.0.0.1:4222")]
        server: String,
        /// The folder for `<tenant>.nk` and `<tenant>.json`
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Say whether anybody changed, removed, added or moved a row; fails if so
    Verify,
    /// Print the public half of `secrets.signing_key`: `secrets.verifying_key` of gateways
    Key,
    /// Tell every entry as it comes, from the first one on: JSON lines, for a SIEM
    Follow {
        /// Remember in this file how far it was told, and go on there
        #[arg(long)]
        state: Option<PathBuf>,
        /// Send RFC 5424 messages to udp://host:port or tcp://host:port instead of printing
        #[arg(long)]
        syslog: Option<String>,
        /// Send OpenTelemetry logs (OTLP/HTTP) to `http://host:4318` instead of printing;
        /// `OTEL_EXPORTER_OTLP_HEADERS` says what opens it
        #[arg(long, conflicts_with = "syslog")]
        otlp: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionsVerb {
    /// Say how far each is
    Status,
    /// Build one anew beside the served one, then switch; stopped, it goes on where it was
    Rebuild {
        /// Its name, as `status` tells it
        name: String,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Only this job's
    #[arg(long)]
    pub(crate) job: Option<String>,
    /// Only this tenant's
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// From this position on, like 1-42-0
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// At or after this RFC 3339 time
    #[arg(long)]
    pub(crate) since: Option<String>,
}

/// What would be otherwise.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Jobs that came at or after this RFC 3339 time
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Jobs that came before
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Slots, like 8 or cpu=8, nvenc=2
    #[arg(long, default_value = "2")]
    pub(crate) slots: Vec<String>,
    /// A tenant's weight, like acme=4
    #[arg(long)]
    pub(crate) weight: Vec<String>,
    /// A tenant's jobs at once, like acme=10
    #[arg(long)]
    pub(crate) cap: Vec<String>,
}

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Its address
    #[arg(long, env = "FFAPI_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// An API key; else the file `.ffapi/admin.key`
    #[arg(long, env = "FFAPI_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// A file that holds the key
    #[arg(long, default_value = ".ffapi/admin.key")]
    pub(crate) key_file: PathBuf,
}

/// What to convert.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The file to convert
    pub(crate) input: PathBuf,
    /// Where the result is written; its extension chooses the container
    pub(crate) output: PathBuf,
    /// Keep from here, in seconds or [HH:]MM:SS
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// Keep so much
    #[arg(long)]
    pub(crate) duration: Option<String>,
    /// Scale to this height
    #[arg(long)]
    pub(crate) height: Option<u32>,
    /// Quality: 0 (best) to 51 (smallest)
    #[arg(long)]
    pub(crate) crf: Option<u8>,
    /// `ultrafast` … `veryslow`
    #[arg(long)]
    pub(crate) preset: Option<String>,
}
