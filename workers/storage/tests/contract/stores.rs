use ffapi_storage::{RetryPolicy, Storage, StorageConfig, StoreConfig, StoresConfig};
use ffapi_test_stores::{Azure, S3};

use super::keeps_every_guarantee;

/// A deployment whose own store is this one.
pub(crate) fn deployment(root: &std::path::Path, store: StoreConfig) -> Storage {
    let config = StorageConfig { root: root.to_owned(), default: "media".to_owned() };
    let stores = StoresConfig::from([("media".to_owned(), store)]);
    Storage::configured(&config, &stores, RetryPolicy::Request).unwrap()
}

pub(crate) fn s3(server: &S3, url: &str) -> StoreConfig {
    StoreConfig {
        url: url.to_owned(),
        endpoint: Some(server.endpoint()),
        access_key_id: Some(S3::ACCESS_KEY.to_owned()),
        secret_access_key: Some(S3::SECRET_KEY.to_owned()),
        ..StoreConfig::default()
    }
}

#[tokio::test]
async fn a_local_folder_keeps_every_guarantee() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    keeps_every_guarantee(&storage).await;
}

#[tokio::test]
async fn an_s3_bucket_keeps_every_guarantee() {
    let folder = tempfile::tempdir().unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = S3::start().await.unwrap();
    let storage = deployment(folder.path(), s3(&server, "s3://media/some/prefix"));
    keeps_every_guarantee(&storage).await;
}

#[tokio::test]
async fn an_azure_container_keeps_every_guarantee() {
    let folder = tempfile::tempdir().unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = Azure::start().await.unwrap();
    let store = StoreConfig {
        url: format!("az://{}/some/prefix", Azure::CONTAINER),
        endpoint: Some(server.endpoint()),
        access_key_id: Some(Azure::ACCOUNT.to_owned()),
        secret_access_key: Some(Azure::KEY.to_owned()),
        ..StoreConfig::default()
    };
    let storage = deployment(folder.path(), store);
    keeps_every_guarantee(&storage).await;
}
