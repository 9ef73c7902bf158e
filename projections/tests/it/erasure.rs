//! Erasures of tenants with more messages than are applied at once.

use ffapi_domain::job::JobCommand;
use ffapi_projections::{JobList, positions};

use crate::harness::{TestServers, job, tenant, until};

/// More jobs than messages are read at once.
const JOBS: u128 = 1_100;

impl TestServers {
    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool().await).await.unwrap();
    }

    /// Rows with a label of the client.
    async fn labelled(&self) -> i64 {
        let count = "SELECT count(*) FROM job_list WHERE doc::text LIKE '%album%'";
        sqlx::query_scalar(count).fetch_one(&self.pool().await).await.unwrap()
    }
}

#[tokio::test]
async fn an_erasure_that_ends_early_is_repeated() {
    let servers = TestServers::new().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    for n in 0..JOBS {
        servers.submit(n, &acme).await;
    }
    // On another page than its first message.
    servers.handle(job(0), &acme, JobCommand::Cancel).await;
    servers.submit(JOBS, &other).await;
    let running = servers.run(JobList);
    servers.caught_up().await;
    let before = servers.commands.log().last_sequence().await.unwrap();
    assert_eq!(servers.labelled().await, 1_101);

    // The last transaction of the erasure fails, again and again.
    servers
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON projection_checkpoint
                 FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    servers.erase(&acme).await;
    // Only that of the other tenant is left.
    until(async || servers.labelled().await == 1).await;
    running.stop().await.unwrap();
    let at = positions(&servers.database).await.unwrap();
    assert!(at.iter().any(|model| model.name == "job_list" && model.position == before), "{at:?}");

    servers.execute("DROP TRIGGER refuse ON projection_checkpoint").await;
    let _running = servers.run(JobList);
    servers.caught_up().await;
    assert_eq!(servers.labelled().await, 1);
    servers.rebuilt_equals_served(JobList).await;
}
