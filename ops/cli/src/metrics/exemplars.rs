//! Exemplars: of each bucket of a histogram, the latest value that was recorded within a sampled trace, and
//! that trace. Neither the SDK of OpenTelemetry for Rust nor its exporter to Prometheus has them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use ffapi_nats::trace;
use opentelemetry::{
    KeyValue,
    metrics::SyncInstrument,
    trace::{SpanId, TraceId},
};

/// The labels of a series, as Prometheus sees them.
pub(super) type Labels = BTreeMap<String, String>;

/// The exemplars of all histograms.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    /// By the sanitized name of the instrument, which lacks the unit of the family's name.
    histograms: Mutex<HashMap<String, Arc<Buckets>>>,
}

/// The exemplars of one histogram.
#[derive(Debug)]
struct Buckets {
    /// The upper bounds, which are inclusive; a last bucket has none.
    bounds: Vec<f64>,
    series: Mutex<HashMap<Labels, Vec<Option<Exemplar>>>>,
}

/// A value, and the span that was current when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) value: f64,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// When it was recorded, in seconds since the epoch.
    pub(super) at: f64,
}

impl Exemplars {
    /// The exemplars of one series, a bucket each, the one without a bound last; none if there are none.
    pub(super) fn of(&self, family: &str, labels: &Labels) -> Option<Vec<Option<Exemplar>>> {
        let histograms = lock(&self.histograms);
        let without_unit = || family.rsplit_once('_').map(|(name, _)| name);
        let buckets =
            histograms.get(family).or_else(|| histograms.get(without_unit()?)).map(Arc::clone)?;
        drop(histograms);
        let series = lock(&buckets.series);
        series.get(labels).cloned()
    }

    /// A histogram that keeps exemplars of what it passes on to `inner`.
    pub(super) fn observed<T>(
        &self,
        name: &str,
        bounds: Vec<f64>,
        inner: opentelemetry::metrics::Histogram<T>,
    ) -> Observed<T> {
        let buckets = Buckets { bounds, series: Mutex::default() };
        // The same instrument may be made twice: both record the same series.
        let mut histograms = lock(&self.histograms);
        let buckets = histograms.entry(sanitized(name)).or_insert_with(|| Arc::new(buckets));
        Observed { inner, buckets: Arc::clone(buckets) }
    }
}

/// A histogram that keeps exemplars.
pub(super) struct Observed<T> {
    inner: opentelemetry::metrics::Histogram<T>,
    buckets: Arc<Buckets>,
}

/// A type that histograms record.
pub(super) trait Measured: Copy + Send + Sync + 'static {
    fn as_f64(self) -> f64;
}

impl Measured for f64 {
    fn as_f64(self) -> f64 {
        self
    }
}

impl Measured for u64 {
    #[expect(clippy::cast_precision_loss, reason = "an example of a value")]
    fn as_f64(self) -> f64 {
        self as f64
    }
}

impl<T: Measured> SyncInstrument<T> for Observed<T> {
    fn measure(&self, value: T, attributes: &[KeyValue]) {
        self.inner.record(value, attributes);
        if let Some(span) = trace::exported() {
            let (trace, span) = (span.trace_id(), span.span_id());
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let exemplar = Exemplar { value: value.as_f64(), trace, span, at: at.as_secs_f64() };
            self.buckets.keep(exemplar, attributes);
        }
    }
}

impl Buckets {
    fn keep(&self, exemplar: Exemplar, attributes: &[KeyValue]) {
        let labels = attributes.iter().map(|attribute| {
            (sanitized(attribute.key.as_str()), attribute.value.as_str().into_owned())
        });
        let bucket = self.bounds.partition_point(|bound| *bound < exemplar.value);
        let mut series = lock(&self.series);
        let kept =
            series.entry(labels.collect()).or_insert_with(|| vec![None; self.bounds.len() + 1]);
        if let Some(kept) = kept.get_mut(bucket) {
            *kept = Some(exemplar);
        }
    }
}

/// A name in the characters of Prometheus, as its exporter writes it.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A panic leaves nothing half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// A histogram that keeps exemplars, and what it kept.
    fn histogram() -> (Exemplars, impl Fn(f64)) {
        let exemplars = Exemplars::default();
        let inner = opentelemetry::global::meter("test").f64_histogram("a.b").build();
        let observed = exemplars.observed("a.b", vec![1.0, 2.0], inner);
        (exemplars, move |value| observed.measure(value, &[KeyValue::new("http.route", "/jobs")]))
    }

    fn labels() -> Labels {
        Labels::from([("http_route".to_owned(), "/jobs".to_owned())])
    }

    /// Records each value in a trace of its own, which this sampler decides about.
    fn record_in_traces(sampler: Sampler, values: &[f64], record: impl Fn(f64)) -> Vec<TraceId> {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let traces = values.iter().map(|value| {
                tracing::info_span!("request").in_scope(|| {
                    record(*value);
                    trace::exported().map_or(TraceId::INVALID, |span| span.trace_id())
                })
            });
            traces.collect()
        })
    }

    #[test]
    fn each_bucket_keeps_the_latest_value_of_a_trace() {
        let (exemplars, record) = histogram();
        let traces = record_in_traces(Sampler::AlwaysOn, &[1.5, 2.0, 9.0], &record);
        record(0.5);
        let kept = exemplars.of("a_b_seconds", &labels()).unwrap();
        let found = kept.iter().map(|kept| kept.map(|kept| (kept.trace, kept.value)));
        let expected = [None, Some((traces[1], 2.0)), Some((traces[2], 9.0))];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(exemplars.of("a_b", &labels()).map(|kept| kept.len()), Some(3));
        assert_eq!(exemplars.of("a_b_seconds", &Labels::new()), None);
    }

    #[test]
    fn a_trace_that_is_not_sampled_leaves_no_exemplar() {
        let (exemplars, record) = histogram();
        record_in_traces(Sampler::AlwaysOff, &[1.5], &record);
        assert_eq!(exemplars.of("a_b_seconds", &labels()), None);
    }
}
