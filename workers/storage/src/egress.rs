//! Outgoing requests to URLs that users provide. Every address is checked before it is connected
//! to, and only checked addresses are connected to.

mod post;
mod put;
mod space;

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ffapi_domain::{Network, egress::may_connect};
use futures::{StreamExt, TryFutureExt};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header, redirect,
};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

pub use self::post::{Answer, Message};
pub(crate) use self::put::{PutAnswer, PutFile};
pub use self::space::{NoSpace, Space};
use crate::{comma_separated, duration_setting, metrics};

/// Limits of outgoing requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Networks that are allowed in addition to the public internet, like `10.1.0.0/16`: a
    /// comma-separated text or a list.
    #[serde(deserialize_with = "comma_separated")]
    pub allow: Vec<Network>,
    /// A name server to use instead of the system's, like `127.0.0.1:53`.
    pub dns: Option<SocketAddr>,
    /// Timeout for downloading a file.
    #[serde(with = "duration_setting::seconds")]
    pub timeout: Duration,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self { allow: Vec::new(), dns: None, timeout: Duration::from_hours(1) }
    }
}

/// Why an outgoing request failed.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The host resolves to an address that is not allowed. The error does not contain the address,
    /// which would reveal our network to the client.
    #[error(
        "{host} is at an address that is not allowed: only the public internet is, and what the operator \
         adds by `FFAPI_EGRESS__ALLOW`"
    )]
    Closed {
        /// The host as the URL names it.
        host: String,
    },
    /// The host name does not exist.
    #[error("there is no host {0}")]
    NoHost(String),
    /// The host redirects too often, or to a URL that is not a plain HTTP one.
    #[error("{0} redirects too often or to an invalid URL")]
    Redirects(String),
    /// The host answered with an error status.
    #[error("{host} answered {status}")]
    Refused {
        /// The host as the URL names it.
        host: String,
        /// The status of the response.
        status: StatusCode,
    },
    /// The response is larger than the limit.
    #[error("{host} sends more than {max} bytes")]
    TooLarge {
        /// The host as the URL names it.
        host: String,
        /// The limit in bytes.
        max: u64,
    },
    /// The host does not answer, disconnects, or is too slow.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// The host as the URL names it.
        host: String,
        /// The cause, without the URL, which may contain a signature.
        why: String,
    },
    /// The downloaded file does not fit.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The downloaded file cannot be written to the local disk.
    #[error("the download cannot be written to disk")]
    Disk(#[from] io::Error),
}

/// The client for all outgoing requests to user-provided URLs.
#[derive(Debug, Clone)]
pub struct Egress {
    client: Client,
    /// For files that are sent: without a limit on the time until the response, which is that of the file.
    sender: Client,
    allow: Arc<[Network]>,
    timeout: Duration,
}

/// How long connecting to a host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response may pause.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

impl Egress {
    /// Creates a client with these limits.
    ///
    /// # Errors
    /// When the resolver or the HTTP client cannot be created.
    pub fn new(config: &EgressConfig) -> Result<Self, Box<dyn Error + Send + Sync>> {
        metrics::prepare();
        let allow: Arc<[Network]> = config.allow.clone().into();
        let resolver = match config.dns {
            None => system_resolver(),
            Some(server) => Some(resolver(server)?),
        };
        let resolver = Arc::new(CheckedResolver { resolver, allow: Arc::clone(&allow) });
        let builder = || {
            Client::builder()
                // A proxy from the environment would see the requests and bypass the address check.
                .no_proxy()
                .redirect(redirect::Policy::none())
                .dns_resolver(Arc::clone(&resolver))
                .connect_timeout(CONNECT_TIMEOUT)
                // A pooled connection would bypass the address check of later requests.
                .pool_max_idle_per_host(0)
                .user_agent(concat!("ffapi/", env!("CARGO_PKG_VERSION")))
        };
        let client = builder().read_timeout(READ_TIMEOUT).build()?;
        let sender = builder().build()?;
        Ok(Self { client, sender, allow, timeout: config.timeout })
    }

