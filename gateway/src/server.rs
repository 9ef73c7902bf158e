use std::{net::SocketAddr, sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::make,
    listener::{Acceptor, AcceptorExt, BoxAcceptor, Listener, TcpListener},
    web::Redirect,
};
use poem_openapi::{OpenApi, OpenApiService};
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway, GatewayConfig, GatewayError, Services,
    accounts::Accounts,
    admin_stats::AdminStats,
    api_paths::ApiPaths,
    asyncapi,
    audit_trail::AuditTrail,
    auth::Issuer,
    batches::Batches,
    cache_stats::Cache,
    cleanup::Cleanup,
    connection::Watched,
    connections::Connections,
    dead_letters::DeadLetters,
    documents::{Document, DocumentLimiter},
    feed::{BatchEvents, Events},
    guard::guard,
    health,
    health::Health,
    jobs::{Jobs, outputs::Outputs},
    keys::{Keys, rotation::KeyRotation},
    log_tail, metrics,
    presets::{Presets, system},
    queue::QueueApi,
    response_body,
    response_middleware::response_middleware,
    tls,
    tokens::Tokens,
    uploads::{Uploads, tus},
    usage::UsageApi,
    webhooks::Webhooks,
};

/// A gateway that is bound to its address.
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

/// Maximum size of a request's headers in bytes over HTTP/2; hyper has its own limit for HTTP/1.1.
const MAX_HTTP2_HEADER_BYTES: u32 = 64 * 1024;
/// Requests of one connection at a time: a page loads fewer files at once.
const MAX_HTTP2_STREAMS: u32 = 64;
/// How long open requests may continue after a shutdown begins.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

fn service() -> OpenApiService<impl OpenApi, ()> {
    let all = (
        (Jobs, Outputs),
        Batches,
        BatchEvents,
        Events,
        Presets,
        Webhooks,
        Uploads,
        Keys,
        Tokens,
        (Accounts, UsageApi, AdminStats),
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

/// The OpenAPI document as poem-openapi generates it.
pub(crate) fn generated() -> String {
    service().spec()
}

/// The OpenAPI document.
pub fn openapi() -> String {
    crate::openapi::document(&generated()).to_string()
}

impl Server {
    /// Binds the listener and sets up the gateway's state.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the certificate cannot be used.
    pub async fn bind(config: &GatewayConfig, services: Services) -> Result<Self, GatewayError> {
        let listen = |source| GatewayError::Listen { address: config.listen.clone(), source };
        let acceptor =
            TcpListener::bind(config.listen.clone()).into_acceptor().await.map_err(listen)?;
        let address = acceptor.local_addr();
        let address = address.first().and_then(|address| address.as_socket_addr().copied());
        let address = address.ok_or_else(|| listen(std::io::ErrorKind::AddrNotAvailable.into()))?;
        let idle = config.idle_timeout.max(Duration::from_secs(1));
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

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then waits for open requests to end.
    ///
    /// # Errors
    /// When the log is unavailable at the start, or the server fails.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), GatewayError> {
        let log_tail = log_tail::spawn(&self.gateway, stop).await?;
        let audit_writer = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { gateway.audit.run(&gateway.commands, &stop).await })
        };
        let key_rotation = {
            let Gateway { commands, credentials, vault, .. } = &*self.gateway;
            let (commands, credentials) = (Arc::clone(commands), Arc::clone(credentials));
            let rotation = KeyRotation::new(commands, credentials, vault.clone());
            let stop = stop.clone();
            tokio::spawn(async move { rotation.run(&stop).await })
        };
        let slot_leases = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { gateway.queue_slots.run(&stop).await })
        };
        let hold_renewal = {
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { gateway.storage_holds.run(&stop).await })
        };
        if let Err(problem) = system::define(&self.gateway).await {
            tracing::warn!(%problem, "the system presets are not defined yet");
            let (gateway, stop) = (Arc::clone(&self.gateway), stop.clone());
            tokio::spawn(async move { system::define_later(gateway, &stop).await });
        }
        metrics::observe(&self.gateway);
        let app = track_connections(app(Arc::clone(&self.gateway)), self.connections);
        let server = poem::Server::new_with_acceptor(self.acceptor)
            .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES)
            .http2_max_concurrent_streams(MAX_HTTP2_STREAMS);
        let stopped = stop.clone().cancelled_owned();
        let outcome = server.run_with_graceful_shutdown(app, stopped, Some(SHUTDOWN_TIMEOUT)).await;
        log_tail.abort();
        key_rotation.abort();
        hold_renewal.abort();
        let _ = audit_writer.await;
        let _ = slot_leases.await;
        outcome.map_err(GatewayError::Serve)
    }
}

