//! Reports on months: their media minutes, and how well they met the objectives.

mod slo;

use std::io::Write;

use ffapi_projections::{Rebuild, Report, report};

pub(crate) use self::slo::print as slo;
use crate::{config::Config, roles::AppContext};

/// Computes the report from the whole log and prints it.
pub(crate) async fn print(config: &Config) -> anyhow::Result<()> {
    let AppContext { commands, database, .. } = AppContext::new(config).await?;
    let (log, codec) = (commands.log().clone(), commands.codec().clone());
    let rebuild = Rebuild::begin(database.clone(), log, codec, Report).await?;
    let at = rebuild.catch_up().await?;
    rebuild.switch().await?;
    let mut out = std::io::stdout();
    writeln!(out, "month    tenant                codec        jobs    minutes        bytes")?;
    for row in report::all(&database).await? {
        let minutes = std::time::Duration::from_micros(u64::try_from(row.micros).unwrap_or(0));
        writeln!(
            out,
            "{:<8} {:<20}  {:<10} {:>6} {:>10.2} {:>12}",
            row.month,
            row.tenant,
            row.codec,
            row.jobs,
            minutes.as_secs_f64() / 60.0,
            row.bytes,
        )?;
    }
    writeln!(out, "as of message {at}")?;
    Ok(())
}
