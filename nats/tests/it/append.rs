use ffapi_nats::AppendError;
use futures::future::join_all;

use crate::harness::{TestLog, request};

#[tokio::test]
async fn of_concurrent_appends_with_the_same_expected_sequence_one_succeeds() {
    let test = TestLog::new().await;
    let outcomes =
        join_all((0..32).map(|n| test.log.append(request("a", 0, &n.to_string())))).await;
    let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(succeeded, 1, "{outcomes:?}");
    let conflicts = outcomes.iter().filter(|o| matches!(o, Err(AppendError::Conflict))).count();
    assert_eq!(conflicts, 31);
    assert_eq!(test.log.load("ev.job.acme.a", 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_conflict_in_a_batch_fails_only_the_conflicting_append() {
    let test = TestLog::new().await;
    test.log.append(request("taken", 0, "first")).await.unwrap();
    let ids = (0..200).map(|n| if n == 77 { "taken".to_owned() } else { format!("j{n}") });
    let outcomes = join_all(ids.map(|id| {
        let log = test.log.clone();
        async move { log.append(request(&id, 0, &id)).await }
    }))
    .await;
    let rejected: Vec<usize> =
        outcomes.iter().enumerate().filter(|(_, o)| o.is_err()).map(|(n, _)| n).collect();
    assert_eq!(rejected, [77]);
    for (n, outcome) in outcomes.iter().enumerate().filter(|(n, _)| *n != 77) {
        let stored = test.log.load(&format!("ev.job.acme.j{n}"), 1).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].sequence, *outcome.as_ref().unwrap(), "job {n}");
    }
}

#[tokio::test]
async fn a_retried_command_returns_the_sequence_of_the_first_append() {
    let test = TestLog::new().await;
    let command = request("a", 0, "once");
    let first = test.log.append(command.clone()).await.unwrap();
    let later = request("a", first, "twice");
    test.log.append(later).await.unwrap();
    // As after a lost response: there are newer messages, but this command is in the log.
    assert_eq!(test.log.append(command).await.unwrap(), first);
    assert_eq!(test.log.load("ev.job.acme.a", 1).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_append_during_a_restart_is_stored_exactly_once() {
    let mut test = TestLog::new().await;
    test.server.kill();
    let log = test.log.clone();
    let pending = tokio::spawn(async move { log.append(request("a", 0, "pending")).await });
    test.server.restart().unwrap();
    let sequence = pending.await.unwrap().unwrap();
    let stored = test.log.load("ev.job.acme.a", 1).await.unwrap();
    assert_eq!(stored.iter().map(|m| m.sequence).collect::<Vec<_>>(), [sequence]);
}

#[tokio::test]
async fn a_decision_above_four_megabytes_is_rejected_with_its_size() {
    let test = TestLog::new().await;
    let outcome = test.log.append(request("a", 0, &"x".repeat(5_000_000))).await;
    assert!(matches!(outcome, Err(AppendError::TooLarge { size: 5_000_000, .. })), "{outcome:?}");
}
