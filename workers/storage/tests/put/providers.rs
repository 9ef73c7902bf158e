use std::time::Duration;

use ffapi_storage::{PutError, RetryPolicy, Storage, StorageConfig, StoreConfig, StoresConfig};
use ffapi_test_stores::{Azure, S3};
use object_store::{ObjectStoreExt, azure::MicrosoftAzureBuilder, signer::Signer};
use reqwest::Method;

use crate::{Sender, output};

/// Of several parts where it is staged in a bucket.
fn file() -> Vec<u8> {
    (0..20_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[tokio::test]
async fn a_presigned_url_of_s3_takes_an_output_that_is_staged_in_another_bucket() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = S3::start().await.unwrap();
    server.create_bucket("theirs").await.unwrap();
    let theirs = server.bucket("theirs").unwrap();
    let (key, valid_for) = ("out/a.mp4".into(), Duration::from_mins(5));
    let signed = theirs.signed_url(Method::PUT, &key, valid_for).await.unwrap();
    let to = output(signed.as_str());
    let folder = tempfile::tempdir().unwrap();
    let store = StoreConfig {
        url: format!("s3://{}", S3::BUCKET),
        endpoint: Some(server.endpoint()),
        access_key_id: Some(S3::ACCESS_KEY.to_owned()),
        secret_access_key: Some(S3::SECRET_KEY.to_owned()),
        ..StoreConfig::default()
    };
    let config = StorageConfig { root: folder.path().to_owned(), default: "media".to_owned() };
    let stores = StoresConfig::from([("media".to_owned(), store)]);
    let storage = Storage::configured(&config, &stores, RetryPolicy::Request).unwrap();
    let (sender, bytes) = (Sender::with(storage), file());
    let sealed = sender.stage(&to, &bytes).await;
    // The second time as after a crash.
    for _ in 0..2 {
        sender.put(&to, &sealed).await.unwrap();
        let found = theirs.get(&"out/a.mp4".into()).await.unwrap();
        let content_type = found.attributes.get(&object_store::Attribute::ContentType).unwrap();
        assert_eq!(content_type.as_ref(), "video/mp4");
        assert!(found.bytes().await.unwrap() == bytes);
    }
    assert!(sender.dropped(&to).await.is_empty());
    assert_eq!(server.keys(S3::BUCKET).await.unwrap(), [""; 0], "nothing is left");

    let wrong = output(&to.to_string().replace("out/a.mp4", "out/b.mp4"));
    let denied = sender.send(&wrong, &bytes).await.unwrap_err();
    assert!(
        matches!(&denied, PutError::Denied { code: Some(code), .. } if code == "SignatureDoesNotMatch"),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_shared_access_signature_of_azure_takes_an_output() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = Azure::start().await.unwrap();
    let client = MicrosoftAzureBuilder::new()
        .with_account(Azure::ACCOUNT)
        .with_access_key(Azure::KEY)
        .with_container_name(Azure::CONTAINER)
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .build()
        .unwrap();
    let (key, valid_for) = ("out/a.mp4".into(), Duration::from_mins(5));
    let signed = client.signed_url(Method::PUT, &key, valid_for).await.unwrap();
    let to = output(signed.as_str());
    let (sender, bytes) = (Sender::new(), file());
    sender.send(&to, &bytes).await.unwrap();
    assert!(client.get(&"out/a.mp4".into()).await.unwrap().bytes().await.unwrap() == bytes);
    assert!(sender.dropped(&to).await.is_empty());

    let wrong = output(&to.to_string().replace("sig=", "sig=A"));
    let denied = sender.send(&wrong, &bytes).await.unwrap_err();
    assert!(matches!(&denied, PutError::Denied { code: Some(_), .. }), "{denied:?}");
}
