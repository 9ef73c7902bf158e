use ffapi_domain::job::JobStatus;
use ffapi_projections::job_detail;

use crate::harness::{Bed, tenant};

#[tokio::test]
async fn a_job_is_shown_to_its_tenant_and_to_nobody_else() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    let id = bed.submit(1, &tenant("acme")).await;
    bed.caught_up().await;
    let found = job_detail::find(&bed.database, &tenant("acme"), id).await.unwrap();
    let (job, sequence) = found.unwrap();
    assert_eq!((job.summary.status, job.summary.version, sequence), (JobStatus::Queued, 1, 1));
    assert!(job_detail::find(&bed.database, &tenant("other"), id).await.unwrap().is_none());
}
