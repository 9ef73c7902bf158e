use ffapi_domain::{
    JobId, Timestamp,
    job::{EventContext, EventExplanation, Job, JobEvent, JobSpec, why},
};
use ffapi_nats::{Actor, Decision, Position};
use poem_openapi::Object;

use crate::{auth::Principal, problem::Problem, queue, reply::Reply, state::Gateway};

/// The explanation of a job's state.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct Why {
    job_id: String,
    /// One sentence for each event that led to the state.
    because: Vec<Sentence>,
    /// Why the job is waiting now, if it is.
    waits: Option<String>,
}

/// One event, and its cause.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Sentence {
    /// Position of the event in the log.
    position: String,
    time: String,
    says: String,
    /// The cause: `request …`, `release <position>` or `batch …`.
    cause: Option<String>,
}

pub(crate) async fn explain(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
) -> Result<Reply<200, Why>, Problem> {
    let tenant = &principal.tenant;
    let epoch = gateway.commands.log().identity().epoch;
    let (mut because, mut spec): (Vec<Sentence>, Option<JobSpec>) = (Vec::new(), None);
    let mut queued = None;
    let explain = |sequence, decision: Decision<JobEvent>| {
        let actor = match &decision.actor {
            Actor::Key(key) => format!("The holder of {key}"),
            Actor::Worker(worker) => format!("Worker {worker}"),
            Actor::Process(process) => format!("The {process} process"),
        };
        for (index, event) in (0..).zip(&decision.events) {
            if let JobEvent::Submitted { spec: submitted } = event {
                spec = Some((**submitted).clone());
            }
            let at = Timestamp::from_millis(decision.at);
            let cause = decision.causation.as_deref();
            let known = EventContext { spec: spec.as_ref(), actor: &actor, cause, at };
            let position = Position { epoch, sequence, index };
            because.extend(why(event, known).into_iter().map(
                |EventExplanation { says, cause }| Sentence {
                    position: position.to_string(),
                    time: at.to_string(),
                    says,
                    cause,
                },
            ));
        }
        queued = decision.events.last().and_then(ffapi_domain::job::JobStatus::after);
    };
    gateway.commands.visit::<Job>(tenant.as_str(), &id.to_string(), explain).await?;
    if spec.is_none() {
        return Err(Problem::not_found("job"));
    }
    let waits = if queued == Some(ffapi_domain::job::JobStatus::Queued) {
        queue::positions(gateway, tenant, Some(id), 1).await?.first().map(|place| {
            match place.position {
                Some(nth) => format!("It is number {nth} in its account's queue: {}.", place.why),
                None => format!("It is waiting: {}.", place.why),
            }
        })
    } else {
        None
    };
    Ok(Reply::new(Why { job_id: id.to_string(), because, waits }))
}
