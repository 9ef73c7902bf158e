//! A provider whose histograms keep exemplars; all other instruments are the SDK's.

use std::sync::Arc;

use opentelemetry::{
    InstrumentationScope,
    metrics::{
        AsyncInstrumentBuilder, Counter, Gauge, Histogram, HistogramBuilder, InstrumentBuilder,
        InstrumentProvider, Meter, MeterProvider, ObservableCounter, ObservableGauge,
        ObservableUpDownCounter, UpDownCounter,
    },
};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::exemplars::Exemplars;

pub(super) struct WithExemplars {
    pub(super) inner: SdkMeterProvider,
    pub(super) exemplars: Arc<Exemplars>,
}

impl MeterProvider for WithExemplars {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        let inner = self.inner.meter_with_scope(scope);
        Meter::new(Arc::new(Instruments { inner, exemplars: Arc::clone(&self.exemplars) }))
    }
}

struct Instruments {
    inner: Meter,
    exemplars: Arc<Exemplars>,
}

macro_rules! passed_on {
    ($($method:ident: $instrument:ty;)*) => {$(
        fn $method(&self, wanted: InstrumentBuilder<'_, $instrument>) -> $instrument {
            let mut builder = self.inner.$method(wanted.name);
            builder.description = wanted.description;
            builder.unit = wanted.unit;
            builder.build()
        }
    )*};
}

macro_rules! observed_passed_on {
    ($($method:ident: $instrument:ident<$value:ty>;)*) => {$(
        fn $method(
            &self,
            wanted: AsyncInstrumentBuilder<'_, $instrument<$value>, $value>,
        ) -> $instrument<$value> {
            let mut builder = self.inner.$method(wanted.name);
            builder.description = wanted.description;
            builder.unit = wanted.unit;
            builder.callbacks = wanted.callbacks;
            builder.build()
        }
    )*};
}

macro_rules! with_exemplars {
    ($($method:ident: $value:ty;)*) => {$(
        fn $method(&self, wanted: HistogramBuilder<'_, Histogram<$value>>) -> Histogram<$value> {
            let mut builder = self.inner.$method(wanted.name.clone());
            builder.description = wanted.description;
            builder.unit = wanted.unit;
            builder.boundaries.clone_from(&wanted.boundaries);
            let inner = builder.build();
            // The SDK's default boundaries are nobody's: without boundaries no exemplars are kept.
            match wanted.boundaries {
                None => inner,
                Some(bounds) => {
                    let observed = self.exemplars.observed(&wanted.name, bounds, inner);
                    Histogram::new(Arc::new(observed))
                }
            }
        }
    )*};
}

impl InstrumentProvider for Instruments {
    passed_on! {
        u64_counter: Counter<u64>;
        f64_counter: Counter<f64>;
        i64_up_down_counter: UpDownCounter<i64>;
        f64_up_down_counter: UpDownCounter<f64>;
        u64_gauge: Gauge<u64>;
        f64_gauge: Gauge<f64>;
        i64_gauge: Gauge<i64>;
    }

    observed_passed_on! {
        u64_observable_counter: ObservableCounter<u64>;
        f64_observable_counter: ObservableCounter<f64>;
        i64_observable_up_down_counter: ObservableUpDownCounter<i64>;
        f64_observable_up_down_counter: ObservableUpDownCounter<f64>;
        u64_observable_gauge: ObservableGauge<u64>;
        i64_observable_gauge: ObservableGauge<i64>;
        f64_observable_gauge: ObservableGauge<f64>;
    }

    with_exemplars! {
        f64_histogram: f64;
        u64_histogram: u64;
    }
}
