//! The `ffapi` binary: server, operator tool and client.

mod arguments;
mod audit;
mod backup;
mod child;
mod client;
mod config;
mod doctor;
mod keyring;
mod keys;
mod local;
mod manual;
mod metrics;
mod nats_users;
mod otlp;
mod process;
mod production;
mod readmodels;
mod replay;
mod report;
mod roles;
mod rotation;
mod secret_rotation;
mod secrets;
mod service_manager;
mod ship;
mod simulate;
mod storage;
mod subscriber;
mod telemetry;
mod up;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, AuditVerb, BackupVerb, ConfigVerb, ReportVerb, Verb};
use config::Needed;
use doctor::Purpose;
use keyring::Secret;
use roles::Role;
use serde_json::Map;

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let key_file = arguments.data_dir.join("admin.key");
    if let Some(server) = arguments.verb.server_mut() {
        server.key_file.get_or_insert(key_file);
    } else if !matches!(arguments.verb, Verb::Completions { .. } | Verb::Man { .. }) {
        process::prepare();
    }
    if !is_server(&arguments.verb) {
        process::end_with_reader();
    }
    // The default of the whole process; an error means that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    // `block_on` runs on the main thread, so servers started by it live as long as the process.
    let outcome = runtime.block_on(run(arguments));
    // Tasks that still block on a disk or a pipe do not delay the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if process::is_closed_pipe(&error) => ExitCode::from(process::CLOSED_PIPE),
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("ffapi: {error:#}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let needed = Needed { secrets: secrets(&arguments.verb), stores: uses_stores(&arguments.verb) };
    let mut config = config::load(arguments.config.as_deref(), needed).await?;
    let mut folder = None;
    if is_operator(&arguments.verb) {
        let attached = local::attach(&mut config, &arguments.data_dir, needed.secrets)?;
        folder = attached.then_some(arguments.data_dir.as_path());
    }
    match arguments.verb {
        Verb::Up { listen } => Box::pin(up::up(config, &arguments.data_dir, listen)).await,
        Verb::Gateway => roles::alone(&config, Role::Gateway).await,
        Verb::Projector => roles::alone(&config, Role::Projector).await,
        Verb::Conductor => roles::alone(&config, Role::Conductor).await,
        Verb::Worker(asked) => roles::alone(&config, Role::Worker(asked.lifetime())).await,
        Verb::Migrate => roles::migrate(&config).await,
        Verb::Topology { verb } => roles::topology(&config, &verb).await,
        Verb::Doctor { production } => {
            let purpose = if production { Purpose::Production } else { Purpose::Trial };
            doctor::doctor(&config, purpose).await
        }
        Verb::Config { verb: ConfigVerb::Print } => config::print(&config),
        Verb::Config { verb: ConfigVerb::Validate } => config::validate(&config),
        Verb::Keys { verb } => keys::run(&config, verb).await,
        Verb::Secrets { verb } => secret_rotation::run(&config, &verb).await,
        Verb::Nats { verb } => subscriber::make(verb),
        Verb::Audit { verb } => audit::run(&config, verb).await,
        Verb::Backup { verb } => Box::pin(backup::run(&config, folder, verb)).await,
        Verb::Restore(asked) => {
            Box::pin(backup::restore(&config, &arguments.data_dir, asked)).await
        }
        Verb::Projections { verb } => Box::pin(readmodels::run(&config, &verb)).await,
        Verb::Replay(asked) => replay::replay(&config, asked).await,
        Verb::Report { verb: None } => Box::pin(report::print(&config)).await,
        Verb::Report { verb: Some(ReportVerb::Slo(asked)) } => report::slo(asked).await,
        Verb::Simulate(asked) => simulate::simulate(&config, asked).await,
        Verb::Storage { verb } => Box::pin(storage::run(&config, &verb)).await,
        Verb::Convert(asked) => client::convert(asked).await,
        Verb::Stream(asked) => client::submit(asked, "stream", Map::new()).await,
        Verb::Thumbnails(asked) => client::submit(asked, "thumbnails", Map::new()).await,
        Verb::Analyze(asked) => client::analyze(asked).await,
        Verb::Probe(asked) => client::submit(asked, "probe", Map::new()).await,
        Verb::Batch(asked) => client::batch(asked).await,
        Verb::Upload { server, file } => client::upload(&server, &file).await,
        Verb::Jobs(asked) => client::jobs(&asked).await,
        Verb::Get { server, id } => client::get(&server, &id).await,
        Verb::Retry { server, id } => client::retry(&server, &id).await,
        Verb::Watch { server, id } => client::watch(&server, &id).await,
        Verb::Cancel { server, id } => client::cancel(&server, &id).await,
        Verb::Health { url } => client::health(&url).await,
        Verb::Smoke { server } => client::smoke(&server).await,
        Verb::Completions { shell } => {
            manual::completions(shell);
            Ok(())
        }
        Verb::Man { folder } => manual::man(&folder),
    }
}

