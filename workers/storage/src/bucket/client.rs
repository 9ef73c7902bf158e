use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

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
pub enum RetryPolicy {
    /// A client waits for the answer: seconds.
    Request,
    /// Work that would be lost: minutes.
    Work,
}

/// How long a request of work is repeated.
const MAX_WORK_RETRY: Duration = Duration::from_mins(4);

impl RetryPolicy {
    /// How long a request waits until a store that is known to be away may be asked.
    pub(crate) const fn max_admission(self) -> Duration {
        match self {
            Self::Request => Duration::ZERO,
            Self::Work => MAX_WORK_RETRY,
        }
    }

    /// Repeats with exponential back-off and jitter.
    fn retry(self) -> RetryConfig {
        let (retry_timeout, max_retries) = match self {
            Self::Request => (Duration::from_secs(8), 20),
            Self::Work => (MAX_WORK_RETRY, 10_000),
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
pub(crate) fn open(config: &StoreConfig, retry_policy: RetryPolicy) -> Result<Bucket, String> {
    let url: Url = config.url.parse().map_err(|error| format!("url `{}`: {error}", config.url))?;
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() {
        return Err(format!("url `{url}` names no bucket"));
    }
    let prefix = Key::from_url_path(url.path()).map_err(|error| format!("url `{url}`: {error}"))?;
    let client: Arc<dyn Client> = match url.scheme() {
        "s3" => Arc::new(s3(bucket, config, retry_policy)?),
        "gs" => Arc::new(google(bucket, config, retry_policy)?),
        "az" => Arc::new(azure(bucket, config, retry_policy)?),
        other => {
            return Err(format!(
                "url: `{other}://` is none of `s3://`, `gs://`, `az://` and `file://`"
            ));
        }
    };
    Ok(Bucket { client, prefix, downloads: config.downloads })
}

/// Settings of a provider by its client's names, and the options that the operator added.
fn configure<B, K: FromStr>(
    builder: B,
    settings: impl IntoIterator<Item = (K, Option<String>)>,
    options: &BTreeMap<String, String>,
    with: impl Fn(B, K, String) -> B,
) -> Result<B, String> {
    let given = settings.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let mut builder = given.fold(builder, |builder, (key, value)| with(builder, key, value));
    for (name, value) in options {
        let key = name.parse().map_err(|_| format!("options: `{name}` is not known"))?;
        builder = with(builder, key, value.clone());
    }
    Ok(builder)
}

/// Rejects settings that a provider does not have.
fn without(settings: &[(&str, bool)]) -> Result<(), String> {
    let given = settings.iter().find(|(_, is_given)| *is_given);
    given.map_or(Ok(()), |(name, _)| Err(format!("`{name}` is no setting of this kind of store")))
}

fn s3(
    bucket: &str,
    config: &StoreConfig,
    retry_policy: RetryPolicy,
) -> Result<impl Client + 'static, String> {
    use AmazonS3ConfigKey::{AccessKeyId, Endpoint, Region, S3Endpoint, SecretAccessKey};
    let environment = AmazonS3Builder::from_env();
    let variable = |key: AmazonS3ConfigKey| environment.get_config_value(&key);
    let endpoint =
        config.endpoint.clone().or_else(|| variable(S3Endpoint)).or_else(|| variable(Endpoint));
    let region = config.region.clone().or_else(|| variable(Region));
    // A session token of the environment belongs to its key, not to a configured one.
    let has_key = config.access_key_id.is_some();
    let builder = if has_key { AmazonS3Builder::new() } else { environment };
    let settings = [
        (S3Endpoint, endpoint.clone()),
        (Region, region),
        (AccessKeyId, config.access_key_id.clone()),
        (SecretAccessKey, config.secret_access_key.clone()),
    ];
    let builder = builder
        .with_bucket_name(bucket)
        .with_retry(retry_policy.retry())
        .with_client_options(options(endpoint.as_deref()));
    let builder = configure(builder, settings, &config.options, AmazonS3Builder::with_config)?;
    builder.build().map_err(|error| error.to_string())
}

fn google(
    bucket: &str,
    config: &StoreConfig,
    retry_policy: RetryPolicy,
) -> Result<impl Client + 'static, String> {
    without(&[
        ("region", config.region.is_some()),
        ("access_key_id", config.access_key_id.is_some()),
    ])?;
    let environment = GoogleCloudStorageBuilder::from_env();
    let variable = || environment.get_config_value(&GoogleConfigKey::BaseUrl);
    let endpoint = config.endpoint.clone().or_else(variable);
    let settings = [
        (GoogleConfigKey::BaseUrl, endpoint.clone()),
        (GoogleConfigKey::ServiceAccountKey, config.secret_access_key.clone()),
    ];
    let builder = environment
        .with_bucket_name(bucket)
        .with_retry(retry_policy.retry())
        .with_client_options(options(endpoint.as_deref()));
    let with = GoogleCloudStorageBuilder::with_config;
    let builder = configure(builder, settings, &config.options, with)?;
    builder.build().map_err(|error| error.to_string())
}

fn azure(
    container: &str,
    config: &StoreConfig,
    retry_policy: RetryPolicy,
) -> Result<impl Client + 'static, String> {
    without(&[("region", config.region.is_some())])?;
    let environment = MicrosoftAzureBuilder::from_env();
    let variable = || environment.get_config_value(&AzureConfigKey::Endpoint);
    let endpoint = config.endpoint.clone().or_else(variable);
    let settings = [
        (AzureConfigKey::Endpoint, endpoint.clone()),
        (AzureConfigKey::AccountName, config.access_key_id.clone()),
        (AzureConfigKey::AccessKey, config.secret_access_key.clone()),
    ];
    let builder = environment
        .with_container_name(container)
        .with_retry(retry_policy.retry())
        .with_client_options(options(endpoint.as_deref()));
    let with = MicrosoftAzureBuilder::with_config;
    let builder = configure(builder, settings, &config.options, with)?;
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, change: impl Fn(&mut StoreConfig)) -> Result<Bucket, String> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut config = StoreConfig { url: url.to_owned(), ..StoreConfig::default() };
        change(&mut config);
        open(&config, RetryPolicy::Request)
    }

    #[test]
    fn every_documented_option_is_known_and_no_setting_is_ignored() {
        let key = |config: &mut StoreConfig| {
            config.access_key_id = Some("account".to_owned());
            config.secret_access_key = Some("YQ==".to_owned());
        };
        for name in [
            "aws_server_side_encryption",
            "aws_virtual_hosted_style_request",
            "aws_checksum_algorithm",
        ] {
            let value = match name {
                "aws_server_side_encryption" => "AES256",
                "aws_checksum_algorithm" => "sha256",
                _ => "true",
            };
            let opened = opened("s3://media", |config| {
                key(config);
                config.options.insert(name.to_owned(), value.to_owned());
            });
            assert!(opened.is_ok(), "{name}: {opened:?}");
        }
        assert!(opened("az://media", key).is_ok());
        let region = |config: &mut StoreConfig| config.region = Some("eu".to_owned());
        let option = |config: &mut StoreConfig| {
            config.options.insert("colour".to_owned(), "blue".to_owned());
        };
        assert!(opened("az://media", region).unwrap_err().contains("`region`"));
        assert!(opened("gs://media", key).unwrap_err().contains("`access_key_id`"));
        assert!(opened("s3://media", option).unwrap_err().contains("`colour`"));
        for url in ["ftp://media", "s3://", "media"] {
            assert!(opened(url, |_| {}).is_err(), "{url}");
        }
    }
}
