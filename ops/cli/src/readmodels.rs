use ffapi_nats::Log;
use ffapi_projections::{
    Archive, AuditDecisions, BatchList, Ends, JobDetail, JobList, Pace, Presets, Projection, Queue,
    ReadModelPosition, Rebuild, Uploads, Usage, positions,
};

use crate::{arguments::ProjectionsVerb, config::Config, roles::AppContext};

/// Prints the positions of the read models, or rebuilds one.
pub(crate) async fn run(config: &Config, verb: &ProjectionsVerb) -> anyhow::Result<()> {
    let context = AppContext::new(config).await?;
    match verb {
        ProjectionsVerb::Status => status(&context).await,
        ProjectionsVerb::Rebuild { name } => {
            let log = context.commands.log().clone();
            match name.as_str() {
                JobDetail::NAME => rebuild(context, log, JobDetail).await,
                JobList::NAME => rebuild(context, log, JobList).await,
                BatchList::NAME => rebuild(context, log, BatchList).await,
                Presets::NAME => rebuild(context, log, Presets).await,
                Uploads::NAME => rebuild(context, log, Uploads).await,
                Queue::NAME => rebuild(context, log, Queue).await,
                Usage::NAME => rebuild(context, log, Usage).await,
                Pace::NAME => rebuild(context, log, Pace).await,
                Archive::NAME => rebuild(context, log, Archive).await,
                AuditDecisions::NAME => rebuild(context, log, AuditDecisions).await,
                _ => anyhow::bail!("no such read model; those that can be rebuilt are {NAMES:?}"),
            }
        }
    }
}

/// The read models that can be rebuilt. The audit notes cannot, because their stream drops old
/// ones.
const NAMES: [&str; 10] = [
    JobDetail::NAME,
    JobList::NAME,
    BatchList::NAME,
    Presets::NAME,
    Uploads::NAME,
    Queue::NAME,
    Pace::NAME,
    Usage::NAME,
    Archive::NAME,
    AuditDecisions::NAME,
];

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn status(context: &AppContext) -> anyhow::Result<()> {
    let ends = Ends::now(context.commands.log()).await?;
    for ReadModelPosition { name, position: at, parked } in positions(&context.database).await? {
        match ends.of(&name) {
            Some(end) => println!("{name}: at {at} of {end}, {parked} parked"),
            None => println!("{name}: as of {at}, built on demand"),
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn rebuild<P: Projection>(
    context: AppContext,
    log: Log,
    projection: P,
) -> anyhow::Result<()> {
    let codec = context.commands.codec().clone();
    let rebuild = Rebuild::begin(context.database, log, codec, projection).await?;
    let at = Box::pin(rebuild.catch_up()).await?;
    let differences = rebuild.differences().await?;
    Box::pin(rebuild.switch()).await?;
    println!("{}: rebuilt up to {at} and switched; {differences} rows differed", P::NAME);
    Ok(())
}
