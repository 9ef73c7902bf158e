use ffapi_domain::{
    JobId, Timestamp,
    job::{Because, Circumstances, Job, JobEvent, JobSpec, why},
};
use ffapi_nats::{Actor, Position};
use poem_openapi::Object;

use crate::{auth::Principal, problem::Problem, queue, reply::Reply, state::Gateway};

/// Why a job stands as it does, one sentence for each thing that led to another.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Why {
    job_id: String,
    because: Vec<Sentence>,
    /// Why it waits now, if it does.
    waits: Option<String>,
}

/// One thing that happened, and what led to it.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Sentence {
    /// Where it stands in the log.
    position: String,
    time: String,
    says: String,
    /// What led to it: `request …`, `release <position>`, `batch …`.
    cause: Option<String>,
}

pub(crate) async fn explain(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
) -> Result<Reply<200, Why>, Problem> {
    let tenant = &principal.tenant;
    let history = gateway.commands.history::<Job>(tenant.as_str(), &id.to_string()).await?;
    if history.is_empty() {
        return Err(Problem::not_found("job"));
    }
    let epoch = gateway.commands.log().identity().epoch;
    let (mut because, mut spec): (Vec<Sentence>, Option<JobSpec>) = (Vec::new(), None);
    for (sequence, decision) in &history {
        let actor = match &decision.actor {
            Actor::Key(key) => format!("The holder of {key}"),
            Actor::Worker(worker) => format!("Worker {worker}"),
            Actor::Process(process) => format!("The {process} process"),
        };
        for (index, event) in (0..).zip(&decision.events) {
            if let JobEvent::Submitted { spec: asked } = event {
                spec = Some((**asked).clone());
            }
            let at = Timestamp::from_millis(decision.at);
            let cause = decision.causation.as_deref();
            let known = Circumstances { spec: spec.as_ref(), actor: &actor, cause, at };
            let position = Position { epoch, sequence: *sequence, index };
            because.extend(why(event, known).into_iter().map(|Because { says, cause }| Sentence {
                position: position.to_string(),
                time: at.to_string(),
                says,
                cause,
            }));
        }
    }
    let last = history.last().and_then(|(_, decision)| decision.events.last());
    let queued = last.and_then(ffapi_domain::job::JobStatus::after);
    let waits = if queued == Some(ffapi_domain::job::JobStatus::Queued) {
        queue::places(gateway, tenant, Some(id), 1).await?.first().map(|place| match place.place {
            Some(nth) => format!("It is number {nth} of its account: {}.", place.why),
            None => format!("It waits: {}.", place.why),
        })
    } else {
        None
    };
    Ok(Reply::new(Why { job_id: id.to_string(), because, waits }))
}
