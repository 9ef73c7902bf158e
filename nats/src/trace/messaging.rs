//! Spans of the messages of the log and the work queue, as the semantic conventions name them. Their
//! names have the template of the subject; the subject itself has ids.

use tracing::{Span, debug_span, field::Empty};

use crate::Log;

/// The header of a message that carries the context of the span that published it.
pub(crate) const TRACEPARENT_HEADER: &str = "traceparent";

/// The append of one decision, until its outcome is known.
pub(crate) fn append_span(subject: &str) -> Span {
    debug_span!(
        "append",
        otel.name = "publish ev.{aggregate}.{tenant}.{id}",
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = "EVENTS",
        messaging.destination.template = "ev.{aggregate}.{tenant}.{id}",
        ffapi.subject = subject,
        ffapi.log.outcome = Empty,
        ffapi.log.sequence = Empty,
    )
}

/// The processing of a batch of messages of a stream by a consumer: a trace of its own, since the
/// messages belong to many.
pub fn batch_span(log: &Log, consumer: &str, messages: usize) -> Span {
    let stream = log.stream();
    debug_span!(
        parent: None,
        "batch",
        otel.name = %format_args!("process {stream}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = stream,
        messaging.consumer.group.name = consumer,
        messaging.batch.message_count = messages,
    )
}

/// The template of a task's subject.
macro_rules! task_template {
    () => {
        "work.{pool}.{tenant}.{job}.{attempt}"
    };
}

/// The template of a task's subject, as spans name it.
pub const TASK_TEMPLATE: &str = task_template!();

/// The offer of a task to the work queue.
pub(crate) fn publish_span(subject: &str) -> Span {
    debug_span!(
        parent: None,
        "publish",
        otel.name = concat!("publish ", task_template!()),
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = "WORK",
        messaging.destination.template = task_template!(),
        ffapi.subject = subject,
    )
}

/// The acknowledgement of a task.
pub(crate) fn settle_span() -> Span {
    debug_span!(
        "ack",
        otel.name = concat!("ack ", task_template!()),
        otel.kind = "client",
        messaging.system = "nats",
        messaging.operation.name = "ack",
        messaging.operation.type = "settle",
        messaging.destination.name = "WORK",
        messaging.destination.template = task_template!(),
    )
}
