//! Jobs whose outputs are put at URLs.

use super::*;

/// Outputs that are put at a URL.
fn sealed_for_url(attempt: u32) -> JobEvent {
    let output = OutputFile {
        name: Personal::Clear("a.mp4".to_owned()),
        location: Personal::Clear("https://bucket.example/a.mp4".to_owned()),
        size: 1,
        sha256: String::new(),
        duration: None,
        streams: vec![],
    };
    JobEvent::OutputsSealed {
        attempt,
        outputs: vec![output],
        result: None,
        spent: None,
        plan: None,
    }
}

#[test]
fn a_job_that_puts_its_outputs_at_urls_can_be_cancelled_until_it_is_completed() {
    let history = vec![submitted(), started(1), sealed_for_url(1)];
    given::<Job>(history.clone()).when(JobCommand::Cancel).then([CANCEL_REQUESTED]);
    let requested = [&history[..], &[CANCEL_REQUESTED]].concat();
    given::<Job>(requested.clone())
        .when(JobCommand::Complete { attempt: 1 })
        .then_rejected(&JobRejection::Cancelling);
    let confirmed = JobCommand::ConfirmCancel { attempt: 1 };
    given::<Job>(requested.clone()).when(confirmed).then([CANCELLED]);
    // Its worker died, or the host did not take the outputs.
    given::<Job>(requested.clone()).when(abandon(1)).then([CANCELLED]);
    let failed = fail(1, FailureCode::OutputUnreachable);
    given::<Job>(requested.clone()).when(failed).then([CANCELLED]);
    // Between two attempts nothing needs to be stopped.
    let waiting = [&history[..], &[failed_attempt(1, Some(5))]].concat();
    given::<Job>(waiting).when(JobCommand::Cancel).then([CANCELLED]);
    // Retried, it makes its outputs again: what was staged is gone.
    let retried = JobEvent::Retried { next_attempt: 2, lease: None };
    let again = [&requested[..], &[CANCELLED, retried, started(2)]].concat();
    given::<Job>(again)
        .when(JobCommand::Complete { attempt: 2 })
        .then_rejected(&JobRejection::NotSealed);
}
