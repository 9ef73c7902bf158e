use std::{
    io,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload,
    aws::{AmazonS3, AmazonS3Builder},
};
use tokio::time::sleep;

use crate::server::{Server, free_port};

/// An S3 server: the gateway of a Ceph cluster of one node.
#[derive(Debug)]
pub struct S3 {
    server: Server,
}

/// How long the cluster may take until a bucket can be created.
const START_TIMEOUT: Duration = Duration::from_mins(1);

impl S3 {
    /// The access key of the only user.
    pub const ACCESS_KEY: &str = "AKIAFFAPITESTS000000";
    /// The user's secret key.
    pub const SECRET_KEY: &str = "a-secret-of-the-tests-only-0123456789";
    /// The bucket that exists at the start.
    pub const BUCKET: &str = "media";

    /// Starts a server with an empty bucket.
    ///
    /// # Errors
    /// When Ceph is not installed or does not start.
    pub async fn start() -> io::Result<Self> {
        Self::on(free_port()?).await
    }

    /// Starts a server with an empty bucket on a port.
    ///
    /// # Errors
    /// When Ceph is not installed or does not start.
    pub async fn on(port: u16) -> io::Result<Self> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/radosgw");
        let arguments = [
            port.to_string(),
            free_port()?.to_string(),
            ".".to_owned(),
            Self::ACCESS_KEY.to_owned(),
            Self::SECRET_KEY.to_owned(),
        ];
        let s3 = Self { server: Server::start(program, &arguments, port).await? };
        let start = Instant::now();
        while let Err(error) = s3.create_bucket(Self::BUCKET).await {
            if start.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(error));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(s3)
    }

    /// The server's URL.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// A client of one bucket.
    ///
    /// # Errors
    /// When the name cannot be one of a bucket.
    pub fn bucket(&self, name: &str) -> object_store::Result<AmazonS3> {
        self.client(name).build()
    }

    fn client(&self, bucket: &str) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .with_access_key_id(Self::ACCESS_KEY)
            .with_secret_access_key(Self::SECRET_KEY)
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// When the server refuses that.
    pub async fn create_bucket(&self, name: &str) -> object_store::Result<()> {
        // The client expects the bucket's name in the host then, so that the path is only the key.
        let root = self.client(name).with_virtual_hosted_style_request(true).build()?;
        // A bucket has no ETag, which the client reports as an error.
        let _ = root.put(&name.into(), PutPayload::new()).await;
        self.bucket(name)?.list_with_delimiter(None).await.map(drop)
    }

    /// The keys of all objects in a bucket.
    ///
    /// # Errors
    /// When the server refuses that.
    pub async fn keys(&self, bucket: &str) -> object_store::Result<Vec<String>> {
        let objects = self.bucket(bucket)?.list(None);
        objects.map_ok(|object| object.location.to_string()).try_collect().await
    }

    /// The settings by which ffapi uses a bucket as its own store.
    pub fn settings(endpoint: &str, bucket: &str) -> Vec<(&'static str, String)> {
        vec![
            ("FFAPI_STORAGE__DEFAULT", "media".to_owned()),
            ("FFAPI_STORES__MEDIA__URL", format!("s3://{bucket}")),
            ("FFAPI_STORES__MEDIA__ENDPOINT", endpoint.to_owned()),
            ("FFAPI_STORES__MEDIA__ACCESS_KEY_ID", Self::ACCESS_KEY.to_owned()),
            ("FFAPI_STORES__MEDIA__SECRET_ACCESS_KEY", Self::SECRET_KEY.to_owned()),
        ]
    }
}
