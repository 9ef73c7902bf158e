use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ffapi_domain::Network;
use ffapi_nats::LogError;
use poem::{
    Endpoint, EndpointExt, IntoResponse, Response, Route,
    endpoint::make,
    http::Method,
    listener::{Acceptor, AcceptorExt, BoxAcceptor, Listener, TcpListener},
    middleware::Cors,
};
use poem_openapi::{OpenApi, OpenApiService};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway, IssuerConfig, ProxyHeader, ScannerConfig, Services,
    accounts::Accounts,
    answering, asyncapi,
    audit_trail::AuditTrail,
    auth::Issuer,
    batches::Batches,
    cache_stats::Cache,
    cleanup::Cleanup,
    connection::Watched,
    connections::Connections,
    dead_letters::DeadLetters,
    documents::{Document, Readers},
    feed::{BatchEvents, Events},
    guard::guard,
    health,
    health::Health,
    jobs::Jobs,
    keys::{Keys, rotation},
    log_tail::hear,
    presets::Presets,
    queue::QueueApi,
    queue_slots,
    response_middleware::response_middleware,
    storage_holds, tls,
    tokens::Tokens,
    uploads::{LookConfig, Uploads},
    webhooks::Webhooks,
};

/// How the gateway serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Where it listens.
    pub listen: String,
    /// Bytes of one upload at most, whatever the account has.
    pub max_upload: u64,
    /// Proxies whose word on where a request comes from is believed, like `10.0.0.0/8`.
    pub trusted_proxies: Vec<Network>,
    /// Where they write it: `x-forwarded-for` or `forwarded`. The other one is not looked at.
    pub proxy_header: ProxyHeader,
    /// Requests in a minute from one address without a key that opens.
    pub strangers_per_minute: u32,
    /// Requests of one account in an hour by method and first word of the path, like
    /// `POST convert`; without an entry only the account's own limit counts.
    pub endpoint_limits: BTreeMap<String, u64>,
    /// Pages of these origins, like `https://app.example.com`, may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// To serve HTTPS by itself; without it, a proxy in front may.
    pub tls: Option<TlsConfig>,
    /// Whose tokens (`Authorization: Bearer <JWT>`) are believed beside our own keys.
    pub issuer: Option<IssuerConfig>,
    /// A virus scanner for uploads; none if absent.
    pub scanner: Option<ScannerConfig>,
    /// Each upload is looked into by a worker before it is taken.
    pub look: LookConfig,
    /// Seconds after which a connection on which nothing moves is closed; more than the minute that
    /// `Prefer: wait` may take.
    pub idle_timeout: u64,
    /// Connections at once; fewer where descriptors do not reach.
    pub connections: u64,
    /// Of these from one address, or one /64 of version 6. This machine and trusted proxies, which speak
    /// for many, are not counted.
    pub connections_per_address: u64,
    /// Milliseconds for which keys are believed without seeing that none was revoked meanwhile.
    pub max_key_lag: u64,
}

