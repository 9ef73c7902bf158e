//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry. Hosts are no attributes: they are the tenants'.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};
use reqwest::{Method, Response, Url};
use tracing::Instrument;

use crate::{EgressError, StorageError, breaker::BreakerState, spans};

/// Boundaries of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(Instruments::new);

struct Instruments {
    requests: Histogram<f64>,
    fetched: Counter<u64>,
    operations: Histogram<f64>,
    breakers: Gauge<u64>,
}

impl Instruments {
    fn new() -> Self {
        let meter = global::meter("ffapi-storage");
        Self {
            requests: meter
                .f64_histogram("http.client.request.duration")
                .with_unit("s")
                .with_description(
                    "Time from an outgoing request to its response's headers: inputs, outputs, webhooks",
                )
                .with_boundaries(SECONDS.to_vec())
                .build(),
            fetched: meter
                .u64_counter("ffapi.fetched")
                .with_unit("By")
                .with_description("Bytes of inputs that were fetched from other hosts")
                .build(),
            operations: meter
                .f64_histogram("ffapi.storage.operation.duration")
                .with_unit("s")
                .with_description("Time of operations on stores of objects, with their repetitions")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            breakers: meter
                .u64_gauge("ffapi.storage.breaker.state")
                .with_description(
                    "Whether a store is asked: 0 if it is, 1 while one request probes it, 2 if not",
                )
                .build(),
        }
    }
}

/// Starts with nothing fetched.
pub(crate) fn prepare() {
    INSTRUMENTS.fetched.add(0, &[]);
}

/// Awaits the response to an outgoing request, and records the time until its headers.
pub(crate) async fn request(
    method: Method,
    url: &Url,
    sending: impl Future<Output = Result<Response, EgressError>>,
) -> Result<Response, EgressError> {
    let start = Instant::now();
    let name = match method {
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "GET",
    };
    let span = spans::request(name);
    let outcome = sending.instrument(span.clone()).await;
    let mut labels = vec![
        KeyValue::new("http.request.method", name),
        KeyValue::new("url.scheme", if url.scheme() == "https" { "https" } else { "http" }),
    ];
    match &outcome {
        Ok(response) => {
            let status = response.status();
            span.record("http.response.status_code", status.as_u16());
            labels.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
            if status.is_client_error() || status.is_server_error() {
                labels.push(KeyValue::new("error.type", status.as_str().to_owned()));
            }
        }
        Err(error) => {
            span.record("error.type", error_type(error));
            span.record("otel.status_code", "error");
            labels.push(KeyValue::new("error.type", error_type(error)));
        }
    }
    INSTRUMENTS.requests.record(start.elapsed().as_secs_f64(), &labels);
    outcome
}

const fn error_type(error: &EgressError) -> &'static str {
    match error {
        EgressError::Closed { .. } => "forbidden_address",
        EgressError::NoHost(_) => "no_such_host",
        EgressError::Redirects(_) => "redirects",
        EgressError::Refused { .. } => "refused",
        EgressError::TooLarge { .. } => "too_large",
        EgressError::Unreachable { .. } => "unreachable",
        EgressError::NoSpace(_) | EgressError::Disk(_) => "disk",
    }
}

/// What is done with a store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Stat,
    Read,
    Open,
    Receive,
    Stage,
    Publish,
    Move,
    Remove,
    Sign,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Read => "read",
            Self::Open => "open",
            Self::Receive => "receive",
            Self::Stage => "stage",
            Self::Publish => "publish",
            Self::Move => "move",
            Self::Remove => "remove",
            Self::Sign => "sign",
        }
    }
}

/// How an operation on a store ended.
pub(crate) const fn outcome(failure: Option<&StorageError>) -> &'static str {
    match failure {
        None => "ok",
        Some(StorageError::NotFound(_)) => "not_found",
        Some(StorageError::Exists(_) | StorageError::Blocked(_)) => "exists",
        Some(StorageError::NameTooLong { .. }) => "name_too_long",
        Some(StorageError::Denied(_)) => "denied",
        Some(StorageError::Interrupted(_) | StorageError::TooLarge { .. }) => "interrupted",
        Some(StorageError::Unavailable(_)) => "unavailable",
        Some(
            StorageError::Replaced(_) | StorageError::NoStore { .. } | StorageError::Config(_),
        ) => "refused",
    }
}

/// Records an operation on a store.
pub(crate) fn performed(
    store: &str,
    operation: Operation,
    took: Duration,
    failure: Option<&StorageError>,
) {
    let labels = [
        KeyValue::new("store", store.to_owned()),
        KeyValue::new("operation", operation.name()),
        KeyValue::new("outcome", outcome(failure)),
    ];
    INSTRUMENTS.operations.record(took.as_secs_f64(), &labels);
}

/// Shows the state of a store's circuit breaker.
pub(crate) fn breaker(store: &str, state: BreakerState) {
    INSTRUMENTS.breakers.record(state as u64, &[KeyValue::new("store", store.to_owned())]);
}

pub(crate) fn fetched(bytes: u64) {
    INSTRUMENTS.fetched.add(bytes, &[]);
}
