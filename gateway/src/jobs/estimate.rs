use ffapi_domain::media::{DryRun, Estimate};
use ffapi_projections::pace;
use poem_openapi::Object;

use super::validate::{KindBody, Resolved, resolve};
use crate::{
    auth::Principal,
    media::PlanBody,
    prices::{Cost, Priced},
    problem::Problem,
    reply::Reply,
    state::Gateway,
};

/// A job's plan, and an estimate of its cost.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Estimated {
    /// The plan, as in `/validate`.
    plan: PlanBody,
    /// Number of encoding passes over the input.
    passes: Option<u32>,
    /// The worker pool: `cpu`, `vaapi`, `nvenc` or `qsv`.
    pool: String,
    /// The warnings that the response to the job's POST would contain.
    warnings: Vec<String>,
    /// Seconds of processing by a worker, without queueing and transfers.
    seconds: f64,
    /// Total bytes of all outputs; 0 for a job without outputs.
    size: u64,
    /// Media minutes that are charged.
    minutes_charged: f64,
    /// What it would cost, if the service has a price table; CPU time is taken to be `seconds`.
    cost: Option<Cost>,
    /// Number of past jobs of its class that the estimate is based on; 0 for a default estimate.
    learned_from: u64,
}

/// As `validate`, with an estimate of time and size from past jobs.
pub(crate) async fn estimate(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Reply<200, Estimated>, Problem> {
    let kind = body.kind.clone();
    let Resolved { dry_run, warnings } = resolve(gateway, principal, body).await?;
    let DryRun { plan, passes, pool, effort } = dry_run;
    let Estimate { seconds, bytes, minutes_charged, learned_from } =
        effort.estimate(pace::of(&gateway.database, &effort.class, &principal.tenant).await?);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let output_bytes = bytes as f64;
    let priced = Priced {
        kind: &kind,
        jobs: 1.0,
        media_minutes: minutes_charged,
        cpu_seconds: seconds,
        output_bytes,
    };
    let cost = gateway.prices.as_ref().map(|prices| prices.cost(prices.amount(priced)));
    Ok(Reply::new(Estimated {
        plan: PlanBody::from(&plan),
        passes,
        pool: pool.as_str().to_owned(),
        warnings,
        seconds,
        size: bytes,
        minutes_charged,
        cost,
        learned_from,
    }))
}
