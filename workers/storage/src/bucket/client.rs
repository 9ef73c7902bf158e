use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path as Key,
};
use url::Url;

use super::{Bucket, Client};
use crate::StoreConfig;

/// How long a request to a store is repeated while the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A client waits for the answer: seconds.
    Request,
    /// Work that would be lost: minutes.
    Work,
}

impl Patience {
    /// Repeats with exponential back-off and jitter.
    fn retry(self) -> RetryConfig {
        let (retry_timeout, max_retries) = match self {
            Self::Request => (Duration::from_secs(8), 20),
            Self::Work => (Duration::from_mins(4), 10_000),
        };
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        };
        RetryConfig { backoff, max_retries, retry_timeout }
    }
}

/// Limits of one request. A whole object may take as long as it needs, as long as bytes arrive.
fn options(endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(30))
        // The operator configured a plain endpoint.
        .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
}

/// Opens the bucket of a configuration; the error says what is wrong with it.
pub(crate) fn open(config: &StoreConfig, patience: Patience) -> Result<Bucket, String> {
    let url: Url = config.url.parse().map_err(|error| format!("url `{}`: {error}", config.url))?;
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() {
        return Err(format!("url `{url}` names no bucket"));
    }
    let prefix = Key::from_url_path(url.path()).map_err(|error| format!("url `{url}`: {error}"))?;
    let client: Arc<dyn Client> = match url.scheme() {
        "s3" => Arc::new(s3(bucket, config, patience)?),
        "gs" => Arc::new(google(bucket, config, patience)?),
        "az" => Arc::new(azure(bucket, config, patience)?),
        other => {
            return Err(format!(
                "url: `{other}://` is none of `s3://`, `gs://`, `az://` and `file://`"
            ));
        }
    };
    Ok(Bucket { client, prefix, downloads: config.downloads })
}

/// Parses the name of an option of a provider.
fn option<K: std::str::FromStr>(name: &str) -> Result<K, String> {
    name.parse().map_err(|_| format!("options: `{name}` is not known"))
}

fn s3(
    bucket: &str,
    config: &StoreConfig,
    patience: Patience,
) -> Result<impl Client + 'static, String> {
    let environment = AmazonS3Builder::from_env();
    let endpoint = config.endpoint.clone().or_else(|| {
        let specific = environment.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
        specific.or_else(|| environment.get_config_value(&AmazonS3ConfigKey::Endpoint))
    });
    let mut builder = environment
        .with_bucket_name(bucket)
        .with_retry(patience.retry())
        .with_client_options(options(endpoint.as_deref()));
    let settings = [
        (AmazonS3ConfigKey::S3Endpoint, &config.endpoint),
        (AmazonS3ConfigKey::Region, &config.region),
        (AmazonS3ConfigKey::AccessKeyId, &config.access_key_id),
        (AmazonS3ConfigKey::SecretAccessKey, &config.secret_access_key),
    ];
    for (key, value) in settings {
        builder = value.iter().fold(builder, |builder, value| builder.with_config(key, value));
    }
    for (name, value) in &config.options {
        builder = builder.with_config(option(name)?, value);
    }
    builder.build().map_err(|error| error.to_string())
}

fn google(
    bucket: &str,
    config: &StoreConfig,
    patience: Patience,
) -> Result<impl Client + 'static, String> {
    let environment = GoogleCloudStorageBuilder::from_env();
    let endpoint =
        config.endpoint.clone().or_else(|| environment.get_config_value(&GoogleConfigKey::BaseUrl));
    let mut builder = environment
        .with_bucket_name(bucket)
        .with_retry(patience.retry())
        .with_client_options(options(endpoint.as_deref()));
    let settings = [
        (GoogleConfigKey::BaseUrl, &config.endpoint),
        (GoogleConfigKey::ServiceAccountKey, &config.secret_access_key),
    ];
    for (key, value) in settings {
        builder = value.iter().fold(builder, |builder, value| builder.with_config(key, value));
    }
    for (name, value) in &config.options {
        builder = builder.with_config(option(name)?, value);
    }
    builder.build().map_err(|error| error.to_string())
}

fn azure(
    container: &str,
    config: &StoreConfig,
    patience: Patience,
) -> Result<impl Client + 'static, String> {
    let environment = MicrosoftAzureBuilder::from_env();
    let endpoint =
        config.endpoint.clone().or_else(|| environment.get_config_value(&AzureConfigKey::Endpoint));
    let mut builder = environment
        .with_container_name(container)
        .with_retry(patience.retry())
        .with_client_options(options(endpoint.as_deref()));
    let settings = [
        (AzureConfigKey::Endpoint, &config.endpoint),
        (AzureConfigKey::AccountName, &config.access_key_id),
        (AzureConfigKey::AccessKey, &config.secret_access_key),
    ];
    for (key, value) in settings {
        builder = value.iter().fold(builder, |builder, value| builder.with_config(key, value));
    }
    for (name, value) in &config.options {
        builder = builder.with_config(option(name)?, value);
    }
    builder.build().map_err(|error| error.to_string())
}
