//! The state of the connection and of the streams, read whenever metrics are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use opentelemetry::KeyValue;
use tokio::sync::mpsc;

use super::{INSTRUMENTS, meter};
use crate::{Nats, append::Pending};

/// What this process last heard of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamState {
    pub(crate) last_sequence: u64,
    pub(crate) bytes: u64,
    pub(crate) replicas: u64,
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
    let values: [(&str, &str, &str, Value); 3] = [
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