    /// Downloads a URL of up to `max` bytes into a file, following redirects; returns the number of bytes.
    /// None is written that `space` was not asked for.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub async fn fetch(
        &self,
        url: &Url,
        to: &Path,
        max: u64,
        space: &impl Space,
    ) -> Result<u64, EgressError> {
        let fetching = self.fetch_in_time(url, to, max, space);
        tokio::time::timeout(self.timeout, fetching).await.unwrap_or_else(|_| {
            let why = format!("it took over {} s", self.timeout.as_secs());
            Err(EgressError::Unreachable { host: host(url), why })
        })
    }

    async fn fetch_in_time(
        &self,
        url: &Url,
        to: &Path,
        max: u64,
        space: &impl Space,
    ) -> Result<u64, EgressError> {
        let (response, url) = self.get_following_redirects(url.clone()).await?;
        let too_large = || EgressError::TooLarge { host: host(&url), max };
        if response.content_length().is_some_and(|length| length > max) {
            return Err(too_large());
        }
        if let Some(length) = response.content_length() {
            space.reserve(length)?;
        }
        let mut file = tokio::fs::File::create(to).await?;
        let (mut bytes, mut written) = (response.bytes_stream(), 0_u64);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| unreachable_because(&url, &error))?;
            written = written.saturating_add(chunk.len() as u64);
            if written > max {
                return Err(too_large());
            }
            space.take(written)?;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        metrics::fetched(written);
        Ok(written)
    }

    /// Requests a URL and follows redirects, checking every address again.
    async fn get_following_redirects(&self, mut url: Url) -> Result<(Response, Url), EgressError> {
        for _ in 0..=MAX_REDIRECTS {
            self.check_address(&url)?;
            let sending = self.client.get(url.clone()).send();
            let sending = sending.map_err(|error| unreachable_because(&url, &error));
            let response = metrics::request(Method::GET, &url, sending).await?;
            let status = response.status();
            if status.is_success() {
                return Ok((response, url));
            }
            if !status.is_redirection() {
                return Err(EgressError::Refused { host: host(&url), status });
            }
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let next = to.and_then(|to| url.join(to).ok());
            let invalid = || EgressError::Redirects(host(&url));
            url = next.filter(is_web).ok_or_else(invalid)?;
        }
        Err(EgressError::Redirects(host(&url)))
    }

    /// Rejects a URL whose host is a forbidden literal IP address; the resolver checks names.
    fn check_address(&self, url: &Url) -> Result<(), EgressError> {
        let address = match url.host() {
            Some(url::Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(url::Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(url::Host::Domain(_)) | None => return Ok(()),
        };
        if may_connect(address, &self.allow) {
            return Ok(());
        }
        Err(forbidden(url, address))
    }
}

/// True for an HTTP URL without credentials.
fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The error for a forbidden address; the address itself is only logged, without the client's name for
/// it.
fn forbidden(url: &Url, address: IpAddr) -> EgressError {
    tracing::debug!(%address, "request to a forbidden address rejected");
    EgressError::Closed { host: host(url) }
}

/// Maps a failed request: the resolver's own errors by kind, others by the message of their
/// innermost cause.
fn unreachable_because(url: &Url, error: &reqwest::Error) -> EgressError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut why = String::new();
    while let Some(error) = cause {
        if let Some(ResolveError::Forbidden(address)) = error.downcast_ref() {
            return forbidden(url, *address);
        }
        if let Some(ResolveError::NoSuchHost) = error.downcast_ref() {
            return EgressError::NoHost(host(url));
        }
        // The innermost message is the most precise, and contains no URL.
        why = error.to_string();
        cause = error.source();
    }
    EgressError::Unreachable { host: host(url), why }
}

/// Why a host name was not resolved.
#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error("{0} is not an address of the public internet")]
    Forbidden(IpAddr),
    #[error("there is no such host")]
    NoSuchHost,
}

/// A DNS resolver that checks the addresses it returns, so that only checked ones are connected to.
struct CheckedResolver {
    resolver: Option<TokioResolver>,
    allow: Arc<[Network]>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, allow) = (self.resolver.clone(), Arc::clone(&self.allow));
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let is_local = host == "localhost";
            let found: Vec<SocketAddr> = match resolver {
                None => match look_up(host).await {
                    Ok(found) => found,
                    Err(error) if is_no_such_host(&error) => Vec::new(),
                    Err(error) => return Err(error.into()),
                },
                Some(resolver) => match resolver.lookup_ip(host).await {
                    Ok(found) => found.iter().map(|address| (address, 0).into()).collect(),
                    Err(error) if error.is_no_records_found() => Vec::new(),
                    Err(error) => return Err(error.into()),
                },
            };
            if found.is_empty() {
                return Err(ResolveError::NoSuchHost.into());
            }
            let (allowed, forbidden): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.into_iter().partition(|at| may_connect(at.ip(), &allow));
            // A single forbidden address among allowed ones is suspicious: reject all. But this machine
            // is `::1` as well as `127.0.0.1`, of which an operator may allow one.
            match forbidden.first() {
                Some(forbidden) if !is_local || allowed.is_empty() => {
                    Err(ResolveError::Forbidden(forbidden.ip()).into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// True if the system's resolver reports that the host does not exist, as opposed to a temporary
/// failure: the error kind does not distinguish them.
fn is_no_such_host(error: &io::Error) -> bool {
    let why = error.to_string();
    ["Name or service not known", "No address associated"].iter().any(|text| why.contains(text))
}

/// The resolver that the system is configured with; none if its configuration cannot be read.
/// Waiting for slow name servers takes no thread.
fn system_resolver() -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio()
        .inspect_err(|error| tracing::warn!(%error, "resolving host names by the C library"))
        .ok()?;
    builder.options_mut().cache_size = 0;
    builder.build().ok()
}

/// Lookups by the C library that may run at a time: each takes a thread, which files need as well.
const MAX_BLOCKING_LOOKUPS: usize = 32;
/// How long a lookup waits for another one to end.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

static BLOCKING_LOOKUPS: Semaphore = Semaphore::const_new(MAX_BLOCKING_LOOKUPS);

/// Resolves a host name by the C library.
async fn look_up(host: String) -> io::Result<Vec<SocketAddr>> {
    let permit = tokio::time::timeout(LOOKUP_WAIT, BLOCKING_LOOKUPS.acquire()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "too many host names are resolved"));
    };
    let looked_up = tokio::task::spawn_blocking(move || {
        // Held until the lookup returns, whether or not somebody still waits for it.
        let _permit = permit;
        (host, 0).to_socket_addrs().map(Iterator::collect)
    });
    looked_up.await.map_err(io::Error::other)?
}

fn resolver(server: SocketAddr) -> Result<TokioResolver, Box<dyn Error + Send + Sync>> {
    let mut name_server = NameServerConfig::udp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![name_server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    // Each request resolves the name again, because it may have changed.
    builder.options_mut().cache_size = 0;
    Ok(builder.build()?)
}
