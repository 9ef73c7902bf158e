use ffapi_projections::batch;
use poem_openapi::Object;

use super::show::{CountsShown, catch_up};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway, tenant_slots};

/// Totals over all batches of an account.
#[derive(Debug, Object)]
pub(crate) struct BatchStats {
    /// The number of batches.
    batches: u64,
    /// Their jobs by status.
    jobs: CountsShown,
}

pub(super) async fn stats(
    gateway: &Gateway,
    principal: &Principal,
    min_position: Option<&str>,
) -> Result<Reply<200, BatchStats>, Problem> {
    catch_up(gateway, &principal.tenant, min_position).await?;
    let _slot = tenant_slots::of_list(&principal.tenant).await?;
    let (batches, counts) = batch::totals(&gateway.database, &principal.tenant).await?;
    Ok(Reply::new(BatchStats { batches, jobs: counts.into() }))
}
