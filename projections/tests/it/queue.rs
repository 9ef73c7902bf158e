use ffapi_domain::job::{JobCommand, Priority};
use ffapi_projections::queue::{Depth, depth};

use crate::harness::{Bed, job, tenant};

#[tokio::test]
async fn the_queue_counts_what_waits_by_priority_and_what_runs() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    let acme = tenant("acme");
    assert_eq!(depth(&bed.database, &acme).await.unwrap(), Depth::default());
    for n in 1..=5 {
        bed.submit(n, &acme).await;
    }
    bed.submit(6, &tenant("other")).await;
    let start = JobCommand::StartAttempt {
        attempt: 1,
        worker: "w".to_owned(),
        pool: "cpu".to_owned(),
        device: None,
        waited: None,
    };
    bed.tell(job(1), &acme, start).await;
    bed.tell(job(2), &acme, JobCommand::Cancel).await;
    bed.tell(job(3), &acme, JobCommand::Reprioritise { priority: Priority::High }).await;
    bed.caught_up().await;
    let now = depth(&bed.database, &acme).await.unwrap();
    assert_eq!(now.queued, [(Priority::Normal, 2), (Priority::High, 1)].into());
    assert_eq!(now.processing, 1);
    assert!(now.oldest.is_some());
}
