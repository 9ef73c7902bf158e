use nats::{Idempotency, Reservation, Reserved};

use crate::harness::Bed;

fn reservation(resource: &str) -> Reservation {
    Reservation { resource: resource.to_owned(), fingerprint: "f".to_owned() }
}

#[tokio::test]
async fn a_key_stands_for_the_first_resource_for_ever_after() {
    let bed = Bed::new().await;
    let keys = Idempotency::new(bed.nats.clone());
    let first = reservation("job_1");
    assert_eq!(keys.reserve("acme", "/convert", "k", &first).await.unwrap(), Reserved::Now);
    let second = keys.reserve("acme", "/convert", "k", &reservation("job_2")).await.unwrap();
    assert_eq!(second, Reserved::Before(first));
    for (tenant, route) in [("other", "/convert"), ("acme", "/uploads")] {
        let outcome = keys.reserve(tenant, route, "k", &reservation("job_3")).await.unwrap();
        assert_eq!(outcome, Reserved::Now);
    }
}
