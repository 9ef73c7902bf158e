use ffapi_domain::job::JobCommand;
use ffapi_projections::{
    Archive, JobDetail, JobList, Projection, Queue, Rebuild, archive, job_detail,
};

use crate::harness::{TestServers, job, tenant};

impl TestServers {
    pub(crate) async fn rebuild<P: Projection>(&self, projection: P) -> Rebuild<P> {
        let (log, codec) = (self.commands.log().clone(), self.commands.codec().clone());
        Rebuild::begin(self.database.clone(), log, codec, projection).await.unwrap()
    }

    pub(crate) async fn rebuilt_equals_served<P: Projection>(&self, projection: P) {
        let rebuild = self.rebuild(projection).await;
        rebuild.catch_up().await.unwrap();
        assert_eq!(rebuild.differences().await.unwrap(), 0, "{}", P::NAME);
        rebuild.switch().await.unwrap();
    }
}

#[tokio::test]
async fn a_rebuild_equals_the_served_tables_and_replaces_them_while_jobs_are_submitted() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    for n in 1..=30 {
        servers.submit(n, &tenant("acme")).await;
    }
    servers.handle(job(7), &tenant("acme"), JobCommand::Cancel).await;
    servers.caught_up().await;
    let rebuild = servers.rebuild(JobList).await;
    assert_eq!(rebuild.catch_up().await.unwrap(), 31);
    assert_eq!(rebuild.differences().await.unwrap(), 0);
    servers.submit(31, &tenant("acme")).await;
    rebuild.switch().await.unwrap();
    servers.submit(32, &tenant("acme")).await;
    servers.caught_up().await;
    for n in [1, 31, 32] {
        let row = job_detail::find(&servers.database, &tenant("acme"), job(n)).await.unwrap();
        assert!(row.is_some(), "{n}");
    }
    // Again: the tables that were switched in can be rebuilt as well.
    servers.rebuilt_equals_served(JobList).await;
    servers.rebuilt_equals_served(JobDetail).await;
    servers.rebuilt_equals_served(Queue).await;
}

#[tokio::test]
async fn an_interrupted_rebuild_resumes_and_a_wrong_row_is_detected_and_fixed() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    servers.submit(1, &tenant("acme")).await;
    servers.caught_up().await;
    servers.rebuild(JobList).await.catch_up().await.unwrap();
    servers.submit(2, &tenant("acme")).await;
    servers.caught_up().await;
    let pool = sqlx::PgPool::connect(&servers.postgres.url()).await.unwrap();
    sqlx::query("UPDATE job_list SET status = 'failed' WHERE id = $1")
        .bind(job(1).to_string())
        .execute(&pool)
        .await
        .unwrap();
    let rebuild = servers.rebuild(JobList).await;
    assert_eq!(rebuild.catch_up().await.unwrap(), 2);
    assert_eq!(rebuild.differences().await.unwrap(), 2, "the row differs in both directions");
    rebuild.switch().await.unwrap();
    assert_eq!(servers.rebuild(JobList).await.catch_up().await.unwrap(), 2);
    let status: String = sqlx::query_scalar("SELECT status FROM job_list WHERE id = $1")
        .bind(job(1).to_string())
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(status, "queued");
}

#[tokio::test]
async fn a_rebuilt_archive_has_the_same_hash_chain() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    for n in 1..=5 {
        servers.submit(n, &tenant("acme")).await;
    }
    servers.caught_up().await;
    servers.rebuilt_equals_served(Archive).await;
    assert_eq!(archive::verify(&servers.database).await.unwrap(), Ok(5));
}
