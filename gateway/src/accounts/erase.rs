use std::time::Duration;

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    JobId, Tenant,
    account::{Account, AccountCommand},
    batch::{Batch, BatchCommand},
    job::{Job, JobCommand, JobStatus},
    key::{Key, KeyCommand, KeyRejection},
    preset::{Preset, PresetCommand},
    webhook::{Webhook, WebhookCommand},
};
use ffapi_nats::{CodecError, Position, failpoint, subject};
use ffapi_projections::{
    JobList, Presets, Projection, audit::erase_notes, job_list, job_list::Filter, preset,
};

use crate::{
    auth::Principal,
    problem::{Kind, Problem},
    state::Gateway,
};

/// How long the erasure waits for its jobs to end.
const JOBS_TIMEOUT: Duration = Duration::from_secs(20);
/// Rows that are read at once.
const PAGE: u32 = 200;

/// Erases a tenant: closes the account, revokes its keys, cancels its jobs, deletes its files, and
/// deletes its data key, without which its personal fields cannot be read in the log, the archive,
/// or a backup of either.
///
/// The event comes last and states that all of this is done. Each step can be repeated, so a client
/// that receives no response sends the request again.
pub(super) async fn erase(
    gateway: &Gateway,
    principal: &Principal,
    caller: &Caller,
    tenant: &Tenant,
) -> Result<Position, Problem> {
    let by = principal.grant();
    let name = tenant.as_str();
    // From here on no new request is accepted; jobs that were accepted before are cancelled below,
    // or by the conductor.
    gateway.commands.handle::<Account>(name, name, caller, AccountCommand::Close).await?;
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    for key in gateway.credentials.keys(Some(tenant)) {
        let (id, command) = (key.id.to_string(), KeyCommand::Revoke { by: by.clone() });
        match gateway.commands.handle::<Key>(name, &id, caller, command).await {
            // A key whose events cannot be decoded is not accepted either.
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
    gateway.job_logs.erase(name).await?;
    gateway.idempotency.erase(name).await?;
    for hook in webhooks(gateway, tenant).await? {
        gateway.vault.purge(&format!("hook.{hook}.")).await?;
        let id = hook.to_string();
        // A rejection means that it was deleted before.
        let _ = gateway.commands.handle::<Webhook>(name, &id, caller, WebhookCommand::Delete).await;
    }
    delete_presets(gateway, caller, tenant).await?;
    gateway.vault.remove(&format!("hooks.{name}")).await?;
    gateway.vault.erase(name).await?;
    gateway.commands.forget(name).await;
    erase_notes(&gateway.database, gateway.commands.codec(), tenant).await?;
    failpoint::hit("gateway.before_erased");
    let handled =
        gateway.commands.handle::<Account>(name, name, caller, AccountCommand::Erase).await?;
    // Files that were still being written when its jobs were cancelled.
    gateway.storage.erase(tenant).await?;
    Ok(handled.position)
}

/// Cancels the batches that have not ended.
async fn end_batches(gateway: &Gateway, caller: &Caller, tenant: &Tenant) -> Result<(), Problem> {
    let mut after = None;
    loop {
        let page = ffapi_projections::batch::page(&gateway.database, tenant, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for (batch, _) in page.iter().filter(|(batch, _)| batch.ended_at.is_none()) {
            let id = batch.id.to_string();
            // A rejection means that it has ended.
            let cancel = BatchCommand::Cancel;
            let _ = gateway.commands.handle::<Batch>(tenant.as_str(), &id, caller, cancel).await;
        }
    }
}

/// Cancels queued and running jobs, and waits until there are none.
async fn end_jobs(gateway: &Gateway, caller: &Caller, tenant: &Tenant) -> Result<(), Problem> {
    let ending = async {
        loop {
            reach_end::<JobList>(gateway).await?;
            let mut none = true;
            let statuses = vec![JobStatus::Queued, JobStatus::Processing];
            let mut filter = Filter { statuses, ..Filter::default() };
            loop {
                let jobs = job_list::page(&gateway.database, tenant, &filter, PAGE).await?;
                let Some(last) = jobs.last() else { break };
                filter.after = Some(last.id);
                for job in &jobs {
                    none &= !end_job(gateway, caller, tenant, job.id).await;
                }
            }
            if none {
                return Ok::<(), Problem>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let timed_out = || Problem::new(Kind::Unavailable, "its jobs are still ending; try again");
    tokio::time::timeout(JOBS_TIMEOUT, ending).await.map_err(|_| timed_out())?
}

/// Cancels a job; false if its events cannot be decoded, so that it need not be waited for.
async fn end_job(gateway: &Gateway, caller: &Caller, tenant: &Tenant, job: JobId) -> bool {
    let id = job.to_string();
    // A rejection means that it has ended, or that its outputs are being delivered.
    let cancel = JobCommand::Cancel;
    let outcome = gateway.commands.handle::<Job>(tenant.as_str(), &id, caller, cancel).await;
    gateway.pubsub.publish(subject::cancel_job(id), "").await;
    !matches!(outcome, Err(HandleError::Codec(CodecError::Unreadable(_))))
}

/// Deletes a tenant's presets: they are not for the next holder of the account.
async fn delete_presets(
    gateway: &Gateway,
    caller: &Caller,
    tenant: &Tenant,
) -> Result<(), Problem> {
    reach_end::<Presets>(gateway).await?;
    let mut after = None;
    loop {
        let page = preset::page(&gateway.database, tenant, after.take(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.name.clone(), last.tenant.clone()));
        for row in page.iter().filter(|row| row.tenant == tenant.as_str()) {
            let delete = PresetCommand::Delete;
            gateway.commands.handle::<Preset>(&row.tenant, &row.name, caller, delete).await?;
        }
    }
}

/// Waits for a read model to reach the end of the log, so that nothing is missed.
async fn reach_end<P: Projection>(gateway: &Gateway) -> Result<(), Problem> {
    let log = gateway.commands.log();
    let (epoch, sequence) = (log.identity().epoch, log.last_sequence().await?);
    let now = Position { epoch, sequence, index: 0 }.to_string();
    Ok(gateway.reads.reach::<P>(Some(&now)).await?)
}

/// The ids of all webhooks of a tenant.
async fn webhooks(
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
