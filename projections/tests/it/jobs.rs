use domain::job::{JobCommand, JobStatus};
use projections::jobs::{self, Filter};

use crate::harness::{Bed, job, tenant};

#[tokio::test]
async fn a_job_is_shown_to_its_tenant_and_to_nobody_else() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    let id = bed.submit(1, &tenant("acme")).await;
    bed.caught_up().await;
    let row = jobs::find(&bed.database, &tenant("acme"), id).await.unwrap().unwrap();
    assert_eq!((row.job.status, row.job.version), (JobStatus::Queued, 1));
    assert!(jobs::find(&bed.database, &tenant("other"), id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_paged() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    for n in 1..=5 {
        bed.submit(n, &tenant("acme")).await;
    }
    bed.submit(6, &tenant("other")).await;
    bed.tell(job(2), &tenant("acme"), JobCommand::Cancel).await;
    bed.caught_up().await;
    let ids = async |filter: Filter, limit| {
        let rows = jobs::list(&bed.database, &tenant("acme"), &filter, limit).await.unwrap();
        rows.into_iter().map(|row| row.job.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Filter::default(), 2).await, [job(5), job(4)]);
    let rest = Filter { after: Some(job(4)), ..Filter::default() };
    assert_eq!(ids(rest, 9).await, [job(3), job(2), job(1)]);
    let cancelled = Filter { status: Some(JobStatus::Cancelled), ..Filter::default() };
    assert_eq!(ids(cancelled, 9).await, [job(2)]);
    let labelled = |value: &str| Filter {
        metadata: [("album".to_owned(), value.to_owned())].into(),
        ..Filter::default()
    };
    assert_eq!(ids(labelled("one"), 9).await.len(), 5);
    assert_eq!(ids(labelled("two"), 9).await.len(), 0);
    let queue = jobs::queue(&bed.database, &tenant("acme")).await.unwrap();
    assert_eq!(queue, [("normal".to_owned(), 4)].into());
}
