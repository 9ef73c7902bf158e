use ffapi_domain::media::Estimate;
use ffapi_projections::pace;
use poem_openapi::{Object, types::Any};
use serde_json::Value;

use super::validate::{KindBody, Told, ask};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// What a job would do, and what that would take.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Estimated {
    /// As `/validate` has it.
    plan: Any<Value>,
    /// Times the film is gone through.
    passes: Option<u32>,
    /// What it would run on: `cpu`, `vaapi`, `nvenc` or `qsv`.
    pool: String,
    /// What else the job's POST would say.
    warnings: Vec<String>,
    /// Seconds of work, once a worker has it; waiting and transfers are not counted.
    seconds: f64,
    /// Bytes of all outputs together; 0 for a job that only finds something out.
    size: u64,
    /// Minutes of media that are charged.
    minutes_charged: f64,
    /// How many past jobs of its kind this was learned from; 0 is a rule of thumb.
    learned_from: u64,
}

/// As `validate`, with what past jobs say of how long it takes and how large it gets.
pub(crate) async fn estimate(
    gateway: &Gateway,
    principal: &Principal,
    body: KindBody,
) -> Result<Reply<200, Estimated>, Problem> {
    let Told { plan, passes, pool, effort, warnings } = ask(gateway, principal, body).await?;
    let Estimate { seconds, bytes, minutes_charged, learned_from } =
        effort.estimate(pace::of(&gateway.database, &effort.class, &principal.tenant).await?);
    Ok(Reply::new(Estimated {
        plan: Any(plan),
        passes,
        pool,
        warnings,
        seconds,
        size: bytes,
        minutes_charged,
        learned_from,
    }))
}
