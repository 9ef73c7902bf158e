//! `ffapi nats user`: creates an nkey with which a tenant's programs receive its events on NATS.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;
use ffapi_domain::Tenant;
use ffapi_nats::subject;
use nkeys::KeyPair;
use serde_json::json;

use crate::arguments::NatsVerb;

/// Creates a key pair and prints the server's configuration, which has the public key only.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) fn make(verb: NatsVerb) -> anyhow::Result<()> {
    let NatsVerb::User { tenant, server, out } = verb;
    let tenant: Tenant = tenant.parse().context("--tenant")?;
    let pair = KeyPair::new_user();
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let out = out.canonicalize()?;
    let seed = out.join(format!("{tenant}.nk"));
    write_seed(&seed, &pair.seed()?)?;
    let inbox = format!("_INBOX.tenant-{tenant}");
    let context = json!({
        "description": format!("events of {tenant}"),
        "url": server,
        "nkey": seed,
        "inbox_prefix": inbox,
    });
    fs::write(out.join(format!("{tenant}.json")), serde_json::to_string_pretty(&context)?)?;
    println!(
        "    {{ nkey: {}, permissions: {{ publish: {{ deny: \">\" }}, \
         subscribe: {{ allow: [ \"{}\", \"{inbox}.>\" ] }} }} }}",
        pair.public_key(),
        subject::live_events(tenant)
    );
    Ok(())
}

/// Writes a new file that only its owner can read; fails if it exists.
fn write_seed(path: &Path, seed: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| path.display().to_string())?;
    writeln!(file, "{seed}")?;
    Ok(())
}
