use std::{
    error::Error,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use ffapi_domain::media::Engine;
use ffapi_media::protocol::{self, ChildMessage, Task};
use ffapi_nats::{Nats, topology};
use ffapi_projections::Database;
use ffapi_storage::{RetryPolicy, Storage};

use crate::{config::Config, production};

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Development, or evaluation.
    Trial,
    /// A service that others rely on.
    Production,
}

/// Checks everything that a server needs; reports problems and how to fix them.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
///
/// For production, it also checks what a service that others rely on needs.
pub(crate) async fn doctor(config: &Config, purpose: Purpose) -> anyhow::Result<()> {
    let mut problems = 0_u32;
    let mut report = |component: &str, outcome: Result<String, String>| match outcome {
        Ok(detail) => println!("ok    {component}: {detail}"),
        Err(problem) => {
            problems = problems.saturating_add(1);
            println!("WRONG {component}: {problem}");
        }
    };
    report("setpriv", runs("setpriv", "it is in Debian's util-linux"));
    match child(config) {
        Ok((sandbox, engine)) => {
            report("media child", Ok(sandbox));
            report("FFmpeg", Ok(engine));
        }
        Err(problem) => report("media child", Err(problem)),
    }
    report("storage", storage(config).await);
    report("secrets", secrets(config));
    report("NATS", nats(config).await);
    report("Postgres", postgres(config).await);
    if purpose == Purpose::Production {
        for (check, outcome) in production::checks(config).await {
            report(check, outcome);
        }
    }
    anyhow::ensure!(problems == 0, "{problems} of the above need fixing");
    Ok(())
}

fn runs(program: &str, hint: &str) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| format!("{error}; {hint}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts a media child in an empty folder and asks for its FFmpeg once it is sandboxed: describes the
/// sandbox, and the FFmpeg.
fn child(config: &Config) -> Result<(String, String), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let folder = tempfile::tempdir().map_err(|error| text(&error))?;
    let scratch = folder.path().join("out").join(protocol::SCRATCH);
    std::fs::create_dir_all(scratch).map_err(|error| text(&error))?;
    let (stdin, child_stdin) = UnixStream::pair().map_err(|error| text(&error))?;
    let command = crate::child::command(config.worker.sandbox).map_err(|error| text(&error))?;
    let (program, arguments) = command.split_first().ok_or("there is no media child")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::from(OwnedFd::from(child_stdin)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| text(&error))?;
    let sent = protocol::send(&stdin, &Task::Capabilities, &[]);
    let mut sandboxed_by = None;
    let mut engine = None;
    if let (Ok(()), Some(from)) = (sent, &mut child.stdout) {
        while let Ok(Some(message)) = protocol::read::<ChildMessage>(from) {
            match message {
                ChildMessage::Ready { sandbox } => sandboxed_by = Some(sandbox),
                ChildMessage::Capabilities(capabilities) => {
                    engine = capabilities.engines.into_iter().next();
                    break;
                }
                _ => {}
            }
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    let sandboxed_by = sandboxed_by.ok_or(
        "it cannot enter its sandbox; this kernel may lack Landlock: set worker.sandbox = \
         \"seccomp-only\" to continue without it",
    )?;
    let engine = engine.ok_or("it cannot report the capabilities of its FFmpeg")?;
    let described = format!(
        "{}, built on {}, whose known vulnerabilities are at {}; configured with {}",
        engine.version,
        engine.built.as_deref().unwrap_or("an unknown date"),
        Engine::ADVISORIES,
        engine.configuration
    );
    Ok((format!("sandboxed by {sandboxed_by}"), described))
}

async fn storage(config: &Config) -> Result<String, String> {
    let root = &config.storage.root;
    let storage = Storage::configured(&config.storage, &config.stores, RetryPolicy::Request);
    let storage = storage.map_err(|error| {
        format!("{error}; see storage.root ({}), storage.default and stores", root.display())
    })?;
    let mut usable = Vec::new();
    for (name, failure) in storage.check().await {
        if let Some(error) = failure {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            return Err(format!("the store `{name}` cannot be used: {error}{cause}"));
        }
        usable.push(name);
    }
    Ok(format!("{}; stores: {}", root.display(), usable.join(", ")))
}

fn secrets(config: &Config) -> Result<String, String> {
    config.secrets.check().map(|()| "set".to_owned()).map_err(|error| error.to_string())
}

async fn nats(config: &Config) -> Result<String, String> {
    let missing = "nats.url is not set; set FFAPI_NATS__URL, or run `ffapi up`, which needs none";
    let settings = config.nats.as_ref().ok_or(missing)?;
    let nats = Nats::connect(settings).await.map_err(|error| {
        format!("{error} at {}; is nats-server running there?", settings.shown())
    })?;
    let version = nats.server_version();
    topology::check(&nats).await.map_err(|error| error.to_string())?;
    Ok(format!("nats-server {version}, streams are up to date"))
}

async fn postgres(config: &Config) -> Result<String, String> {
    let missing =
        "postgres.url is not set; set FFAPI_POSTGRES__URL, or run `ffapi up`, which needs none";
    let settings = config.postgres.as_ref().ok_or(missing)?;
    let database = Database::connect(settings).map_err(|error| error.to_string())?;
    let version = database.server_version().await.map_err(|error| {
        format!("{error}; is Postgres running there, and does it accept this user?")
    })?;
    let checked = ffapi_projections::positions(&database).await;
    checked.map_err(|_| "the schema is missing; `ffapi migrate` creates it".to_owned())?;
    Ok(format!("Postgres {version}, schema exists"))
}
