//! `ffapi audit`: did anybody change what stands in the audit trail?

use crate::{arguments::AuditVerb, config::Config, roles::Ground, ship};

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn run(config: &Config, verb: AuditVerb) -> anyhow::Result<()> {
    match verb {
        AuditVerb::Verify => verify(config).await,
        AuditVerb::Follow { state, syslog, otlp } => {
            ship::follow(&Ground::new(config).await?, state, syslog, otlp).await
        }
        AuditVerb::Key => {
            println!("{}", hex::encode(config.secrets.verifying()?));
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn verify(config: &Config) -> anyhow::Result<()> {
    let ground = Ground::new(config).await?;
    let notary = config.secrets.notary(ground.nats())?;
    let (log, codec) = (ground.commands.log(), ground.commands.codec());
    let verdict = ffapi_projections::audit::verify(&ground.database, log, codec, &notary).await?;
    for fault in &verdict.faults {
        println!("{}: {}", fault.row, fault.why);
    }
    let count = verdict.faults.len();
    anyhow::ensure!(count == 0, "the audit trail is not as it was written: {count} faults");
    println!("{} rows and {} anchors are as they were written", verdict.rows, verdict.anchors);
    Ok(())
}
