use std::fmt::Write;

use serde::Serialize;

use super::{JobEvent, JobSpec};
use crate::{Timestamp, media::Pool};

/// A sentence about one event of a job and its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventExplanation {
    /// The sentence.
    pub says: String,
    /// The cause, as far as the log has it: a position, a request or a batch.
    pub cause: Option<String>,
}

/// Context of an event, from its decision.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// The job's specification; `None` if it is unknown.
    pub spec: Option<&'a JobSpec>,
    /// Display text for the actor.
    pub actor: &'a str,
    /// What caused the decision.
    pub cause: Option<&'a str>,
    /// When it was decided.
    pub at: Timestamp,
}

/// Explains one event: one sentence for each step from cause to effect.
pub fn why(event: &JobEvent, known: EventContext<'_>) -> Vec<EventExplanation> {
    let cause = known.cause.map(str::to_owned);
    let one = |says: String| vec![EventExplanation { says, cause: cause.clone() }];
    let actor = known.actor;
    match event {
        JobEvent::Submitted { spec } => one(submitted(spec, actor)),
        JobEvent::AttemptStarted { attempt, worker, pool, waited, .. } => {
            let mut because = Vec::new();
            if let Some(waited) = waited {
                let long = known.at.since(waited.since).as_secs_f64();
                let says = format!("It waited {long:.1} s: {}.", waited.why);
                because.push(EventExplanation { says, cause: None });
            }
            let wish = known.spec.and_then(|spec| spec.hardware);
            if let Some(wish) = wish.filter(|wish| wish.prefer.as_str() != pool) {
                let says = format!(
                    "No worker offered `{}`, and the request allows `{pool}` instead.",
                    wish.prefer.as_str()
                );
                because.push(EventExplanation { says, cause: None });
            }
            let on = if pool == Pool::Cpu.as_str() { "the CPU" } else { pool };
            because.extend(one(format!("{worker} began attempt {attempt} on {on}.")));
            because
        }
        JobEvent::AttemptFailed { attempt, failure, retry_at } => {
            let message = failure.message.as_ref().map_or("its message was erased", String::as_str);
            let code = failure.code.as_str();
            let mut says = format!("Attempt {attempt} failed with `{code}`: {message}.");
            if let Some(retry_at) = retry_at {
                let next = attempt.saturating_add(1);
                let _ = write!(says, " It is retried as attempt {next}, not before {retry_at}.");
            }
            one(says)
        }
        JobEvent::AttemptAbandoned { attempt, reason, handed_back: true } => one(format!(
            "Attempt {attempt} was handed back, because its {reason}; another worker takes it over."
        )),
        JobEvent::AttemptAbandoned { attempt, reason, handed_back: false } => one(format!(
            "Attempt {attempt} was abandoned, because its {reason}; another worker takes it over."
        )),
        JobEvent::CancelRequested { attempt } => {
            one(format!("{actor} requested cancellation while attempt {attempt} ran."))
        }
        JobEvent::Cancelled {} => {
            one("It was cancelled, and nothing of it runs any more.".to_owned())
        }
        JobEvent::OutputsSealed { attempt, outputs, .. } => one(format!(
            "Attempt {attempt} made and verified {} files; from here on it can only complete.",
            outputs.len()
        )),
        JobEvent::Completed { attempt } => {
            one(format!("Attempt {attempt} delivered the outputs: the job is completed."))
        }
        JobEvent::Failed { failure, dead_lettered } => one(if *dead_lettered {
            "Every attempt is used up: the job is a dead letter, and can be retried manually."
                .to_owned()
        } else {
            format!("`{}` is not retryable: the job failed.", failure.code.as_str())
        }),
        JobEvent::Retried { next_attempt, .. } => {
            one(format!("{actor} requested a retry: attempt {next_attempt} follows."))
        }
        JobEvent::OutputsExpired {} => {
            one("Its outputs were deleted at the end of their retention.".to_owned())
        }
        JobEvent::OutputsDeleted { only: None } => one(format!("{actor} deleted its outputs.")),
        JobEvent::OutputsDeleted { only: Some(output) } => {
            let name = output.name.as_ref().map_or("one of its outputs", String::as_str);
            one(format!("{actor} deleted {name}."))
        }
        JobEvent::PriorityChanged { priority } => {
            let priority = format!("{priority:?}").to_lowercase();
            one(format!("{actor} changed its priority to {priority}."))
        }
    }
}

fn submitted(spec: &JobSpec, actor: &str) -> String {
    let kind = spec.request.kind();
    let mut says = format!("{actor} submitted it ({kind})");
    if let Some(batch) = spec.batch {
        let _ = write!(says, " as job {} of {}", batch.index.saturating_add(1), batch.id);
    }
    if let Some(job) = spec.rerun_of {
        let _ = write!(says, " to rerun {job}");
    }
    if let Some(preset) = &spec.preset {
        let _ = write!(says, " with preset {} version {}", preset.name, preset.version);
    }
    says.push('.');
    says
}
