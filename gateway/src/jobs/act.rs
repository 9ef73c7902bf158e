use ffapi_domain::{
    JobId,
    job::{Job, JobCommand},
    key::Scope,
};
use ffapi_nats::failpoint;
use poem::Request;
use poem_openapi::Object;
use serde::Deserialize;

use super::{create::PriorityWord, id::job_id, in_log::job_in_log, retry::retry, show::JobBody};
use crate::{
    auth::{Auth, Principal},
    if_match::version,
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
        gateway.commands.handle_if::<Job>(tenant.as_str(), &id, &caller, command, version).await?;
        self.shown(gateway).await
    }

    /// Retries the job, unless another job has reserved its output meanwhile.
    pub(crate) async fn retry(self, gateway: &Gateway) -> Result<Reply<202, JobBody>, Problem> {
        let (tenant, version) = (&self.principal.tenant, self.version()?);
        let caller = caller(self.principal, self.request);
        retry(gateway, tenant, &caller, self.id, version).await?;
        self.shown(gateway).await
    }

    /// The version of `If-Match`.
    fn version(&self) -> Result<Option<u64>, Problem> {
        Ok(self.if_match.as_deref().map(version).transpose()?.flatten())
    }

    async fn shown<const STATUS: u16>(
        &self,
        gateway: &Gateway,
    ) -> Result<Reply<STATUS, JobBody>, Problem> {
        let found = job_in_log(&gateway.commands, &self.principal.tenant, self.id).await?;
        let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
        let body = gateway.present(self.principal).job(&job);
        Ok(Reply::new(body).version(job.summary.version).position(position))
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
