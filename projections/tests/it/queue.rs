use ffapi_domain::job::{JobCommand, Priority};
use ffapi_projections::queue::{Depth, depth};

use crate::harness::{TestServers, job, tenant};

#[tokio::test]
async fn the_queue_counts_queued_jobs_by_priority_and_running_jobs() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    let acme = tenant("acme");
    assert_eq!(depth(&servers.database, &acme).await.unwrap(), Depth::default());
    for n in 1..=5 {
        servers.submit(n, &acme).await;
    }
    servers.submit(6, &tenant("other")).await;
    let start = JobCommand::StartAttempt {
        attempt: 1,
        worker: "w".to_owned(),
        pool: "cpu".to_owned(),
        device: None,
        waited: None,
    };
    servers.handle(job(1), &acme, start).await;
    servers.handle(job(2), &acme, JobCommand::Cancel).await;
    servers.handle(job(3), &acme, JobCommand::Reprioritise { priority: Priority::High }).await;
    servers.caught_up().await;
    let now = depth(&servers.database, &acme).await.unwrap();
    assert_eq!(now.queued, [(Priority::Normal, 2), (Priority::High, 1)].into());
    assert_eq!(now.processing, 1);
    assert!(now.oldest.is_some());
}
