use std::fmt::Write;

use serde::Serialize;

use super::{JobEvent, JobSpec};
use crate::{Timestamp, media::Pool};

/// One thing that happened to a job, and what led to it, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Because {
    /// The sentence.
    pub says: String,
    /// What led to it, as far as it stands in the log: a position, a request, a batch.
    pub cause: Option<String>,
}

/// What a decision says beside its events.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What was asked for; none once nothing is known of it.
    pub spec: Option<&'a JobSpec>,
    /// Who decided, in words.
    pub actor: &'a str,
    /// What led to it.
    pub cause: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// Explains one event: one sentence for each thing that led to another.
pub fn why(event: &JobEvent, known: Circumstances<'_>) -> Vec<Because> {
    let cause = known.cause.map(str::to_owned);
    let one = |says: String| vec![Because { says, cause: cause.clone() }];
    let actor = known.actor;
    match event {
        JobEvent::Submitted { spec } => one(submitted(spec, actor)),
        JobEvent::AttemptStarted { attempt, worker, pool, waited, .. } => {
            let mut because = Vec::new();
            if let Some(waited) = waited {
                let long = known.at.since(waited.since).as_secs_f64();
                let says = format!("It waited {long:.1} s: {}.", waited.why);
                because.push(Because { says, cause: None });
            }
            let wish = known.spec.and_then(|spec| spec.hardware);
            if let Some(wish) = wish.filter(|wish| wish.prefer.as_str() != pool) {
                let says = format!(
                    "No worker offered `{}`, and the request lets `{pool}` do it instead.",
                    wish.prefer.as_str()
                );
                because.push(Because { says, cause: None });
            }
            let on = if pool == Pool::Cpu.as_str() { "the processor" } else { pool };
            because.extend(one(format!("{worker} began attempt {attempt} on {on}.")));
            because
        }
        JobEvent::AttemptFailed { attempt, failure, retry_at } => {
            let message = failure.message.as_ref().map_or("its message was erased", String::as_str);
            let code = failure.code.as_str();
            let mut says = format!("Attempt {attempt} failed with `{code}`: {message}.");
            if let Some(retry_at) = retry_at {
                let next = attempt.saturating_add(1);
                let _ = write!(
                    says,
                    " That may pass, so attempt {next} is to follow, not before {retry_at}."
                );
            }
            one(says)
        }
        JobEvent::AttemptAbandoned { attempt, reason, handed_back: true } => one(format!(
            "Attempt {attempt} was handed back, for its {reason}; another worker takes it over."
        )),
        JobEvent::AttemptAbandoned { attempt, reason, handed_back: false } => one(format!(
            "Attempt {attempt} was given up, for its {reason}; another worker takes it over."
        )),
        JobEvent::CancelRequested { attempt } => {
            one(format!("{actor} called it off while attempt {attempt} ran."))
        }
        JobEvent::Cancelled {} => one("It was cancelled, and nothing of it runs.".to_owned()),
        JobEvent::OutputsSealed { attempt, outputs, .. } => one(format!(
            "Attempt {attempt} made and verified {} files; from here on it can only complete.",
            outputs.len()
        )),
        JobEvent::Completed { attempt } => {
            one(format!("Attempt {attempt} put the outputs at their names: it is completed."))
        }
        JobEvent::Failed { failure, dead_lettered } => one(if *dead_lettered {
            "Every attempt is used up: it is a dead letter, and can be retried by hand.".to_owned()
        } else {
            format!("`{}` does not pass by itself: it failed.", failure.code.as_str())
        }),
        JobEvent::Retried { next_attempt, .. } => {
            one(format!("{actor} asked for another try: attempt {next_attempt} is to follow."))
        }
        JobEvent::OutputsExpired {} => {
            one("Its outputs were kept as long as they are kept, and are gone.".to_owned())
        }
        JobEvent::PriorityChanged { priority } => {
            let priority = format!("{priority:?}").to_lowercase();
            one(format!("{actor} made its priority {priority}."))
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
        let _ = write!(says, " to do {job} again");
    }
    if let Some(preset) = &spec.preset {
        let _ = write!(says, " with preset {} version {}", preset.name, preset.version);
    }
    says.push('.');
    says
}
