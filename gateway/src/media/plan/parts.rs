//! What several plans consist of.

use ffapi_domain::media::{Rational, Source, Window};
use poem_openapi::Object;

use crate::media::value::micros_as_seconds;

/// A stream of an input.
#[derive(Debug, Object)]
#[oai(rename = "PlanSource")]
pub(crate) struct SourceBody {
    /// Index of the input; 0 is the job's own.
    input: usize,
    /// Index of the stream in the input.
    stream: u32,
}

/// A part of the duration.
#[derive(Debug, Object)]
#[oai(rename = "PlanWindow", skip_serializing_if_is_none)]
pub(crate) struct WindowBody {
    /// Seconds, inclusive.
    start: f64,
    /// Seconds, exclusive; the rest if absent.
    end: Option<f64>,
}

/// A ratio of integers; `den` is 0 if it is unknown.
#[derive(Debug, Object)]
#[oai(rename = "PlanRatio")]
pub(crate) struct RatioBody {
    /// Numerator.
    num: u32,
    /// Denominator.
    den: u32,
}

impl From<Source> for SourceBody {
    fn from(source: Source) -> Self {
        Self { input: source.input, stream: source.stream }
    }
}

impl From<Window> for WindowBody {
    fn from(window: Window) -> Self {
        Self { start: micros_as_seconds(window.start), end: window.end.map(micros_as_seconds) }
    }
}

impl From<Rational> for RatioBody {
    fn from(Rational { num, den }: Rational) -> Self {
        Self { num, den }
    }
}
