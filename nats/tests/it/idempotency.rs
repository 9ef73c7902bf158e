use ffapi_nats::{Idempotency, Reservation, Reserved};

use crate::harness::TestLog;

fn reservation(resource: &str) -> Reservation {
    Reservation { resource: resource.to_owned(), fingerprint: "f".to_owned() }
}

#[tokio::test]
async fn a_key_keeps_its_first_reservation() {
    let test = TestLog::new().await;
    let keys = Idempotency::new(test.nats.clone());
    let first = reservation("job_1");
    assert_eq!(keys.reserve("acme", "/convert", "k", &first).await.unwrap(), Reserved::Now);
    let second = keys.reserve("acme", "/convert", "k", &reservation("job_2")).await.unwrap();
    assert_eq!(second, Reserved::Before(first));
    for (tenant, route) in [("other", "/convert"), ("acme", "/uploads")] {
        let outcome = keys.reserve(tenant, route, "k", &reservation("job_3")).await.unwrap();
        assert_eq!(outcome, Reserved::Now);
    }
}

#[tokio::test]
async fn erasing_a_tenant_deletes_its_keys_and_no_others() {
    let test = TestLog::new().await;
    let keys = Idempotency::new(test.nats.clone());
    let first = reservation("upload_1");
    for tenant in ["acme", "acme-2"] {
        for route in ["/uploads", "/convert"] {
            keys.reserve(tenant, route, "k", &first).await.unwrap();
        }
    }
    keys.erase("acme").await.unwrap();
    for route in ["/uploads", "/convert"] {
        assert_eq!(keys.find("acme", route, "k").await.unwrap(), None);
        let second = keys.reserve("acme", route, "k", &reservation("upload_2")).await.unwrap();
        assert_eq!(second, Reserved::Now);
        assert_eq!(keys.find("acme-2", route, "k").await.unwrap(), Some(first.clone()));
    }
    keys.erase("unknown").await.unwrap();
}
