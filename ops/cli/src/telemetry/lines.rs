use std::{
    io::Write,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use ffapi_domain::Timestamp;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::WeakDispatch,
    span::{Attributes, Id},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    logs::LogExport,
    record::{Fields, Record, Visitor},
};

/// Fields of spans that lines have.
const IDS: [&str; 6] = ["request_id", "job", "attempt", "webhook", "event", "trace_id"];

/// Writes a line to stderr for each event, and exports it if somebody wants that.
pub(super) struct Lines {
    json: bool,
    export: Option<LogExport>,
    /// The subscriber that this is a part of.
    dispatch: OnceLock<WeakDispatch>,
}

/// The ids of one span.
struct Ids(Fields);

impl Lines {
    pub(super) const fn new(json: bool, export: Option<LogExport>) -> Self {
        Self { json, export, dispatch: OnceLock::new() }
    }

    /// The exported span that an event is in.
    fn span_context(&self, id: &Id) -> Option<SpanContext> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = get_otel_context(id, &dispatch)?;
        let span = context.span().span_context().clone();
        span.is_valid().then_some(span)
    }
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut ids = Fields::new();
        attributes.record(&mut Visitor(&mut ids));
        ids.retain(|name, _| IDS.contains(&name.as_str()));
        span.extensions_mut().insert(Ids(ids));
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Ids(ids)) = extensions.get_mut::<Ids>() else { return };
        values.record(&mut Visitor(ids));
        ids.retain(|name, _| IDS.contains(&name.as_str()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut ids = Fields::new();
        // The innermost span comes first.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Ids(own)) = span.extensions().get::<Ids>() {
                for (name, value) in own {
                    ids.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        let now = SystemTime::now();
        let record = Record::of(event, with_microseconds(now), ids);
        if let Some(export) = &self.export {
            let span = context.event_span(event).and_then(|span| self.span_context(&span.id()));
            export.emit(&record, now, span);
        }
        let mut line = if self.json { record.json() } else { record.text() };
        line.push('\n');
        // There is nowhere to report that stderr is closed.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// A time as RFC 3339, which a [`Timestamp`] writes with milliseconds.
fn with_microseconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let milliseconds = milliseconds.to_string();
    format!("{}{:03}Z", milliseconds.trim_end_matches('Z'), since.subsec_micros() % 1_000)
}
