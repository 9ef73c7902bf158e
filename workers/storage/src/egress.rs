//! Requests of ours to places that users name. Every address is looked at before it is connected
//! to, and nothing else is connected to.

mod post;

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ffapi_domain::{Network, egress::may_go};
use futures::StreamExt;
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header, redirect,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

pub use self::post::{Answer, Message};

/// Where requests of ours may go, and how far.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Addresses beside those of the public internet, like `10.1.0.0/16`: a text with commas, or a
    /// list.
    #[serde(deserialize_with = "networks")]
    pub allow: Vec<Network>,
    /// A name server to ask, like `127.0.0.1:53`, instead of the system's.
    pub dns: Option<SocketAddr>,
    /// Seconds for a whole file.
    pub timeout: u64,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self { allow: Vec::new(), dns: None, timeout: 3_600 }
    }
}

fn networks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Network>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        List(Vec<Network>),
    }
    match Either::deserialize(from)? {
        Either::List(list) => Ok(list),
        Either::Text(text) => {
            let all = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            all.map(|part| part.parse().map_err(serde::de::Error::custom)).collect()
        }
    }
}

/// Why nothing came from there.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// It is not a place that requests of ours may go to. Where that is, is not for whoever asked: it
    /// would be a map of our network.
    #[error("{host} is at an address that is not allowed: only the public internet is")]
    Closed {
        /// As it was named.
        host: String,
    },
    /// Its name means nothing.
    #[error("there is no host {0}")]
    NoHost(String),
    /// It sends us elsewhere too often, or to something that is no web address.
    #[error("{0} redirects too often or to no web address")]
    Redirects(String),
    /// It says that there is no such thing.
    #[error("{host} answered {status}")]
    Refused {
        /// Who.
        host: String,
        /// With what.
        status: StatusCode,
    },
    /// It sends too much.
    #[error("{host} sends more than {max} bytes")]
    TooLarge {
        /// Who.
        host: String,
        /// Bytes.
        max: u64,
    },
    /// It does not answer, breaks off, or is too slow.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// What was seen; without the address that was asked for, which may hold a signature.
        why: String,
    },
    /// The disk here fails.
    #[error("it cannot be written here")]
    Disk(#[from] io::Error),
}

/// The one way out.
#[derive(Debug, Clone)]
pub struct Egress {
    client: Client,
    allow: Arc<[Network]>,
    timeout: Duration,
}

const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;

