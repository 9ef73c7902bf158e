use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ffapi_domain::Network;
use ffapi_storage::{comma_separated, duration_setting};
use serde::{Deserialize, Serialize};

use crate::{
    IssuerConfig, ProxyHeader, ScannerConfig, cors::AllowedOrigin, prices::PriceTable,
    read_barrier::Consistency, scanner::OnFailure,
};

/// Configuration of the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// The address to listen on, like `127.0.0.1:8080`.
    pub listen: String,
    /// Maximum size of one upload in bytes, whatever the account's limit.
    pub max_upload: u64,
    /// Proxies whose header with the client's address is trusted, like `10.0.0.0/8`.
    #[serde(deserialize_with = "comma_separated")]
    pub trusted_proxies: Vec<Network>,
    /// The header that they set: `x-forwarded-for` or `forwarded`. The other one is ignored.
    pub proxy_header: ProxyHeader,
    /// Requests without valid credentials per minute and address.
    pub anonymous_per_minute: u32,
    /// Requests of one account per hour by method and first segment of the path, like
    /// `POST convert`; without an entry only the account's own limit applies.
    pub endpoint_limits: BTreeMap<String, u64>,
    /// Origins, like `https://app.example.com`, whose pages may call the API from a browser (CORS);
    /// `*` for all.
    #[serde(deserialize_with = "comma_separated")]
    pub cors_origins: Vec<AllowedOrigin>,
    /// Certificate and key for HTTPS; plain HTTP if absent.
    pub tls: Option<TlsConfig>,
    /// The issuer whose tokens (`Authorization: Bearer <JWT>`) are accepted in addition to API
    /// keys.
    pub issuer: Option<IssuerConfig>,
    /// A virus scanner for uploads; none if absent.
    pub scanner: Option<ScannerConfig>,
    /// The inspection of each upload by a worker before it is accepted.
    pub inspection: InspectionConfig,
    /// Time after which an idle connection is closed; more than the minute that `Prefer: wait` may
    /// take.
    #[serde(with = "duration_setting::seconds")]
    pub idle_timeout: Duration,
    /// Maximum number of open connections; lowered to fit the file descriptor limit.
    pub connections: u64,
    /// Maximum number of them from one address, or one /64 of IPv6. Loopback and trusted proxies,
    /// which forward for many clients, are exempt.
    pub connections_per_address: u64,
    /// What jobs cost; jobs, estimates and sums of usage then show it.
    pub prices: Option<PriceTable>,
    /// What reads contain: `read-your-writes`, or `eventual`, which asks the log nothing.
    pub consistency: Consistency,
    /// How long keys are accepted without a confirmation that the log holds nothing newer.
    #[serde(with = "duration_setting::milliseconds")]
    pub max_key_lag: Duration,
}

/// Certificate and key for HTTPS. The files are read again when they change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate and its intermediates.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            max_upload: 10 * 1024 * 1024 * 1024,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            anonymous_per_minute: 60,
            endpoint_limits: BTreeMap::new(),
            cors_origins: Vec::new(),
            tls: None,
            issuer: None,
            scanner: None,
            inspection: InspectionConfig::default(),
            idle_timeout: Duration::from_secs(90),
            connections: 10_000,
            connections_per_address: 1_000,
            prices: None,
            consistency: Consistency::default(),
            max_key_lag: Duration::from_secs(5),
        }
    }
}

/// What happens to an upload that no worker could inspect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InspectionConfig {
    /// Whether it is accepted, the default, or refused. If accepted, its first job finds out what
    /// it is.
    pub on_failure: OnFailure,
}

impl Default for InspectionConfig {
    fn default() -> Self {
        Self { on_failure: OnFailure::Accept }
    }
}