const fn is_server(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Up { .. } | Verb::Gateway | Verb::Projector | Verb::Conductor | Verb::Worker(_)
    )
}

/// True for commands that inspect or change a running service without its API.
const fn is_operator(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Topology { .. }
            | Verb::Doctor { .. }
            | Verb::Keys { .. }
            | Verb::Secrets { .. }
            | Verb::Audit { .. }
            | Verb::Backup { .. }
            | Verb::Projections { .. }
            | Verb::Replay(_)
            | Verb::Report { verb: None }
            | Verb::Simulate(_)
            | Verb::Storage { .. }
    )
}

/// True if a command reads or writes objects.
const fn uses_stores(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Up { .. }
            | Verb::Gateway
            | Verb::Conductor
            | Verb::Worker(_)
            | Verb::Doctor { .. }
            | Verb::Backup { .. }
            | Verb::Restore(_)
            | Verb::Storage { .. }
            | Verb::Config { .. }
    )
}

/// The secrets that a command needs.
const fn secrets(verb: &Verb) -> &'static [Secret] {
    match verb {
        Verb::Gateway => Role::Gateway.secrets(),
        Verb::Projector => Role::Projector.secrets(),
        Verb::Conductor => Role::Conductor.secrets(),
        Verb::Worker(asked) => Role::Worker(asked.lifetime()).secrets(),
        Verb::Keys { .. } | Verb::Secrets { .. } => &[Secret::Master, Secret::Pepper],
        Verb::Audit { verb: AuditVerb::Verify } => &[Secret::Master, Secret::Verifying],
        Verb::Backup { verb: BackupVerb::Verify(_) | BackupVerb::Drill(_) } | Verb::Restore(_) => {
            &[Secret::Master, Secret::Verifying]
        }
        Verb::Audit { verb: AuditVerb::Key } => &[Secret::Verifying],
        Verb::Audit { verb: AuditVerb::Follow { .. } }
        | Verb::Projections { .. }
        | Verb::Replay(_)
        | Verb::Report { verb: None }
        | Verb::Simulate(_)
        | Verb::Storage { .. } => &[Secret::Master],
        Verb::Doctor { .. } | Verb::Config { .. } => &Secret::ALL,
        // `up` has its own.
        Verb::Up { .. }
        | Verb::Migrate
        | Verb::Topology { .. }
        | Verb::Nats { .. }
        | Verb::Backup { .. }
        | Verb::Report { verb: Some(ReportVerb::Slo(_)) }
        | Verb::Convert(_)
        | Verb::Stream(_)
        | Verb::Thumbnails(_)
        | Verb::Analyze(_)
        | Verb::Probe(_)
        | Verb::Batch(_)
        | Verb::Upload { .. }
        | Verb::Get { .. }
        | Verb::Retry { .. }
        | Verb::Jobs(_)
        | Verb::Watch { .. }
        | Verb::Cancel { .. }
        | Verb::Health { .. }
        | Verb::Smoke { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => &[],
    }
}
