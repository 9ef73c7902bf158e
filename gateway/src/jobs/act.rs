use ffapi_domain::{
    JobId,
    job::{Job, JobCommand, JobView},
    key::Scope,
};
use ffapi_nats::failpoint;
use poem::Request;
use poem_openapi::Object;
use serde::Deserialize;

use super::{
    create::PriorityWord, find, id::job_id, in_log::job_after, retry::retry, show::JobBody,
};
use crate::{
    auth::{Auth, Principal},
    if_match::version,
    log_view::{Address, InLog},
    problem::Problem,
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

/// A change of a job's priority in the queue.
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
        Ok(Self { request, principal: auth.require(Scope::JobsWrite)?, id: job_id(id)?, if_match })
    }

    /// Executes the command and responds with the job's state after it.
    pub(crate) async fn execute<const STATUS: u16>(
        self,
        gateway: &Gateway,
        command: JobCommand,
    ) -> Result<Reply<STATUS, JobBody>, Problem> {
        let version = self.version()?;
        let (tenant, id) = (&self.principal.tenant, self.id.to_string());
        let caller = caller(self.principal, self.request);
        // Looked up before the command, which invalidates it.
        let before = find::cached(gateway, tenant, self.id);
        let handled =
            gateway.commands.handle_if::<Job>(tenant.as_str(), &id, &caller, command, version);
        let of = Address { tenant, id: self.id };
        let found = job_after(&gateway.commands, of, &handled.await?, before).await?;
        Ok(self.shown(gateway, &found))
    }

    /// Retries the job, unless another job has reserved its output meanwhile.
    pub(crate) async fn retry(self, gateway: &Gateway) -> Result<Reply<202, JobBody>, Problem> {
        let (tenant, version) = (&self.principal.tenant, self.version()?);
        let caller = caller(self.principal, self.request);
        let retried = retry(gateway, tenant, &caller, self.id, version).await?;
        Ok(self.shown(gateway, &retried))
    }

    /// The version of `If-Match`.
    fn version(&self) -> Result<Option<u64>, Problem> {
        Ok(self.if_match.as_deref().map(version).transpose()?.flatten())
    }

    fn shown<const STATUS: u16>(
        &self,
        gateway: &Gateway,
        job: &InLog<JobView>,
    ) -> Reply<STATUS, JobBody> {
        let body = gateway.present(self.principal).job(&job.view);
        Reply::new(body).version(job.view.summary.version).position(job.position)
    }

    /// Cancels the job, and notifies the worker directly so that it need not wait for the log.
    pub(crate) async fn cancel(self, gateway: &Gateway) -> Result<Reply<202, JobBody>, Problem> {
        let subject = ffapi_nats::subject::cancel_job(self.id);
        let reply = self.execute(gateway, JobCommand::Cancel).await?;
        failpoint::hit("gateway.after_cancel");
        gateway.pubsub.publish(subject, "").await;
        Ok(reply)
    }
}
