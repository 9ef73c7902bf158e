use std::time::Duration;

use async_nats::jetstream;
use ffapi_nats::{Log, QueueHealth, Work, topology};

use crate::harness::TestLog;

#[tokio::test]
async fn a_task_offered_twice_is_delivered_once() {
    let test = TestLog::new().await;
    let work = Work::new(test.nats.clone());
    work.offer("cpu", "acme.job_1.1", "one".into(), None).await.unwrap();
    work.offer("cpu", "acme.job_1.1", "one".into(), None).await.unwrap();
    work.offer("cpu", "acme.job_2.1", "two".into(), None).await.unwrap();
    let mut puller = work.puller("cpu");
    for expected in ["one", "two"] {
        let task = puller.next().await;
        assert_eq!(task.payload(), expected);
        task.done().await.unwrap();
    }
    assert!(work.names("cpu").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_returned_task_is_redelivered() {
    let test = TestLog::new().await;
    let work = Work::new(test.nats.clone());
    work.offer("cpu", "acme.job_1.1", "one".into(), None).await.unwrap();
    let mut puller = work.puller("cpu");
    let task = puller.next().await;
    assert_eq!(task.deliveries(), 1);
    task.give_back(Duration::from_millis(50)).await.unwrap();
    let again = puller.next().await;
    assert_eq!((again.payload().as_ref(), again.deliveries()), (b"one".as_slice(), 2));
    assert!(work.names("cpu").await.unwrap().contains("acme.job_1.1"));
    again.done().await.unwrap();
}

#[tokio::test]
async fn a_puller_resumes_after_a_server_crash() {
    let mut test = TestLog::new().await;
    let work = Work::new(test.nats.clone());
    let mut puller = work.puller("cpu");
    let waiting = tokio::spawn(async move { puller.next().await.payload().clone() });
    test.server.kill();
    test.server.restart().unwrap();
    while work.offer("cpu", "acme.job_1.1", "late".into(), None).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap(), "late");
}

#[tokio::test]
async fn a_lost_queue_is_noticed_and_recreated_for_pullers_that_wait() {
    let test = TestLog::new().await;
    let jetstream = jetstream::new(async_nats::connect(test.server.url()).await.unwrap());
    let work = Work::new(test.nats.clone());
    assert_eq!(work.health().await, QueueHealth::Whole);
    work.offer("cpu", "acme.job_1.1", "one".into(), None).await.unwrap();
    let mut puller = work.puller("cpu");
    let leased = puller.next().await;
    let waiting = tokio::spawn(async move { puller.next().await });

    // One consumer is enough.
    jetstream.get_stream("WORK").await.unwrap().delete_consumer("qsv").await.unwrap();
    assert_eq!(work.health().await, QueueHealth::Lost);
    jetstream.delete_stream("WORK").await.unwrap();
    assert_eq!(work.health().await, QueueHealth::Lost);
    // A role starts nevertheless: it may be the conductor that repairs it. `topology check` reports it.
    Log::open(test.nats.clone()).await.unwrap();
    topology::check(&test.nats).await.unwrap_err();

    work.recreate().await.unwrap();
    assert_eq!(work.health().await, QueueHealth::Whole);
    topology::check(&test.nats).await.unwrap();
    work.offer("cpu", "acme.job_2.1", "two".into(), None).await.unwrap();
    let next = waiting.await.unwrap();
    assert_eq!(next.payload(), "two");
    next.done().await.unwrap();
    assert!(leased.done().await.is_err() || work.names("cpu").await.unwrap().is_empty());
}
