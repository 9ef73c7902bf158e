use ffapi_nats::{Log, LogError, topology};

use crate::harness::Bed;

#[tokio::test]
async fn a_server_without_our_streams_is_refused_with_the_remedy() {
    let (nats, _server, _folder) = Bed::bare().await;
    let refusal = Log::open(nats).await.unwrap_err();
    assert!(matches!(&refusal, LogError::Misconfigured(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("ffapi topology apply"), "{refusal}");
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_keeps_the_log_id() {
    let (nats, _server, _folder) = Bed::bare().await;
    let first = topology::apply(&nats).await.unwrap();
    assert_eq!(topology::apply(&nats).await.unwrap(), first);
    assert_eq!(first.epoch, 1);
}

#[tokio::test]
async fn a_hand_changed_stream_is_refused_by_the_setting_and_mended_by_apply() {
    use async_nats::jetstream;
    let bed = Bed::new().await;
    let client = async_nats::connect(bed.server.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let mut config = jetstream.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    config.allow_direct = false;
    jetstream.update_stream(&config).await.unwrap();
    let refusal = topology::check(&bed.nats).await.unwrap_err();
    assert!(refusal.to_string().contains("allow_direct"), "{refusal}");
    topology::apply(&bed.nats).await.unwrap();
    topology::check(&bed.nats).await.unwrap();
}

#[tokio::test]
async fn a_queue_made_with_another_durability_is_made_anew() {
    use async_nats::jetstream;
    let bed = Bed::new().await;
    let jetstream = jetstream::new(async_nats::connect(bed.server.url()).await.unwrap());
    let mut config = jetstream.get_stream("WORK").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("WORK").await.unwrap();
    config.persist_mode = None;
    jetstream.create_stream(config).await.unwrap();
    let refusal = topology::check(&bed.nats).await.unwrap_err();
    assert!(refusal.to_string().contains("persist_mode"), "{refusal}");
    topology::apply(&bed.nats).await.unwrap();
    topology::check(&bed.nats).await.unwrap();
}
