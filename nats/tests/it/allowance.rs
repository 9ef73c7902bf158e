use ffapi_nats::{Lease, QuotaCounter};

use crate::harness::Bed;

#[tokio::test]
async fn what_many_take_from_a_limit_is_the_limit_and_no_more() {
    let bed = Bed::new().await;
    let takers = (0..8).map(|_| {
        let allowance = QuotaCounter::new(bed.nats.clone());
        tokio::spawn(async move {
            let mut taken = 0;
            loop {
                let lease = allowance.lease("acme.requests.1", 100, |left| left.div_ceil(10));
                match lease.await.unwrap() {
                    Lease { granted: 0, used } => break (taken, used),
                    Lease { granted, .. } => taken += granted,
                }
            }
        })
    });
    let mut all = 0;
    for taker in takers.collect::<Vec<_>>() {
        let (taken, used) = taker.await.unwrap();
        assert_eq!(used, 100);
        all += taken;
    }
    assert_eq!(all, 100);
    let other = QuotaCounter::new(bed.nats.clone());
    let lease = other.lease("acme.requests.2", 100, |_| 7).await.unwrap();
    assert_eq!(lease, Lease { granted: 7, used: 7 });
}

#[tokio::test]
async fn what_is_handed_out_survives_a_restart() {
    let mut bed = Bed::new().await;
    let allowance = QuotaCounter::new(bed.nats.clone());
    allowance.lease("acme.requests.1", 10, |_| 6).await.unwrap();
    bed.server.kill();
    bed.server.restart().unwrap();
    let lease = loop {
        // Until the connection is there again.
        if let Ok(lease) = allowance.lease("acme.requests.1", 10, |_| 6).await {
            break lease;
        }
    };
    assert_eq!(lease, Lease { granted: 4, used: 10 });
}

#[tokio::test]
async fn what_is_given_back_is_there_for_others() {
    let bed = Bed::new().await;
    let allowance = QuotaCounter::new(bed.nats.clone());
    allowance.lease("acme.requests.1", 10, |_| 8).await.unwrap();
    allowance.give_back("acme.requests.1", 5).await.unwrap();
    let lease = allowance.lease("acme.requests.1", 4, |left| left).await.unwrap();
    assert_eq!(lease, Lease { granted: 1, used: 4 });
}
