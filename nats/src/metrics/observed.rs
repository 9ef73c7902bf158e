//! The state of the connection and of the streams, read whenever metrics are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use opentelemetry::KeyValue;
use tokio::sync::mpsc;

use super::{INSTRUMENTS, meter};
use crate::{Nats, append::Pending};

/// The state of a stream, as its server reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// The newest sequence; 0 if it is empty.
    pub last_sequence: u64,
    /// Its size on disk, of one replica.
    pub bytes: u64,
    /// Servers that store it.
    pub replicas: u64,
    /// Those of them that have all of it. Fewer than [`StreamState::replicas`] survive fewer faults.
    pub current_replicas: u64,
}

static STREAMS: Mutex<BTreeMap<&'static str, StreamState>> = Mutex::new(BTreeMap::new());

/// A number of a stream.
type Value = fn(&StreamState) -> u64;

/// Records what a stream's server said about it.
pub(crate) fn stream_state(stream: &'static str, state: StreamState) {
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, state);
}

/// Starts with every counter at zero, and reads the state of this connection and its queue whenever
/// metrics are.
pub(crate) fn observe(nats: &Nats, queue: &mpsc::Sender<Pending>) {
    INSTRUMENTS.conflicts.add(0, &[]);
    INSTRUMENTS.resolved.add(0, &[]);
    INSTRUMENTS.disconnections.add(0, &[]);
    INSTRUMENTS.slow_consumers.add(0, &[]);
    let meter = meter();
    let observed = nats.clone();
    meter
        .u64_observable_gauge("ffapi.nats.connected")
        .with_description("1 while this process is connected to NATS, else 0")
        .with_callback(move |observer| {
            observer.observe(observed.connected_for().is_some().into(), &[]);
        })
        .build();
    let version = [KeyValue::new("version", nats.server_version())];
    meter
        .u64_observable_gauge("ffapi.nats.server.info")
        .with_description("Always 1, with the version of the server at the start of this process")
        .with_callback(move |observer| observer.observe(1, &version))
        .build();
    // Weak: the task that appends ends with the last handle of the log.
    let queue = queue.downgrade();
    meter
        .u64_observable_gauge("ffapi.log.append_queue")
        .with_description("Decisions of this process that wait to be appended")
        .with_callback(move |observer| {
            if let Some(queue) = queue.upgrade() {
                let waiting = queue.max_capacity().saturating_sub(queue.capacity());
                observer.observe(waiting as u64, &[]);
            }
        })
        .build();
    let values: [(&str, &str, &str, Value); 4] = [
        (
            "ffapi.stream.last_sequence",
            "",
            "The newest sequence of a stream, as this process last heard",
            |state| state.last_sequence,
        ),
        ("ffapi.stream.size", "By", "Size of a stream on disk, of one replica", |state| {
            state.bytes
        }),
        ("ffapi.stream.replicas", "", "Servers that store a stream", |state| state.replicas),
        (
            "ffapi.stream.current_replicas",
            "",
            "Servers that store a stream and have all of it, as this process last heard",
            |state| state.current_replicas,
        ),
    ];
    for (name, unit, description, value) in values {
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                for (stream, state) in &*STREAMS.lock().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(value(state), &[KeyValue::new("stream", *stream)]);
                }
            })
            .build();
    }
}