/// Marks the connection of each request as busy until the response body has been read.
fn track_connections<E: Endpoint<Output = Response> + 'static>(
    app: E,
    connections: Arc<Connections>,
) -> impl Endpoint<Output = Response> {
    app.around(move |app, request| {
        let connections = Arc::clone(&connections);
        async move {
            let peer = request.remote_addr().as_socket_addr().copied();
            let busy = peer.and_then(|peer| connections.begin_request(peer));
            let response = app.call(request).await?;
            Ok(match busy {
                Some(busy) => response_body::busy_until_read(response, busy),
                None => response,
            })
        }
    })
}

/// Leads from the root to the documentation.
async fn start_page<E: Endpoint>(inner: Arc<E>, request: Request) -> poem::Result<Response> {
    if request.uri().path() == "/" {
        return Ok(Redirect::temporary("/docs").into_response());
    }
    Ok(inner.call(request).await?.into_response())
}

/// The page of the API reference, with the served document instead of the one that the framework generates.
fn reference_page(page: &str, generated: &str, served: &str) -> String {
    // It is within a script, which a closing tag would end.
    page.replacen(generated, &served.replace("</", "<\\/"), 1)
}

/// What the `type` of a problem leads to: its section of docs/errors.md.
fn error_pages() -> Vec<(&'static str, Document)> {
    let sections = include_str!("../../docs/errors.md").split("\n## ").skip(1);
    let page = |section: &'static str| {
        let slug = section.lines().next()?.trim();
        let kind = "text/plain; charset=utf-8";
        Some((slug, Document::new(kind, format!("# {}\n", section.trim_end()))))
    };
    sections.filter_map(page).collect()
}

/// The whole API with its middleware.
fn app(gateway: Arc<Gateway>) -> impl Endpoint<Output = Response> {
    let service = service();
    let limiter = DocumentLimiter::new();
    let generated = service.spec();
    let paths = ApiPaths::of(&crate::openapi::routed(&generated));
    let spec = crate::openapi::document(&generated).to_string();
    let page = reference_page(&service.swagger_ui_html(), &generated, &spec);
    let page = Document::new("text/html; charset=utf-8", page);
    let spec = Document::new("application/json", spec);
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
    let errors = error_pages().into_iter().fold(Route::new(), |route, (slug, page)| {
        route.at(format!("/{slug}"), page.endpoint(&limiter))
    });
    Route::new()
        .nest("/errors", errors)
        .at("/api/v1/asyncapi.json", events.clone().endpoint(&limiter))
        .at("/asyncapi.json", events.endpoint(&limiter))
        .at("/livez", open(false))
        .at("/readyz", open(true))
        .at("/health", open(false))
        .at("/health/ready", open(true))
        .nest("/docs", Route::new().at("/", page.clone().endpoint(&limiter)))
        .at("/openapi.json", spec.clone().endpoint(&limiter))
        .nest("/api/v1/docs", Route::new().at("/", page.endpoint(&limiter)))
        .at("/api/v1/openapi.json", spec.endpoint(&limiter))
        .nest_no_strip("/", service)
        .around(tus)
        .around(start_page)
        .around(guard)
        .around(response_middleware)
        .data(Arc::new(paths))
        .data(gateway)
        .map_to_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_shows_the_served_document() {
        let service = service();
        let generated = service.spec();
        let served = crate::openapi::document(&generated).to_string();
        let page = reference_page(&service.swagger_ui_html(), &generated, &served);
        assert!(page.contains(r#""openapi":"3.1"#) && !page.contains(&generated));
    }
}
