use bytes::Bytes;
use ffapi_domain::job::JobCommand;
use ffapi_embedded::NatsServer;
use ffapi_nats::AppendRequest;
use ffapi_projections::{Archive, JobDetail, ProjectionError, archive, job_detail, positions};
use uuid::Uuid;

use crate::harness::{Bed, job, tenant};

#[tokio::test]
async fn two_projectors_at_once_write_each_row_once() {
    let bed = Bed::new().await;
    let first = bed.run_all();
    let _second = bed.run_all();
    for n in 1..=20 {
        bed.submit(n, &tenant("acme")).await;
    }
    bed.caught_up().await;
    for running in first {
        running.stop().await.unwrap();
    }
    // The one that waited goes on where the other stopped.
    bed.submit(21, &tenant("acme")).await;
    bed.caught_up().await;
    assert_eq!(archive::verify(&bed.database).await.unwrap(), Ok(21));
}

#[tokio::test]
async fn a_projector_goes_on_by_itself_after_either_server_was_killed() {
    let mut bed = Bed::new().await;
    let _running = bed.run_all();
    bed.submit(1, &tenant("acme")).await;
    bed.caught_up().await;
    bed.postgres.kill();
    bed.submit(2, &tenant("acme")).await;
    bed.postgres.restart().unwrap();
    bed.caught_up().await;
    bed.nats.kill();
    bed.nats.restart().unwrap();
    bed.submit(3, &tenant("acme")).await;
    bed.caught_up().await;
    for n in 1..=3 {
        assert!(job_detail::find(&bed.database, &tenant("acme"), job(n)).await.unwrap().is_some());
    }
    assert_eq!(archive::verify(&bed.database).await.unwrap(), Ok(3));
}

#[tokio::test]
async fn poison_parks_its_own_aggregate_and_no_other() {
    let bed = Bed::new().await;
    let _running = bed.run_all();
    bed.submit(1, &tenant("acme")).await;
    let poison = AppendRequest {
        subject: format!("ev.job.acme.{}", job(2)),
        expected: 0,
        command_id: Uuid::nil(),
        payload: Bytes::from_static(b"\x81\xa3bad\x01"),
    };
    let sequence = bed.commands.log().append(poison.clone()).await.unwrap();
    let later = AppendRequest { expected: sequence, command_id: Uuid::max(), ..poison };
    bed.commands.log().append(later).await.unwrap();
    bed.submit(3, &tenant("acme")).await;
    bed.tell(job(1), &tenant("acme"), JobCommand::Cancel).await;
    bed.caught_up().await;
    let all = positions(&bed.database).await.unwrap();
    let expected = [("archive", 5, 0), ("job_detail", 5, 2), ("job_list", 5, 2), ("queue", 5, 2)];
    assert_eq!(all, expected.map(|(name, at, parked)| (name.to_owned(), at, parked)));
    let cancelled =
        job_detail::find(&bed.database, &tenant("acme"), job(1)).await.unwrap().unwrap();
    assert_eq!(cancelled.0.summary.version, 2);
    assert!(job_detail::find(&bed.database, &tenant("acme"), job(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_log_that_is_not_the_one_the_rows_came_from_stops_the_projector() {
    let mut bed = Bed::new().await;
    let running = bed.run(JobDetail);
    bed.submit(1, &tenant("acme")).await;
    bed.caught_up().await;
    running.stop().await.unwrap();
    let folder = ffapi_embedded::temporary_folder().unwrap();
    bed.nats = NatsServer::start(folder.path()).unwrap();
    bed.commands = Bed::commands(&bed.nats).await.into();
    let outcome = bed.run(JobDetail).ended().await;
    assert!(matches!(outcome, Err(ProjectionError::Diverged { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_changed_archive_is_noticed_at_the_message() {
    let bed = Bed::new().await;
    let _running = bed.run(Archive);
    for n in 1..=5 {
        bed.submit(n, &tenant("acme")).await;
    }
    bed.caught_up().await;
    assert_eq!(archive::verify(&bed.database).await.unwrap(), Ok(5));
    let pool = sqlx::PgPool::connect(&bed.postgres.url()).await.unwrap();
    sqlx::query("UPDATE archive SET subject = 'ev.job.acme.other' WHERE sequence = 3")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(archive::verify(&bed.database).await.unwrap(), Err(3));
}
