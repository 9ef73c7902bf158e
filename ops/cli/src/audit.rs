//! `ffapi audit`: verifies and exports the audit trail.

use crate::{arguments::AuditVerb, config::Config, roles::AppContext, ship};

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn run(config: &Config, verb: AuditVerb) -> anyhow::Result<()> {
    match verb {
        AuditVerb::Verify => verify(config).await,
        AuditVerb::Follow { state, syslog, otlp } => {
            ship::follow(&AppContext::new(config).await?, state, syslog, otlp).await
        }
        AuditVerb::Key => {
            println!("{}", hex::encode(config.secrets.verifying()?));
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn verify(config: &Config) -> anyhow::Result<()> {
    let context = AppContext::new(config).await?;
    let verifier = config.secrets.verifier(context.nats())?;
    let (log, codec) = (context.commands.log(), context.commands.codec());
    let verdict =
        ffapi_projections::audit::verify(&context.database, log, codec, &verifier).await?;
    for fault in &verdict.faults {
        println!("{}: {}", fault.row, fault.why);
    }
    let count = verdict.faults.len();
    anyhow::ensure!(count == 0, "the audit trail was modified: {count} faults");
    println!("{} rows and {} anchors are as they were written", verdict.rows, verdict.anchors);
    Ok(())
}
