//! `GET /metrics`, on an address of its own: it needs no key, and is not reachable where the API is.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TEXT_FORMAT, TextEncoder};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{exemplars::Exemplars, open_metrics};

/// Connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as without free file descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) registry: Registry,
    pub(super) exemplars: Arc<Exemplars>,
}

/// Serves metrics until the task is aborted.
pub(super) async fn serve(listener: TcpListener, shown: Shown) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(RETRY_INTERVAL).await;
                continue;
            }
        };
        let shown = shown.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, shown.clone()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // A client between two scrapes takes no place.
                .keep_alive(false)
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection for metrics ended");
            }
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shown: Shown,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "see /metrics\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"));
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_open = accept.is_some_and(open_metrics::is_accepted);
    let format = if is_open { Format::OpenMetrics } else { Format::Text };
    // Instruments that are read when asked for read files of /proc.
    let encoded = tokio::task::spawn_blocking(move || encode(&shown, format)).await;
    Ok(match encoded {
        Ok(Some((format, body))) => {
            let mut response = Response::new(Full::new(body.into()));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(format));
            response
        }
        Ok(None) | Err(_) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n")
        }
    })
}

/// A format of the metrics.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// The text format of Prometheus.
    Text,
    OpenMetrics,
}

/// The metrics, and the media type of their format.
fn encode(shown: &Shown, format: Format) -> Option<(&'static str, Vec<u8>)> {
    let families = shown.registry.gather();
    if matches!(format, Format::OpenMetrics) {
        let text = open_metrics::encode(&families, &shown.exemplars);
        return Some((open_metrics::FORMAT, text.into_bytes()));
    }
    let mut body = Vec::new();
    let encoded = TextEncoder::new().encode(&families, &mut body);
    if let Err(error) = encoded {
        tracing::warn!(%error, "the metrics cannot be encoded");
        return None;
    }
    Some((TEXT_FORMAT, body))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
