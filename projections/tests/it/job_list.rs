use ffapi_domain::job::{JobCommand, JobStatus};
use ffapi_projections::job_list::{self, Filter};

use crate::harness::{TestServers, job, tenant};

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_paged() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    for n in 1..=5 {
        servers.submit(n, &tenant("acme")).await;
    }
    servers.submit(6, &tenant("other")).await;
    servers.handle(job(2), &tenant("acme"), JobCommand::Cancel).await;
    servers.caught_up().await;
    let ids = async |filter: Filter, limit| {
        let rows =
            job_list::page(&servers.database, &tenant("acme"), &filter, limit).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Filter::default(), 2).await, [job(5), job(4)]);
    let rest = Filter { after: Some(job(4)), ..Filter::default() };
    assert_eq!(ids(rest, 9).await, [job(3), job(2), job(1)]);
    let with = |statuses: &[JobStatus]| Filter { statuses: statuses.to_vec(), ..Filter::default() };
    assert_eq!(ids(with(&[JobStatus::Cancelled]), 9).await, [job(2)]);
    let two = with(&[JobStatus::Cancelled, JobStatus::Queued]);
    assert_eq!(ids(two, 9).await, [job(5), job(4), job(3), job(2), job(1)]);
    let labelled = |value: &str| Filter {
        metadata: [("album".to_owned(), value.to_owned())].into(),
        ..Filter::default()
    };
    assert_eq!(ids(labelled("one"), 9).await.len(), 5);
    assert_eq!(ids(labelled("two"), 9).await.len(), 0);
}
