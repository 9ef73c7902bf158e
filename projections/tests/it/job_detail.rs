use ffapi_domain::job::JobStatus;
use ffapi_projections::job_detail;

use crate::harness::{TestServers, tenant};

#[tokio::test]
async fn a_job_is_visible_only_to_its_tenant() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    let id = servers.submit(1, &tenant("acme")).await;
    servers.caught_up().await;
    let found = job_detail::find(&servers.database, &tenant("acme"), id).await.unwrap();
    let (job, sequence) = found.unwrap();
    assert_eq!((job.summary.status, job.summary.version, sequence), (JobStatus::Queued, 1, 1));
    assert!(job_detail::find(&servers.database, &tenant("other"), id).await.unwrap().is_none());
}
