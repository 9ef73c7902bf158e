//! Trace context: which span caused something, in this process or another one. Spans are made with
//! `tracing`; only this module and the exporter know that they become OpenTelemetry's.
//!
//! A span that identifies work (a request, an attempt, a delivery) has the level `ERROR`, so that its
//! ids are on every log line. All other spans have the level `DEBUG`, and exist only where they are
//! exported.

mod context;
mod messaging;

use std::future::Future;

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt},
};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use self::context::TraceContext;
pub use self::messaging::{TASK_TEMPLATE, batch_span};
pub(crate) use self::messaging::{TRACEPARENT_HEADER, append_span, publish_span, settle_span};

tokio::task_local! {
    /// The context of the work that is done, where no span is exported.
    static AMBIENT: TraceContext;
}

/// Makes a span that has not been entered the child of the cause; returns the span's own context, or
/// the cause if the span is not exported.
pub fn begin(span: &Span, cause: Option<TraceContext>) -> Option<TraceContext> {
    if let Some(cause) = cause {
        let parent = Context::new().with_remote_span_context(cause.into());
        // It fails where spans are not exported.
        let _ = span.set_parent(parent);
    }
    own(span).or(cause)
}

/// Performs work in a span that identifies it, as a child of the cause. The field `trace_id` of the
/// span becomes the id of the trace: a new one without a cause, whether or not it is exported.
pub async fn within<F: Future>(span: Span, cause: Option<TraceContext>, work: F) -> F::Output {
    let context = begin(&span, cause).unwrap_or_else(TraceContext::unsampled);
    span.record("trace_id", context.trace_id());
    AMBIENT.scope(context, work.instrument(span)).await
}

/// Performs work in a span that is a child of the current one; of the cause if there is none.
pub async fn beneath<F: Future>(span: Span, cause: Option<TraceContext>, work: F) -> F::Output {
    if own(&Span::current()).is_none() {
        begin(&span, cause);
    }
    work.instrument(span).await
}

/// Links a span to another one that it follows from, across a queue.
pub fn link(span: &Span, to: Option<TraceContext>) {
    if let Some(to) = to {
        span.add_link(to.into());
    }
}

/// The context of the current work; none if nothing is known about it.
pub fn current() -> Option<TraceContext> {
    own(&Span::current()).or_else(|| AMBIENT.try_with(|ambient| *ambient).ok())
}

/// The context of the current span; none unless it is exported.
pub fn exported() -> Option<SpanContext> {
    own(&Span::current()).map(SpanContext::from).filter(SpanContext::is_sampled)
}

/// The context of a span; none if it is not exported.
fn own(span: &Span) -> Option<TraceContext> {
    TraceContext::of(span.context().span().span_context())
}
