use ffapi_nats::{Log, LogError, topology};

use crate::harness::TestLog;

#[tokio::test]
async fn a_server_without_the_topology_is_rejected_with_instructions() {
    let (nats, _server, _folder) = TestLog::bare_server().await;
    let error = Log::open(nats).await.unwrap_err();
    assert!(matches!(&error, LogError::Misconfigured(_)), "{error:?}");
    assert!(error.to_string().contains("ffapi topology apply"), "{error}");
}

#[tokio::test]
async fn applying_the_topology_twice_keeps_the_log_id() {
    let (nats, _server, _folder) = TestLog::bare_server().await;
    let first = topology::apply(&nats).await.unwrap();
    assert_eq!(topology::apply(&nats).await.unwrap(), first);
    assert_eq!(first.epoch, 1);
}

#[tokio::test]
async fn a_manually_changed_stream_is_rejected_by_check_and_fixed_by_apply() {
    use async_nats::jetstream;
    let test = TestLog::new().await;
    let client = async_nats::connect(test.server.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let mut config = jetstream.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    config.allow_direct = false;
    jetstream.update_stream(&config).await.unwrap();
    let error = topology::check(&test.nats).await.unwrap_err();
    assert!(error.to_string().contains("allow_direct"), "{error}");
    topology::apply(&test.nats).await.unwrap();
    topology::check(&test.nats).await.unwrap();
}

#[tokio::test]
async fn a_queue_with_another_persist_mode_is_recreated_by_apply() {
    use async_nats::jetstream;
    let test = TestLog::new().await;
    let jetstream = jetstream::new(async_nats::connect(test.server.url()).await.unwrap());
    let mut config = jetstream.get_stream("WORK").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("WORK").await.unwrap();
    config.persist_mode = None;
    jetstream.create_stream(config).await.unwrap();
    let error = topology::check(&test.nats).await.unwrap_err();
    assert!(error.to_string().contains("persist_mode"), "{error}");
    topology::apply(&test.nats).await.unwrap();
    topology::check(&test.nats).await.unwrap();
}

#[tokio::test]
async fn a_queue_of_other_storage_is_recreated_by_apply() {
    use async_nats::jetstream::{self, stream::StorageType};
    let test = TestLog::new().await;
    let jetstream = jetstream::new(async_nats::connect(test.server.url()).await.unwrap());
    let mut config = jetstream.get_stream("WORK").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("WORK").await.unwrap();
    config.storage = StorageType::Memory;
    config.persist_mode = None;
    jetstream.create_stream(config).await.unwrap();
    let error = topology::check(&test.nats).await.unwrap_err();
    assert!(error.to_string().contains("storage"), "{error}");
    topology::apply(&test.nats).await.unwrap();
    topology::check(&test.nats).await.unwrap();
}
