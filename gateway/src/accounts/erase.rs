use std::time::Duration;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    JobId, Tenant,
    account::{Account, AccountCommand},
    batch::{Batch, BatchCommand},
    job::{Job, JobCommand, JobStatus},
    key::{Key, KeyCommand, KeyRejection},
    webhook::{Webhook, WebhookCommand},
};
use ffapi_nats::{CodecError, Position, failpoint};
use ffapi_projections::{JobList, audit::erase_notes, job_list, job_list::Filter};

use crate::{
    auth::Principal,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long its jobs have to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Jobs that are looked at at once.
const PAGE: u32 = 200;

/// Erases a tenant: nothing is taken for it any more, its keys open nothing, its jobs end, its bytes go, and its data key, without which
/// nothing personal of it can be read in the log, the archive, or a backup of either.
///
/// The event comes last and says that all of this is so: who asks and gets no answer asks again, and
/// each step may be taken twice.
pub(super) async fn erase(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    tenant: &Tenant,
) -> Result<Position, Problem> {
    let by = principal.grant();
    let name = tenant.as_str();
    // From here on nothing new is taken; what was let in before is called off below, or by the
    // conductor.
    gateway.commands.handle::<Account>(name, name, caller, AccountCommand::Close).await?;
    gateway.directory.catch_up(gateway.commands.log()).await?;
    for key in gateway.directory.keys(Some(tenant)) {
        let (id, command) = (key.id.to_string(), KeyCommand::Revoke { by: by.clone() });
        match gateway.commands.handle::<Key>(name, &id, caller, command).await {
            // One that cannot be read opens nothing either.
            Ok(_)
            | Err(
                HandleError::Rejected(KeyRejection::Revoked)
                | HandleError::Codec(CodecError::Unreadable(_)),
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    end_batches(gateway, caller, tenant).await?;
    end_jobs(gateway, caller, tenant).await?;
    failpoint::hit("gateway.before_erase");
    gateway.storage.erase(tenant).await?;
    gateway.lines.erase(name).await?;
    gateway.idempotency.erase(name).await?;
    for hook in hooks(gateway, tenant).await? {
        gateway.vault.purge(&format!("hook.{hook}.")).await?;
        let id = hook.to_string();
        // A refusal means that it was done before.
        let _ = gateway.commands.handle::<Webhook>(name, &id, caller, WebhookCommand::Delete).await;
    }
    gateway.vault.remove(&format!("hooks.{name}")).await?;
    gateway.vault.erase(name).await?;
    gateway.commands.forget(name).await;
    erase_notes(&gateway.database, gateway.commands.codec(), tenant).await?;
    failpoint::hit("gateway.before_erased");
    let handled =
        gateway.commands.handle::<Account>(name, name, caller, AccountCommand::Erase).await?;
    // Whatever was still under way when its jobs were called off.
    gateway.storage.erase(tenant).await?;
    Ok(handled.position)
}

/// Calls off what is promised and not made yet.
async fn end_batches(gateway: &Gateway, caller: &Caller, tenant: &Tenant) -> Result<(), Problem> {
    let mut after = None;
    loop {
        let page = ffapi_projections::batch::page(&gateway.database, tenant, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for (batch, _) in page.iter().filter(|(batch, _)| batch.ended_at.is_none()) {
            let id = batch.id.to_string();
            // A refusal means that it is over.
            let cancel = BatchCommand::Cancel;
            let _ = gateway.commands.handle::<Batch>(tenant.as_str(), &id, caller, cancel).await;
        }
    }
}

/// Calls off what waits and runs, and waits until nothing does.
async fn end_jobs(gateway: &Gateway, caller: &Caller, tenant: &Tenant) -> Result<(), Problem> {
    let ending = async {
        loop {
            // As new as the log is now: a job that is not seen is not called off.
            let log = gateway.commands.log();
            let (epoch, sequence) = (log.identity().epoch, log.last_sequence().await?);
            let now = Position { epoch, sequence, index: 0 }.to_string();
            gateway.positions.reach::<JobList>(&gateway.database, epoch, Some(&now)).await?;
            let mut none = true;
            for status in [JobStatus::Queued, JobStatus::Processing] {
                let mut filter = Filter { status: Some(status), ..Filter::default() };
                loop {
                    let jobs = job_list::page(&gateway.database, tenant, &filter, PAGE).await?;
                    let Some(last) = jobs.last() else { break };
                    filter.after = Some(last.id);
                    for job in &jobs {
                        none &= !end_job(gateway, caller, tenant, job.id).await;
                    }
                }
            }
            if none {
                return Ok::<(), Problem>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let late = || Problem::new(Kind::Unavailable, "its jobs are still ending; try again");
    tokio::time::timeout(PATIENCE, ending).await.map_err(|_| late())?
}

/// False if nobody can end it, or needs to: it cannot be read.
async fn end_job(gateway: &Gateway, caller: &Caller, tenant: &Tenant, job: JobId) -> bool {
    let id = job.to_string();
    // A refusal means that it is over, or that its outputs are being delivered.
    let cancel = JobCommand::Cancel;
    let told = gateway.commands.handle::<Job>(tenant.as_str(), &id, caller, cancel).await;
    gateway.live.tell(format!("ctl.cancel.{id}"), "").await;
    !matches!(told, Err(HandleError::Codec(CodecError::Unreadable(_))))
}

async fn hooks(
    gateway: &Gateway,
    tenant: &Tenant,
) -> Result<Vec<ffapi_domain::WebhookId>, Problem> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ffapi_projections::webhooks::page(
            &gateway.database,
            gateway.commands.codec(),
            tenant,
            after,
            PAGE,
        )
        .await?;
        after = page.last().map(|view| view.id);
        if after.is_none() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|view| view.id));
    }
}