impl Egress {
    /// As configured.
    ///
    /// # Errors
    /// When the system has no name servers, or no client can be made.
    pub fn new(config: &EgressConfig) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let allow: Arc<[Network]> = config.allow.clone().into();
        let resolver = match config.dns {
            None => None,
            Some(server) => Some(resolver(server)?),
        };
        let client = Client::builder()
            // No proxy of the environment sees what we ask, or goes where we may not.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(Guarded { resolver, allow: Arc::clone(&allow) })
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // A connection that is kept could outlive the look at its address.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("ffapi/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, allow, timeout: Duration::from_secs(config.timeout) })
    }

    /// Writes what stands at a web address into a file; answers its bytes.
    ///
    /// # Errors
    /// As [`EgressError`] says.
    pub async fn fetch(&self, url: &Url, to: &Path, max: u64) -> Result<u64, EgressError> {
        let fetching = self.fetch_in_time(url, to, max);
        tokio::time::timeout(self.timeout, fetching).await.unwrap_or_else(|_| {
            let why = format!("it took over {} s", self.timeout.as_secs());
            Err(EgressError::Unreachable { host: host(url), why })
        })
    }

    async fn fetch_in_time(&self, url: &Url, to: &Path, max: u64) -> Result<u64, EgressError> {
        let (response, url) = self.follow(url.clone()).await?;
        let too_large = || EgressError::TooLarge { host: host(&url), max };
        if response.content_length().is_some_and(|length| length > max) {
            return Err(too_large());
        }
        let mut file = tokio::fs::File::create(to).await?;
        let (mut bytes, mut written) = (response.bytes_stream(), 0_u64);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| unreachable_because(&url, &error))?;
            written = written.saturating_add(chunk.len() as u64);
            if written > max {
                return Err(too_large());
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(written)
    }

    /// Asks, and asks where it is sent to, looking at each place anew.
    async fn follow(&self, mut url: Url) -> Result<(Response, Url), EgressError> {
        for _ in 0..=REDIRECTS {
            self.look_at(&url)?;
            let response = self.client.get(url.clone()).send().await;
            let response = response.map_err(|error| unreachable_because(&url, &error))?;
            let status = response.status();
            if status.is_success() {
                return Ok((response, url));
            }
            if !status.is_redirection() {
                return Err(EgressError::Refused { host: host(&url), status });
            }
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let next = to.and_then(|to| url.join(to).ok());
            let lost = || EgressError::Redirects(host(&url));
            url = next.filter(is_web).ok_or_else(lost)?;
        }
        Err(EgressError::Redirects(host(&url)))
    }

    /// Refuses a host that is an address of its own, which no name server is asked about.
    fn look_at(&self, url: &Url) -> Result<(), EgressError> {
        let address = match url.host() {
            Some(url::Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(url::Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(url::Host::Domain(_)) | None => return Ok(()),
        };
        if may_go(address, &self.allow) {
            return Ok(());
        }
        Err(closed(url, address))
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The refusal of an address; the operator alone is told which it is.
fn closed(url: &Url, address: IpAddr) -> EgressError {
    let host = host(url);
    tracing::debug!(host, %address, "nothing is asked of a closed address");
    EgressError::Closed { host }
}

/// What a failed request tells: our own refusals as they are, the rest in its own words.
fn unreachable_because(url: &Url, error: &reqwest::Error) -> EgressError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut why = String::new();
    while let Some(error) = cause {
        if let Some(Looked::Closed(address)) = error.downcast_ref() {
            return closed(url, *address);
        }
        if let Some(Looked::Nobody) = error.downcast_ref() {
            return EgressError::NoHost(host(url));
        }
        // The innermost says it best, and names no address.
        why = error.to_string();
        cause = error.source();
    }
    EgressError::Unreachable { host: host(url), why }
}

/// What a look at a host's addresses found.
#[derive(Debug, thiserror::Error)]
enum Looked {
    #[error("{0} is no address of the public internet")]
    Closed(IpAddr),
    #[error("there is no such host")]
    Nobody,
}

/// Name servers whose answers are looked at: what is connected to is what was looked at.
struct Guarded {
    resolver: Option<TokioResolver>,
    allow: Arc<[Network]>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, allow) = (self.resolver.clone(), Arc::clone(&self.allow));
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = match resolver {
                None => match tokio::net::lookup_host((host, 0)).await {
                    Ok(found) => found.collect(),
                    Err(error) if says_nobody(&error) => Vec::new(),
                    Err(error) => return Err(error.into()),
                },
                Some(resolver) => match resolver.lookup_ip(host).await {
                    Ok(found) => found.iter().map(|address| (address, 0).into()).collect(),
                    Err(error) if error.is_no_records_found() => Vec::new(),
                    Err(error) => return Err(error.into()),
                },
            };
            if found.is_empty() {
                return Err(Looked::Nobody.into());
            }
            // One closed address among open ones is no accident.
            if let Some(closed) = found.iter().find(|at| !may_go(at.ip(), &allow)) {
                return Err(Looked::Closed(closed.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// True if the system's resolver knows that there is no such host, and not only that it cannot tell now:
/// its kind of error says neither.
fn says_nobody(error: &io::Error) -> bool {
    let why = error.to_string();
    ["Name or service not known", "No address associated"].iter().any(|nobody| why.contains(nobody))
}

fn resolver(server: SocketAddr) -> Result<TokioResolver, Box<dyn Error + Send + Sync>> {
    let mut name_server = NameServerConfig::udp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![name_server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    // Each request asks anew: what a name meant a moment ago is no promise.
    builder.options_mut().cache_size = 0;
    Ok(builder.build()?)
}
