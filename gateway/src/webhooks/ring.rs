use std::{collections::BTreeSet, time::Duration};

use commands::{Caller, HandleError};
use domain::{
    HookId, Personal, Tenant,
    hook::{Hook, HookRing, HookRingCommand, HookRingRejection, HookState},
};

use super::show;
use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long after its place was claimed an endpoint may still come to be.
const BIRTH: Duration = Duration::from_mins(1);

/// What an endpoint is to send where.
pub(super) struct Target<'a> {
    pub(super) url: &'a Personal<String>,
    pub(super) events: &'a BTreeSet<String>,
}

/// A place among the tenant's endpoints for one that is about to be made, or to become another.
///
/// # Errors
/// When the account has no more, or there is one that does the same.
pub(super) async fn claim(
    gateway: &Gateway,
    (tenant, caller): (&Tenant, &Caller),
    hook: HookId,
    target: &Target<'_>,
) -> Result<(), Problem> {
    let name = tenant.as_str();
    let command = |gone| async {
        Ok::<_, Problem>(HookRingCommand::Claim {
            hook,
            digest: digest(gateway, tenant, target)?,
            gone,
            known: show::count(gateway, tenant).await?,
            limit: gateway.directory.limits(tenant).webhooks,
        })
    };
    let first = command(BTreeSet::new()).await?;
    match gateway.commands.handle::<HookRing>(name, name, caller, first).await {
        // Something deleted may stand in the way: of that only the endpoints themselves know.
        Err(HandleError::Rejected(_)) => {
            let again = command(gone(gateway, tenant, hook).await?).await?;
            gateway.commands.handle::<HookRing>(name, name, caller, again).await?;
        }
        outcome => {
            outcome?;
        }
    }
    Ok(())
}

/// Those with a place that are deleted or did not come to be.
async fn gone(
    gateway: &Gateway,
    tenant: &Tenant,
    claiming: HookId,
) -> Result<BTreeSet<HookId>, Problem> {
    let name = tenant.as_str();
    let mut gone = BTreeSet::new();
    for hook in gateway.commands.state::<HookRing>(name, name).await?.into_keys() {
        if hook == claiming {
            continue;
        }
        let over = match gateway.commands.state::<Hook>(name, &hook.to_string()).await? {
            HookState::Deleted => true,
            HookState::Unknown => !may_yet_be(hook),
            HookState::Known { .. } => false,
        };
        if over {
            gone.insert(hook);
        }
    }
    Ok(gone)
}

/// True of a name so new that its endpoint's creation may be on its way to the log.
fn may_yet_be(hook: HookId) -> bool {
    let made = hook.uuid().get_timestamp().map_or(0, |time| time.to_unix().0);
    clock::now().as_millis() / 1_000 < made.saturating_add(BIRTH.as_secs())
}

/// The same for the same events at the same address; says nothing of either to whoever reads the log.
fn digest(gateway: &Gateway, tenant: &Tenant, target: &Target<'_>) -> Result<String, Problem> {
    let url = target.url.as_ref().map(String::as_str).unwrap_or_default();
    let events: Vec<&str> = target.events.iter().map(String::as_str).collect();
    let words = format!("webhook\n{tenant}\n{url}\n{}", events.join("\n"));
    let signed = gateway.directory.pepper().sign(words.as_bytes());
    let signed = signed.ok_or_else(|| Problem::new(Kind::Internal, "no pepper"))?;
    Ok(hex::encode(signed))
}

impl From<HookRingRejection> for Problem {
    fn from(rejection: HookRingRejection) -> Self {
        Self::new(Kind::Conflict, rejection.to_string())
    }
}
