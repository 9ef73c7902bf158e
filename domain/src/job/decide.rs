use super::{
    Failure, FailureCode, JobCommand, JobEvent, JobState, RetryHint, Run,
    retry::{MAX_ABANDONED, MAX_ATTEMPTS, MAX_DEFERRED, deferral},
    state,
};
use crate::{Category, Decider, Personal, Timestamp, dispatch::Waited};

/// The job decider.
#[derive(Debug)]
pub struct Job;

/// Why a job command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobRejection {
    /// No such job.
    #[error("there is no such job")]
    NotFound,
    /// It exists already.
    #[error("the job was submitted already")]
    AlreadySubmitted,
    /// It has ended.
    #[error("the job is over")]
    AlreadyOver,
    /// Its outputs are sealed and will be published in a store.
    #[error("the job's outputs are sealed and being delivered; it can no longer be cancelled")]
    AlreadySealed,
    /// It is still waiting or running.
    #[error("only a failed or cancelled job can be retried")]
    NotOver,
    /// Another attempt is open, or was newer.
    #[error("attempt {attempt} is not the open one")]
    StaleAttempt {
        /// Number of the attempt in the command.
        attempt: u32,
    },
    /// Another worker has started this attempt.
    #[error("the attempt belongs to worker {worker}")]
    TakenBy {
        /// The worker that runs it.
        worker: String,
    },
    /// Its cancellation was requested while it ran.
    #[error("the job is being cancelled")]
    Cancelling,
    /// No sealed outputs exist that could be delivered.
    #[error("the job has no sealed outputs")]
    NotSealed,
    /// It had many attempts already; every one stays in its history.
    #[error("the job had {MAX_ATTEMPTS} attempts already; submit it as a new one, by `rerun`")]
    TooManyAttempts,
}

type Decision = Result<Vec<JobEvent>, JobRejection>;

impl Decider for Job {
    type Command = JobCommand;
    type Event = JobEvent;
    type State = JobState;
    type Rejection = JobRejection;

    const CATEGORY: &'static str = Category::Job.as_str();

    fn decide(state: &JobState, command: JobCommand) -> Decision {
        match command {
            JobCommand::Submit { spec } => match state {
                JobState::Unknown => Ok(vec![JobEvent::Submitted { spec }]),
                JobState::Queued { .. }
                | JobState::Processing { .. }
                | JobState::Completed
                | JobState::Failed { .. }
                | JobState::Cancelled { .. } => Err(JobRejection::AlreadySubmitted),
            },
            JobCommand::StartAttempt { attempt, worker, pool, device, waited } => {
                start(state, attempt, worker, pool, device, waited)
            }
            JobCommand::Refuse { failure } => refuse(state, failure),
            JobCommand::FailAttempt { attempt, failure, at, chance } => {
                fail(state, attempt, failure, at, chance)
            }
            JobCommand::AbandonAttempt { attempt, reason, handed_back } => {
                abandon(state, attempt, reason, handed_back)
            }
            JobCommand::Cancel => cancel(state),
            JobCommand::ConfirmCancel { attempt } => confirm_cancel(state, attempt),
            JobCommand::SealOutputs { attempt, outputs, result, spent, plan } => {
                let (run, cancelling) = open(state, attempt)?;
                match run.sealed_by {
                    _ if cancelling => Err(JobRejection::Cancelling),
                    Some(_) => Ok(vec![]),
                    None => {
                        Ok(vec![JobEvent::OutputsSealed { attempt, outputs, result, spent, plan }])
                    }
                }
            }
            JobCommand::Complete { attempt } => match state {
                JobState::Completed => Ok(vec![]),
                JobState::Unknown
                | JobState::Queued { .. }
                | JobState::Processing { .. }
                | JobState::Failed { .. }
                | JobState::Cancelled { .. } => {
                    let (run, cancelling) = open(state, attempt)?;
                    if cancelling {
                        return Err(JobRejection::Cancelling);
                    }
                    run.sealed_by.ok_or(JobRejection::NotSealed)?;
                    Ok(vec![JobEvent::Completed { attempt }])
                }
            },
            JobCommand::Retry { lease } => match state {
                JobState::Unknown => Err(JobRejection::NotFound),
                JobState::Queued { .. } | JobState::Processing { .. } | JobState::Completed => {
                    Err(JobRejection::NotOver)
                }
                JobState::Failed { run } | JobState::Cancelled { run }
                    if run.next_attempt > MAX_ATTEMPTS =>
                {
                    Err(JobRejection::TooManyAttempts)
                }
                JobState::Failed { run } | JobState::Cancelled { run } => {
                    Ok(vec![JobEvent::Retried { next_attempt: run.next_attempt, lease }])
                }
            },
            JobCommand::ExpireOutputs => delivered(state, JobEvent::OutputsExpired {}),
            JobCommand::DeleteOutputs { only } => {
                delivered(state, JobEvent::OutputsDeleted { only })
            }
            JobCommand::Reprioritise { priority } => match state {
                JobState::Unknown => Err(JobRejection::NotFound),
                JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => {
                    Err(JobRejection::AlreadyOver)
                }
                JobState::Queued { run, .. } | JobState::Processing { run, .. } => {
                    if run.priority == priority {
                        return Ok(vec![]);
                    }
                    Ok(vec![JobEvent::PriorityChanged { priority }])
                }
            },
        }
    }

    fn evolve(state: JobState, event: &JobEvent) -> JobState {
        state::evolve(state, event)
    }
}

