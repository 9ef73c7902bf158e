use ffapi_domain::{
    JobId,
    job::{Job, JobCommand},
    key::Scope,
};
use ffapi_nats::failpoint;
use poem::{Request, error::ResponseError};
use poem_openapi::Object;
use serde::Deserialize;

use super::{
    create::PriorityWord,
    reserve::reserve_again,
    show::{JobBody, show},
};
use crate::{
    auth::{Auth, Principal},
    if_match::version,
    problem::Problem,
    queue_slots,
    reply::Reply,
    state::{Gateway, caller},
};

/// Where a job should stand in the queue.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "JobPatch")]
pub(crate) struct PriorityBody {
    pub(crate) priority: PriorityWord,
}

/// A command for one job.
pub(crate) struct Act<'a> {
    request: &'a Request,
    principal: &'a Principal,
    id: JobId,
    if_match: Option<String>,
}

impl<'a> Act<'a> {
    pub(crate) fn new(
        request: &'a Request,
        auth: &'a Auth,
        id: &str,
        if_match: Option<String>,
    ) -> poem::Result<Self> {
        Ok(Self {
            request,
            principal: auth.may(Scope::JobsWrite)?,
            id: super::job_id(id)?,
            if_match,
        })
    }

    /// Gives the command and shows the job as it stands after it.
    pub(crate) async fn give<const STATUS: u16>(
        self,
        gateway: &Gateway,
        command: JobCommand,
    ) -> Result<Reply<STATUS, JobBody>, Problem> {
        let version = self.if_match.as_deref().map(version).transpose()?.flatten();
        let (tenant, id) = (&self.principal.tenant, self.id.to_string());
        let caller = caller(self.principal, self.request);
        gateway.commands.handle_if::<Job>(tenant.as_str(), &id, &caller, command, version).await?;
        let found = gateway.job_in_log(tenant, self.id).await?;
        let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
        let told = gateway.progress.of(&id, job.summary.attempt);
        Ok(Reply::new(show(&job, told.as_ref())).version(job.summary.version).position(position))
    }

    /// Tries again, if the output's name was not given to another job meanwhile.
    pub(crate) async fn retry(self, gateway: &Gateway) -> Result<Reply<202, JobBody>, Problem> {
        let tenant = &self.principal.tenant;
        let caller = caller(self.principal, self.request);
        // A job that cannot be tried again is refused by the log, with its reason.
        reserve_again(gateway, tenant, &caller, self.id).await?;
        let mut place = queue_slots::take(gateway, tenant, 1).await?;
        let lease = Some(place.lease());
        place.spend(1);
        let retried = self.give(gateway, JobCommand::Retry { lease }).await;
        let refused = |problem: &Problem| !problem.status().is_server_error();
        place.keep(u32::from(retried.as_ref().is_err_and(refused)));
        retried
    }

    /// Cancels, and tells the worker at once; it would also see it in the log a moment later.
    pub(crate) async fn cancel(self, gateway: &Gateway) -> Result<Reply<202, JobBody>, Problem> {
        let subject = format!("ctl.cancel.{}", self.id);
        let reply = self.give(gateway, JobCommand::Cancel).await?;
        failpoint::hit("gateway.after_cancel");
        gateway.live.tell(subject, "").await;
        Ok(reply)
    }
}
