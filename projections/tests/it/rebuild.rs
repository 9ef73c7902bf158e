use ffapi_domain::job::JobCommand;
use ffapi_projections::{
    Archive, JobDetail, JobList, Projection, Queue, Rebuild, archive, job_detail,
};

use crate::harness::{Bed, job, tenant};

impl Bed {
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
async fn a_rebuild_equals_what_is_served_and_takes_its_place_while_jobs_come_in() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    for n in 1..=30 {
        bed.submit(n, &tenant("acme")).await;
    }
    bed.tell(job(7), &tenant("acme"), JobCommand::Cancel).await;
    bed.caught_up().await;
    let rebuild = bed.rebuild(JobList).await;
    assert_eq!(rebuild.catch_up().await.unwrap(), 31);
    assert_eq!(rebuild.differences().await.unwrap(), 0);
    bed.submit(31, &tenant("acme")).await;
    rebuild.switch().await.unwrap();
    bed.submit(32, &tenant("acme")).await;
    bed.caught_up().await;
    for n in [1, 31, 32] {
        let row = job_detail::find(&bed.database, &tenant("acme"), job(n)).await.unwrap();
        assert!(row.is_some(), "{n}");
    }
    // And once more: what was switched in is as good as what was there.
    bed.rebuilt_equals_served(JobList).await;
    bed.rebuilt_equals_served(JobDetail).await;
    bed.rebuilt_equals_served(Queue).await;
}

#[tokio::test]
async fn a_rebuild_that_was_stopped_goes_on_and_a_wrong_row_is_seen_and_mended() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    bed.submit(1, &tenant("acme")).await;
    bed.caught_up().await;
    bed.rebuild(JobList).await.catch_up().await.unwrap();
    bed.submit(2, &tenant("acme")).await;
    bed.caught_up().await;
    let pool = sqlx::PgPool::connect(&bed.postgres.url()).await.unwrap();
    sqlx::query("UPDATE job_list SET status = 'failed' WHERE id = $1")
        .bind(job(1).to_string())
        .execute(&pool)
        .await
        .unwrap();
    let rebuild = bed.rebuild(JobList).await;
    assert_eq!(rebuild.catch_up().await.unwrap(), 2);
    assert_eq!(rebuild.differences().await.unwrap(), 2, "one row here, another there");
    rebuild.switch().await.unwrap();
    assert_eq!(bed.rebuild(JobList).await.catch_up().await.unwrap(), 2);
    let status: String = sqlx::query_scalar("SELECT status FROM job_list WHERE id = $1")
        .bind(job(1).to_string())
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(status, "queued");
}

#[tokio::test]
async fn the_archive_rebuilt_has_the_same_chain() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    for n in 1..=5 {
        bed.submit(n, &tenant("acme")).await;
    }
    bed.caught_up().await;
    bed.rebuilt_equals_served(Archive).await;
    assert_eq!(archive::verify(&bed.database).await.unwrap(), Ok(5));
}
