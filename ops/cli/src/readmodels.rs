use projections::{Archive, Jobs, Projection, Rebuild, positions};

use crate::{arguments::ProjectionsVerb, config::Config, roles::Ground};

/// Says how far the read models are, or builds one anew.
pub(crate) async fn look_after(config: &Config, verb: &ProjectionsVerb) -> anyhow::Result<()> {
    let ground = Ground::new(config).await?;
    match verb {
        ProjectionsVerb::Status => status(&ground).await,
        ProjectionsVerb::Rebuild { name } if name == Jobs::NAME => rebuild(ground, Jobs).await,
        ProjectionsVerb::Rebuild { name } if name == Archive::NAME => {
            rebuild(ground, Archive).await
        }
        ProjectionsVerb::Rebuild { name } => {
            anyhow::bail!("there is no read model `{name}`; there are `jobs` and `archive`")
        }
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
    rebuild.switch().await?;
    println!("{}: rebuilt up to {at} and switched", P::NAME);
    Ok(())
}