fn start(
    state: &JobState,
    attempt: u32,
    worker: String,
    pool: String,
    device: Option<String>,
    waited: Option<Waited>,
) -> Decision {
    match state {
        JobState::Unknown => Err(JobRejection::NotFound),
        JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => {
            Err(JobRejection::AlreadyOver)
        }
        JobState::Processing { attempt: open, worker: holder, .. } if *open == attempt => {
            if *holder == worker {
                Ok(vec![])
            } else {
                Err(JobRejection::TakenBy { worker: holder.clone() })
            }
        }
        JobState::Queued { run, .. } if run.next_attempt == attempt => {
            Ok(vec![JobEvent::AttemptStarted { attempt, worker, pool, device, waited }])
        }
        JobState::Queued { .. } | JobState::Processing { .. } => {
            Err(JobRejection::StaleAttempt { attempt })
        }
    }
}

/// Fails a job that has not started; a started one continues.
fn refuse(state: &JobState, failure: Failure) -> Decision {
    match state {
        JobState::Unknown => Err(JobRejection::NotFound),
        JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => {
            Err(JobRejection::AlreadyOver)
        }
        JobState::Queued { run, .. } if run.sealed_by.is_none() => {
            Ok(vec![JobEvent::Failed { failure, dead_lettered: false }])
        }
        JobState::Queued { .. } | JobState::Processing { .. } => Ok(vec![]),
    }
}

/// Records what happened to delivered outputs.
fn delivered(state: &JobState, event: JobEvent) -> Decision {
    match state {
        JobState::Unknown => Err(JobRejection::NotFound),
        JobState::Completed => Ok(vec![event]),
        JobState::Queued { .. }
        | JobState::Processing { .. }
        | JobState::Failed { .. }
        | JobState::Cancelled { .. } => Err(JobRejection::NotSealed),
    }
}

/// The state of the open attempt if it is this one, and whether its cancellation was requested.
fn open(state: &JobState, attempt: u32) -> Result<(&Run, bool), JobRejection> {
    match state {
        JobState::Unknown => Err(JobRejection::NotFound),
        JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => {
            Err(JobRejection::AlreadyOver)
        }
        JobState::Processing { run, attempt: open, cancelling, .. } if *open == attempt => {
            Ok((run, *cancelling))
        }
        JobState::Queued { .. } | JobState::Processing { .. } => {
            Err(JobRejection::StaleAttempt { attempt })
        }
    }
}

fn fail(state: &JobState, attempt: u32, failure: Failure, at: Timestamp, chance: u8) -> Decision {
    let (run, cancelling) = open(state, attempt)?;
    if cancelling {
        // Whatever failed: the user requested a stop, and it has stopped.
        return Ok(vec![JobEvent::Cancelled {}]);
    }
    if failure.code.is_deferral() && run.deferred < MAX_DEFERRED {
        let retry_at = Some(at.plus(deferral(run.deferred, chance)));
        return Ok(vec![JobEvent::AttemptFailed { attempt, failure, retry_at }]);
    }
    let failures = run.failures.saturating_add(1);
    let retryable = failure.code.retry_hint() == RetryHint::Retry;
    if retryable && !failure.code.is_deferral() && failures < run.policy.max_attempts {
        let retry_at = Some(at.plus(run.policy.backoff(failures, chance)));
        return Ok(vec![JobEvent::AttemptFailed { attempt, failure, retry_at }]);
    }
    Ok(vec![
        JobEvent::AttemptFailed { attempt, failure: failure.clone(), retry_at: None },
        JobEvent::Failed { failure, dead_lettered: retryable },
    ])
}

fn abandon(state: &JobState, attempt: u32, reason: String, handed_back: bool) -> Decision {
    let (run, cancelling) = open(state, attempt)?;
    if cancelling {
        return Ok(vec![JobEvent::Cancelled {}]);
    }
    let abandoned = JobEvent::AttemptAbandoned { attempt, reason, handed_back };
    if handed_back || run.abandoned.saturating_add(1) < MAX_ABANDONED {
        return Ok(vec![abandoned]);
    }
    let message = "several workers were lost while they ran this job; see its attempts";
    let failure =
        Failure { code: FailureCode::WorkerLost, message: Personal::Clear(message.to_owned()) };
    Ok(vec![abandoned, JobEvent::Failed { failure, dead_lettered: true }])
}

fn cancel(state: &JobState) -> Decision {
    match state {
        JobState::Unknown => Err(JobRejection::NotFound),
        JobState::Completed | JobState::Failed { .. } | JobState::Cancelled { .. } => {
            Err(JobRejection::AlreadyOver)
        }
        // A host that takes no outputs could delay the end for hours. A store has the bytes already: what is left is
        // one short request for each file, within the time that a job may take.
        JobState::Queued { run, .. } | JobState::Processing { run, .. }
            if run.sealed_by.is_some() && !run.is_put =>
        {
            Err(JobRejection::AlreadySealed)
        }
        JobState::Queued { .. } => Ok(vec![JobEvent::Cancelled {}]),
        JobState::Processing { cancelling: true, .. } => Ok(vec![]),
        JobState::Processing { attempt, .. } => {
            Ok(vec![JobEvent::CancelRequested { attempt: *attempt }])
        }
    }
}

fn confirm_cancel(state: &JobState, attempt: u32) -> Decision {
    if matches!(state, JobState::Cancelled { .. }) {
        return Ok(vec![]);
    }
    match open(state, attempt)? {
        (_, true) => Ok(vec![JobEvent::Cancelled {}]),
        (_, false) => Err(JobRejection::StaleAttempt { attempt }),
    }
}
