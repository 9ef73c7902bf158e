use ffapi_nats::{Lease, QuotaCounter};

use crate::harness::TestLog;

#[tokio::test]
async fn concurrent_leases_never_exceed_the_limit() {
    let test = TestLog::new().await;
    let tasks = (0..8).map(|_| {
        let counter = QuotaCounter::new(test.nats.clone());
        tokio::spawn(async move {
            let mut taken = 0;
            loop {
                let lease = counter.lease("acme.requests.1", 100, |left| left.div_ceil(10));
                match lease.await.unwrap() {
                    Lease { granted: 0, used } => break (taken, used),
                    Lease { granted, .. } => taken += granted,
                }
            }
        })
    });
    let mut total = 0;
    for task in tasks.collect::<Vec<_>>() {
        let (taken, used) = task.await.unwrap();
        assert_eq!(used, 100);
        total += taken;
    }
    assert_eq!(total, 100);
    let other = QuotaCounter::new(test.nats.clone());
    let lease = other.lease("acme.requests.2", 100, |_| 7).await.unwrap();
    assert_eq!(lease, Lease { granted: 7, used: 7 });
}

#[tokio::test]
async fn leases_survive_a_server_restart() {
    let mut test = TestLog::new().await;
    let counter = QuotaCounter::new(test.nats.clone());
    counter.lease("acme.requests.1", 10, |_| 6).await.unwrap();
    test.server.kill();
    test.server.restart().unwrap();
    let lease = loop {
        // Fails until the client has reconnected.
        if let Ok(lease) = counter.lease("acme.requests.1", 10, |_| 6).await {
            break lease;
        }
    };
    assert_eq!(lease, Lease { granted: 4, used: 10 });
}

#[tokio::test]
async fn returned_units_can_be_leased_again() {
    let test = TestLog::new().await;
    let counter = QuotaCounter::new(test.nats.clone());
    counter.lease("acme.requests.1", 10, |_| 8).await.unwrap();
    counter.give_back("acme.requests.1", 5).await.unwrap();
    let lease = counter.lease("acme.requests.1", 4, |left| left).await.unwrap();
    assert_eq!(lease, Lease { granted: 1, used: 4 });
}
