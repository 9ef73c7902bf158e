use ffapi_nats::Log;
use ffapi_projections::{
    Archive, AuditDecisions, BatchList, Ends, JobDetail, JobList, Pace, Presets, Projection, Queue,
    Rebuild, positions,
};

use crate::{arguments::ProjectionsVerb, config::Config, roles::Ground};

/// Says how far the read models are, or builds one anew.
pub(crate) async fn look_after(config: &Config, verb: &ProjectionsVerb) -> anyhow::Result<()> {
    let ground = Ground::new(config).await?;
    match verb {
        ProjectionsVerb::Status => status(&ground).await,
        ProjectionsVerb::Rebuild { name } => {
            let log = ground.commands.log().clone();
            match name.as_str() {
                JobDetail::NAME => rebuild(ground, log, JobDetail).await,
                JobList::NAME => rebuild(ground, log, JobList).await,
                BatchList::NAME => rebuild(ground, log, BatchList).await,
                Presets::NAME => rebuild(ground, log, Presets).await,
                Queue::NAME => rebuild(ground, log, Queue).await,
                Pace::NAME => rebuild(ground, log, Pace).await,
                Archive::NAME => rebuild(ground, log, Archive).await,
                AuditDecisions::NAME => rebuild(ground, log, AuditDecisions).await,
                _ => anyhow::bail!("there is no such read model to rebuild; there are {NAMES:?}"),
            }
        }
    }
}

/// What can be built anew. What was noted beside the log cannot: its oldest is forgotten there.
const NAMES: [&str; 8] = [
    JobDetail::NAME,
    JobList::NAME,
    BatchList::NAME,
    Presets::NAME,
    Queue::NAME,
    Pace::NAME,
    Archive::NAME,
    AuditDecisions::NAME,
];

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn status(ground: &Ground) -> anyhow::Result<()> {
    let ends = Ends::now(ground.commands.log()).await?;
    for (name, at, parked) in positions(&ground.database).await? {
        match ends.of(&name) {
            Some(end) => println!("{name}: at {at} of {end}, {parked} parked"),
            None => println!("{name}: as of {at}, built when somebody asks"),
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn rebuild<P: Projection>(ground: Ground, log: Log, projection: P) -> anyhow::Result<()> {
    let codec = ground.commands.codec().clone();
    let rebuild = Rebuild::begin(ground.database, log, codec, projection).await?;
    let at = rebuild.catch_up().await?;
    let differences = rebuild.differences().await?;
    rebuild.switch().await?;
    println!("{}: rebuilt up to {at} and switched; {differences} rows differed", P::NAME);
    Ok(())
}
