//! Field values as clients send them.

use ffapi_domain::{
    Personal,
    location::Location,
    media::{Metric, Micros},
};
use poem_openapi::types::Any;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    parser_messages::plain,
    problem::{Kind, Problem},
};

/// Parses a time: seconds, or `[HH:]MM:SS.mmm`.
pub(crate) fn micros(value: &Value, pointer: &str) -> Result<Micros, Problem> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => clock(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match seconds {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within a week"
        )]
        Some(seconds) if (0.0..=604_800.0).contains(&seconds) => {
            Ok((seconds * 1_000_000.0).round() as Micros)
        }
        _ => Err(Problem::field(
            Kind::Invalid,
            pointer,
            "a time is seconds like 12.5, or text like \"01:02:03.500\"",
        )),
    }
}

fn clock(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty() || part.starts_with(['+', '-'])) {
        return None;
    }
    parts.iter().try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// As `micros`, for a field that may be absent.
pub(crate) fn time(value: Option<&Any<Value>>, pointer: &str) -> Result<Option<Micros>, Problem> {
    value.map(|value| micros(&value.0, pointer)).transpose()
}

/// A time in seconds.
#[expect(clippy::cast_precision_loss, reason = "media times are far below 2^52 microseconds")]
pub(crate) fn micros_as_seconds(micros: Micros) -> f64 {
    micros as f64 / 1_000_000.0
}

/// A time of a request as it is shown: in seconds.
pub(crate) fn seconds(micros: Micros) -> Any<Value> {
    Any(json!(micros_as_seconds(micros)))
}

/// A bitrate as it is shown: in bits per second.
pub(crate) fn bits(bits_per_second: u64) -> Any<Value> {
    Any(json!(bits_per_second))
}

/// A frame rate as it is shown: in frames per second.
pub(crate) fn fps(millifps: u32) -> f64 {
    f64::from(millifps) / 1000.0
}

/// The name in JSON of a domain enum's value.
pub(crate) fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        Ok(_) | Err(_) => String::new(),
    }
}

/// Parses one of a domain enum's names; the error lists them.
pub(crate) fn known<T: DeserializeOwned>(text: String, pointer: &str) -> Result<T, Problem> {
    serde_json::from_value(Value::String(text))
        .map_err(|error| Problem::field(Kind::Invalid, pointer, plain(&error.to_string())))
}

/// As `known`, for a field that may be absent.
pub(crate) fn word<T: DeserializeOwned>(
    text: Option<String>,
    pointer: &str,
) -> Result<Option<T>, Problem> {
    text.map(|text| known(text, pointer)).transpose()
}

/// Parses a bitrate: bits per second, or text like `2500k` and `2.5M`.
pub(crate) fn bitrate(value: Option<Any<Value>>, pointer: &str) -> Result<Option<u64>, Problem> {
    let Some(Any(value)) = value else { return Ok(None) };
    let bits = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let (digits, unit) = match text.strip_suffix(['k', 'K']) {
                Some(digits) => (digits, 1_000.0),
                None => text.strip_suffix('M').map_or((text.as_str(), 1.0), |d| (d, 1_000_000.0)),
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "negative and absurd values become ones that the plan rejects"
            )]
            digits.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| (n * unit).max(0.0) as u64)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let bits = bits.ok_or_else(|| {
        let detail =
            "a bitrate is bits per second like 2500000, or text like \"2500k\" or \"2.5M\"";
        Problem::field(Kind::Invalid, pointer, detail)
    })?;
    Ok(Some(bits))
}

/// A frame rate in thousandths of a frame per second.
pub(crate) fn millifps(fps: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; the plan rejects what is out of range"
    )]
    let millis = (fps * 1000.0).clamp(0.0, 1_000_000.0).round() as u32;
    millis
}

fn location(text: &str, pointer: &str) -> Result<Location, Problem> {
    text.parse().map_err(|error: ffapi_domain::location::BadLocation| {
        Problem::field(Kind::Invalid, pointer, error.to_string())
    })
}

/// Parses an input location.
pub(crate) fn input(text: &str, pointer: &str) -> Result<Personal<Location>, Problem> {
    location(text, pointer).map(Personal::Clear)
}

/// Segments of an output's path: each is a folder that takes space, and time to be made durable.
const MAX_SEGMENTS: usize = 16;

/// Parses an output location: a path other than the input, never an upload.
pub(crate) fn output(
    text: &str,
    input: &Personal<Location>,
) -> Result<Personal<Location>, Problem> {
    let refuse = |detail: &str| Err(Problem::field(Kind::Invalid, "#/output", detail));
    let output = location(text, "#/output")?;
    if !matches!(output, Location::Object { .. }) {
        return refuse("an output is a path like `out/video.mp4`, not an upload or a web address");
    }
    if matches!(&output, Location::Object { path, .. } if path.split('/').count() > MAX_SEGMENTS) {
        return refuse("an output is in at most 15 folders within each other");
    }
    if input.as_ref() == Some(&output) {
        return refuse("the output would overwrite the input; choose another name");
    }
    Ok(Personal::Clear(output))
}

/// Parses the names in `/metrics`.
pub(crate) fn metrics<'a>(named: impl Iterator<Item = &'a String>) -> Result<Vec<Metric>, Problem> {
    let known = |(n, text): (usize, &String)| known(text.clone(), &format!("#/metrics/{n}"));
    named.enumerate().map(known).collect()
}
