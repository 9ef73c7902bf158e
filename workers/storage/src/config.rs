use std::{collections::BTreeMap, fmt, path::PathBuf};

use ffapi_domain::{Tenant, location::DEFAULT_BACKEND};
use serde::{Deserialize, Serialize};

use crate::comma_separated;

/// The deployment's own storage of uploads and outputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// A local folder: the store `local`, and the workers' scratch space.
    pub root: PathBuf,
    /// The store of uploads, and of outputs whose location names none: `local`, or one of
    /// [`StoresConfig`], whose keys then begin with the tenant.
    pub default: String,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { root: PathBuf::from(".ffapi/storage"), default: DEFAULT_BACKEND.to_owned() }
    }
}

/// Stores by name; the name is the scheme of their locations.
pub type StoresConfig = BTreeMap<String, StoreConfig>;

/// How the outputs in a store are downloaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Downloads {
    /// Through the gateway.
    #[default]
    Proxy,
    /// The gateway redirects to a signed URL of the provider, which is valid for some time.
    Redirect,
}

/// A store besides the local folder.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `file:///folder`.
    pub url: String,
    /// The URL of the service; the provider's own if absent.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// S3: the access key; Azure: the account. A reference to a secret store is possible.
    pub access_key_id: Option<String>,
    /// S3: the secret key; Azure: the account's key; Google: the service account's JSON. A
    /// reference to a secret store is possible.
    pub secret_access_key: Option<String>,
    /// The tenants that may use it; `*` stands for all. The default store needs none.
    #[serde(deserialize_with = "comma_separated")]
    pub tenants: Vec<String>,
    /// How outputs are downloaded.
    pub downloads: Downloads,
    /// Further options of the `object_store` library by their names there, such as
    /// `aws_virtual_hosted_style_request` or `aws_server_side_encryption`.
    pub options: BTreeMap<String, String>,
}

impl StoreConfig {
    /// Hides the credentials, for printing.
    pub fn hide(&mut self) {
        let options = self.options.values_mut();
        let credentials = self.access_key_id.iter_mut().chain(&mut self.secret_access_key);
        credentials.chain(options).for_each(|secret| "…".clone_into(secret));
    }

    /// True if a tenant may use the store.
    pub(crate) fn allows(&self, tenant: &Tenant) -> bool {
        self.tenants.iter().any(|allowed| allowed == "*" || allowed == tenant.as_str())
    }
}

impl fmt::Debug for StoreConfig {
    /// Never prints credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("url", &self.url).finish_non_exhaustive()
    }
}