/// With what HTTPS is served. Read again when the files change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            max_upload: 10 * 1024 * 1024 * 1024,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            strangers_per_minute: 60,
            endpoint_limits: BTreeMap::new(),
            cors_origins: Vec::new(),
            tls: None,
            issuer: None,
            scanner: None,
            look: LookConfig::default(),
            idle_timeout: 90,
            connections: 10_000,
            connections_per_address: 1_000,
            max_key_lag: 5_000,
        }
    }
}

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address cannot be had.
    #[error("{address} cannot be listened on; is something else running there?")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{file} cannot be used for TLS")]
    Tls {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The issuer's keys could never be asked for.
    #[error("no client for the issuer's keys")]
    Issuer(#[from] reqwest::Error),
    /// The log is in trouble.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Serving broke off.
    #[error("serving broke off")]
    Serve(#[source] std::io::Error),
}

/// A gateway that listens.
pub struct Server {
    acceptor: BoxAcceptor,
    connections: Arc<Connections>,
    gateway: Arc<Gateway>,
    address: SocketAddr,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// Bytes of a request's headers over HTTP/2; hyper has a limit of its own for HTTP/1.1.
const MAX_HEADERS: u32 = 64 * 1024;
/// How long open requests may go on after a stop.
const DRAIN: Duration = Duration::from_secs(3);

fn service() -> OpenApiService<impl OpenApi, ()> {
    let all = (
        Jobs,
        Batches,
        BatchEvents,
        Events,
        Presets,
        Webhooks,
        Uploads,
        Keys,
        Tokens,
        Accounts,
        AuditTrail,
        Cache,
        QueueApi,
        DeadLetters,
        Cleanup,
        Health,
    );
    OpenApiService::new(all, "ffapi", env!("CARGO_PKG_VERSION"))
        .description("FFmpeg as a service, event-sourced.")
}

/// The OpenAPI document.
pub fn openapi() -> String {
    service().spec()
}

impl Server {
    /// Listens, and begins to hear what the service has to say.
    ///
    /// # Errors
    /// When the address cannot be had or the log does not answer.
    pub async fn bind(config: &GatewayConfig, services: Services) -> Result<Self, GatewayError> {
        let listen = |source| GatewayError::Listen { address: config.listen.clone(), source };
        let acceptor =
            TcpListener::bind(config.listen.clone()).into_acceptor().await.map_err(listen)?;
        let address = acceptor.local_addr();
        let address = address.first().and_then(|address| address.as_socket_addr().copied());
        let address = address.ok_or_else(|| listen(std::io::ErrorKind::AddrNotAvailable.into()))?;
        let idle = Duration::from_secs(config.idle_timeout.max(1));
        let connections = Arc::new(Connections::new(config));
        let acceptor = Watched::new(acceptor, idle, Arc::clone(&connections));
        let acceptor = match &config.tls {
            Some(tls) => acceptor.rustls(tls::follow(tls)?).boxed(),
            None => acceptor.boxed(),
        };
        let issuer = config.issuer.clone().map(Issuer::new).transpose()?;
        let gateway = Arc::new(Gateway::new(services, config, issuer));
        Ok(Self { acceptor, connections, gateway, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, then lets open requests end.
    ///
    /// # Errors
    /// When the log cannot be had at the start, or serving breaks off.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), GatewayError> {
        let hearing = hear(&self.gateway, stop).await?;
        let noting = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { gateway.audit.run(&gateway.commands, &stop).await })
        };
        let rotating = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { rotation::run(gateway, &stop).await })
        };
        let lending = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { queue_slots::run(gateway, &stop).await })
        };
        let holding = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { storage_holds::run(gateway, &stop).await })
        };
        let app = counted(app(Arc::clone(&self.gateway)), self.connections);
        let server =
            poem::Server::new_with_acceptor(self.acceptor).http2_max_header_list_size(MAX_HEADERS);
        let stopped = stop.clone().cancelled_owned();
        let outcome = server.run_with_graceful_shutdown(app, stopped, Some(DRAIN)).await;
        hearing.abort();
        rotating.abort();
        holding.abort();
        let _ = noting.await;
        let _ = lending.await;
        outcome.map_err(GatewayError::Serve)
    }
}

/// Says of each request over which connection it came.
fn counted<E: Endpoint<Output = Response> + 'static>(
    app: E,
    connections: Arc<Connections>,
) -> impl Endpoint<Output = Response> {
    app.around(move |app, request| {
        let connections = Arc::clone(&connections);
        async move {
            let peer = request.remote_addr().as_socket_addr().copied();
            let busy = peer.and_then(|peer| connections.asked(peer));
            let response = app.call(request).await?;
            // For as long as its body is read, an answer is under way.
            Ok(match busy {
                Some(busy) => answering::until_read(response, busy),
                None => response,
            })
        }
    })
}

/// The whole API, with what every answer has in common.
fn app(gateway: Arc<Gateway>) -> impl Endpoint<Output = Response> {
    let service = service();
    let readers = Readers::new();
    let page = Document::new("text/html; charset=utf-8", service.swagger_ui_html());
    let spec = Document::new("application/json", service.spec());
    let events = Document::new("application/json", asyncapi::document().to_string());
    let open = |ready: bool| {
        let gateway = Arc::clone(&gateway);
        make(move |_| {
            let gateway = Arc::clone(&gateway);
            async move {
                if ready {
                    health::is_ready(&gateway).await?;
                }
                let body = "{\"status\":\"ok\"}";
                Ok::<_, poem::Error>(
                    Response::builder().content_type("application/json").body(body).into_response(),
                )
            }
        })
    };
    let origins = gateway.cors_origins.clone();
    let cors = Cors::new()
        .allow_origins(origins.iter().map(String::as_str))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([
            "authorization",
            "content-type",
            "x-api-key",
            "idempotency-key",
            "prefer",
            "if-match",
            "if-none-match",
            "last-event-id",
            "range",
        ])
        .expose_headers([
            "etag",
            "location",
            "link",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "x-log-position",
            "x-request-id",
            "content-range",
        ])
        .allow_credentials(false);
    Route::new()
        .at("/api/v1/asyncapi.json", events.clone().endpoint(&readers))
        .at("/asyncapi.json", events.endpoint(&readers))
        .at("/health", open(false))
        .at("/health/ready", open(true))
        .nest("/docs", Route::new().at("/", page.clone().endpoint(&readers)))
        .at("/openapi.json", spec.clone().endpoint(&readers))
        .nest("/api/v1/docs", Route::new().at("/", page.endpoint(&readers)))
        .at("/api/v1/openapi.json", spec.endpoint(&readers))
        .nest_no_strip("/", service)
        .around(guard)
        .with_if(!origins.is_empty(), cors)
        .around(response_middleware)
        .data(gateway)
        .map_to_response()
}
