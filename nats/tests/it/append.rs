use ffapi_nats::AppendError;
use futures::future::join_all;

use crate::harness::{Bed, draft};

#[tokio::test]
async fn of_many_writers_with_the_same_expectation_one_wins() {
    let bed = Bed::new().await;
    let outcomes = join_all((0..32).map(|n| bed.log.append(draft("a", 0, &n.to_string())))).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    let lost = outcomes.iter().filter(|o| matches!(o, Err(AppendError::Conflict))).count();
    assert_eq!(lost, 31);
    assert_eq!(bed.log.load("ev.job.acme.a", 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_waiting_are_stored_together_and_only_the_guilty_are_refused() {
    let bed = Bed::new().await;
    bed.log.append(draft("taken", 0, "first")).await.unwrap();
    let drafts = (0..200).map(|n| if n == 77 { "taken".to_owned() } else { format!("j{n}") });
    let outcomes = join_all(drafts.map(|id| {
        let log = bed.log.clone();
        async move { log.append(draft(&id, 0, &id)).await }
    }))
    .await;
    let refused: Vec<usize> =
        outcomes.iter().enumerate().filter(|(_, o)| o.is_err()).map(|(n, _)| n).collect();
    assert_eq!(refused, [77]);
    for (n, outcome) in outcomes.iter().enumerate().filter(|(n, _)| *n != 77) {
        let stored = bed.log.load(&format!("ev.job.acme.j{n}"), 1).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].sequence, *outcome.as_ref().unwrap(), "job {n}");
    }
}

#[tokio::test]
async fn the_same_command_again_is_the_same_success() {
    let bed = Bed::new().await;
    let command = draft("a", 0, "once");
    let first = bed.log.append(command.clone()).await.unwrap();
    let later = draft("a", first, "twice");
    bed.log.append(later).await.unwrap();
    // As after a lost answer: the log moved on since, yet this very command is in it.
    assert_eq!(bed.log.append(command).await.unwrap(), first);
    assert_eq!(bed.log.load("ev.job.acme.a", 1).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_append_during_a_restart_is_stored_exactly_once() {
    let mut bed = Bed::new().await;
    bed.server.kill();
    let log = bed.log.clone();
    let pending = tokio::spawn(async move { log.append(draft("a", 0, "patient")).await });
    bed.server.restart().unwrap();
    let sequence = pending.await.unwrap().unwrap();
    let stored = bed.log.load("ev.job.acme.a", 1).await.unwrap();
    assert_eq!(stored.iter().map(|m| m.sequence).collect::<Vec<_>>(), [sequence]);
}

#[tokio::test]
async fn a_decision_above_four_megabytes_is_refused_with_its_size() {
    let bed = Bed::new().await;
    let outcome = bed.log.append(draft("a", 0, &"x".repeat(5_000_000))).await;
    assert!(matches!(outcome, Err(AppendError::TooLarge { size: 5_000_000, .. })), "{outcome:?}");
}
