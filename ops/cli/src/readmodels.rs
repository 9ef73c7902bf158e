use projections::{Archive, JobDetail, JobList, Pace, Projection, Queue, Rebuild, positions};

use crate::{arguments::ProjectionsVerb, config::Config, roles::Ground};

/// Says how far the read models are, or builds one anew.
pub(crate) async fn look_after(config: &Config, verb: &ProjectionsVerb) -> anyhow::Result<()> {
    let ground = Ground::new(config).await?;
    match verb {
        ProjectionsVerb::Status => status(&ground).await,
        ProjectionsVerb::Rebuild { name } => match name.as_str() {
            JobDetail::NAME => rebuild(ground, JobDetail).await,
            JobList::NAME => rebuild(ground, JobList).await,
            Queue::NAME => rebuild(ground, Queue).await,
            Pace::NAME => rebuild(ground, Pace).await,
            Archive::NAME => rebuild(ground, Archive).await,
            _ => anyhow::bail!(
                "there is no read model `{name}`; there are {}, {}, {}, {} and {}",
                JobDetail::NAME,
                JobList::NAME,
                Queue::NAME,
                Pace::NAME,
                Archive::NAME
            ),
        },
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn status(ground: &Ground) -> anyhow::Result<()> {
    let last = ground.commands.log().last_sequence().await?;
    for (name, at, parked) in positions(&ground.database).await? {
        println!("{name}: at {at} of {last}, {parked} parked");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn rebuild<P: Projection>(ground: Ground, projection: P) -> anyhow::Result<()> {
    let (log, codec) = (ground.commands.log().clone(), ground.commands.codec().clone());
    let rebuild = Rebuild::begin(ground.database, log, codec, projection).await?;
    let at = rebuild.catch_up().await?;
    let differences = rebuild.differences().await?;
    rebuild.switch().await?;
    println!("{}: rebuilt up to {at} and switched; {differences} rows differed", P::NAME);
    Ok(())
}
