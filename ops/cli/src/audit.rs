//! `ffapi audit`: did anybody change what stands in the audit trail?

use crate::{arguments::AuditVerb, config::Config, roles::Ground, ship};

pub(crate) async fn run(config: &Config, verb: AuditVerb) -> anyhow::Result<()> {
    let ground = Ground::new(config).await?;
    match verb {
        AuditVerb::Verify => verify(&ground).await,
        AuditVerb::Follow { state, syslog, otlp } => {
            ship::follow(&ground, state, (syslog, otlp)).await
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn verify(ground: &Ground) -> anyhow::Result<()> {
    let (log, codec) = (ground.commands.log(), ground.commands.codec());
    let verdict = projections::audit::verify(&ground.database, log, codec, &ground.notary).await?;
    for fault in &verdict.faults {
        println!("{}: {}", fault.row, fault.why);
    }
    let count = verdict.faults.len();
    anyhow::ensure!(count == 0, "the audit trail is not as it was written: {count} faults");
    println!("{} rows and {} anchors are as they were written", verdict.rows, verdict.anchors);
    Ok(())
}
