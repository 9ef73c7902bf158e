use bytes::Bytes;
use ffapi_domain::job::JobCommand;
use ffapi_embedded::NatsServer;
use ffapi_nats::AppendRequest;
use ffapi_projections::{Archive, JobDetail, ProjectionError, archive, job_detail, positions};
use uuid::Uuid;

use crate::harness::{TestServers, job, tenant};

#[tokio::test]
async fn concurrent_projectors_write_each_row_once() {
    let servers = TestServers::new().await;
    let first = servers.run_all();
    let _second = servers.run_all();
    for n in 1..=20 {
        servers.submit(n, &tenant("acme")).await;
    }
    servers.caught_up().await;
    for running in first {
        running.stop().await.unwrap();
    }
    // The waiting projector resumes where the other stopped.
    servers.submit(21, &tenant("acme")).await;
    servers.caught_up().await;
    assert_eq!(archive::verify(&servers.database).await.unwrap(), Ok(21));
}

#[tokio::test]
async fn a_projector_recovers_after_a_crash_of_either_server() {
    let mut servers = TestServers::new().await;
    let _running = servers.run_all();
    servers.submit(1, &tenant("acme")).await;
    servers.caught_up().await;
    servers.postgres.kill();
    servers.submit(2, &tenant("acme")).await;
    servers.postgres.restart().unwrap();
    servers.caught_up().await;
    servers.nats.kill();
    servers.nats.restart().unwrap();
    servers.submit(3, &tenant("acme")).await;
    servers.caught_up().await;
    for n in 1..=3 {
        assert!(
            job_detail::find(&servers.database, &tenant("acme"), job(n)).await.unwrap().is_some()
        );
    }
    assert_eq!(archive::verify(&servers.database).await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_poison_message_parks_only_its_own_aggregate() {
    let servers = TestServers::new().await;
    let _running = servers.run_all();
    servers.submit(1, &tenant("acme")).await;
    let poison = AppendRequest {
        subject: format!("ev.job.acme.{}", job(2)),
        expected: 0,
        command_id: Uuid::nil(),
        payload: Bytes::from_static(b"\x81\xa3bad\x01"),
    };
    let sequence = servers.commands.log().append(poison.clone()).await.unwrap();
    let later = AppendRequest { expected: sequence, command_id: Uuid::max(), ..poison };
    servers.commands.log().append(later).await.unwrap();
    servers.submit(3, &tenant("acme")).await;
    servers.handle(job(1), &tenant("acme"), JobCommand::Cancel).await;
    servers.caught_up().await;
    let all = positions(&servers.database).await.unwrap();
    let expected = [("archive", 5, 0), ("job_detail", 5, 2), ("job_list", 5, 2), ("queue", 5, 2)];
    let all: Vec<_> = all.iter().map(|m| (m.name.as_str(), m.position, m.parked)).collect();
    assert_eq!(all, expected);
    let cancelled =
        job_detail::find(&servers.database, &tenant("acme"), job(1)).await.unwrap().unwrap();
    assert_eq!(cancelled.0.summary.version, 2);
    assert!(job_detail::find(&servers.database, &tenant("acme"), job(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_projector_stops_if_its_rows_come_from_another_log() {
    let mut servers = TestServers::new().await;
    let running = servers.run(JobDetail);
    servers.submit(1, &tenant("acme")).await;
    servers.caught_up().await;
    running.stop().await.unwrap();
    let folder = ffapi_embedded::temporary_folder().unwrap();
    servers.nats = NatsServer::start(folder.path()).unwrap();
    servers.commands = TestServers::commands(&servers.nats).await.into();
    let outcome = servers.run(JobDetail).ended().await;
    assert!(matches!(outcome, Err(ProjectionError::Diverged { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_modified_archive_row_is_detected() {
    let servers = TestServers::new().await;
    let _running = servers.run(Archive);
    for n in 1..=5 {
        servers.submit(n, &tenant("acme")).await;
    }
    servers.caught_up().await;
    assert_eq!(archive::verify(&servers.database).await.unwrap(), Ok(5));
    let pool = sqlx::PgPool::connect(&servers.postgres.url()).await.unwrap();
    sqlx::query("UPDATE archive SET subject = 'ev.job.acme.other' WHERE sequence = 3")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(archive::verify(&servers.database).await.unwrap(), Err(3));
}
