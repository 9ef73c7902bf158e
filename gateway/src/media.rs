//! Media requests as users write them, and how they become the domain's.

use domain::{
    Personal,
    location::Location,
    media::{
        AudioCodec, Container, Convert, Micros, Operation, Overwrite, Preset, Scale, ScaleMode,
        Transcode, Trim, VideoCodec,
    },
};
use poem_openapi::{Enum, Object, types::Any};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    body::parse,
    problem::{Kind, Problem},
};

/// Keeps a part: `start` and either `duration` or `end`, in seconds or `[HH:]MM:SS.mmm`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrimBody {
    start: Option<Any<Value>>,
    duration: Option<Any<Value>>,
    end: Option<Any<Value>>,
}

/// Changes the picture's size; one missing side follows the aspect ratio.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleBody {
    width: Option<u32>,
    height: Option<u32>,
    mode: Option<ScaleModeWord>,
}

/// How a picture goes into a given box.
#[derive(Debug, Clone, Copy, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "ScaleMode")]
pub(crate) enum ScaleModeWord {
    Fit,
    Fill,
    Stretch,
}

/// Chooses codecs and their settings; what is absent is inferred from the output name.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct TranscodeBody {
    video_codec: Option<String>,
    audio_codec: Option<String>,
    crf: Option<u8>,
    video_bitrate: Option<Any<Value>>,
    audio_bitrate: Option<Any<Value>>,
    preset: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    keyframe_interval: Option<u32>,
    container: Option<String>,
}

const KNOWN: &str = "`trim`, `scale` and `transcode`";

/// Reads one operation; a refusal points at its field.
fn operation(json: &Value, index: usize) -> Result<Operation, Problem> {
    let prefix = format!("/operations/{index}");
    let invalid = |field: &str, detail: String| {
        Problem::field(Kind::Invalid, &format!("#{prefix}{field}"), detail)
    };
    let Some(fields) = json.as_object() else {
        return Err(invalid("", format!("an operation is an object with `type`: {KNOWN}")));
    };
    let kind = fields
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("/type", format!("an operation needs a `type`: {KNOWN}")))?;
    let mut rest = fields.clone();
    rest.remove("type");
    let rest = Value::Object(rest);
    match kind {
        "trim" => trim(parse(rest, &prefix)?, &prefix).map(Operation::Trim),
        "scale" => {
            let ScaleBody { width, height, mode } = parse(rest, &prefix)?;
            let mode = match mode {
                None | Some(ScaleModeWord::Fit) => ScaleMode::Fit,
                Some(ScaleModeWord::Fill) => ScaleMode::Fill,
                Some(ScaleModeWord::Stretch) => ScaleMode::Stretch,
            };
            Ok(Operation::Scale(Scale { width, height, mode }))
        }
        "transcode" => transcode(parse(rest, &prefix)?, &prefix).map(Operation::Transcode),
        other => Err(invalid("/type", format!("`{other}` is not available; {KNOWN} are"))),
    }
}

fn trim(body: TrimBody, prefix: &str) -> Result<Trim, Problem> {
    let time = |value: &Option<Any<Value>>, field: &str| {
        value.as_ref().map(|value| micros(&value.0, &format!("#{prefix}/{field}"))).transpose()
    };
    let start = time(&body.start, "start")?.unwrap_or(0);
    let end = match (time(&body.duration, "duration")?, time(&body.end, "end")?) {
        (Some(_), Some(_)) => {
            return Err(Problem::field(
                Kind::Invalid,
                &format!("#{prefix}/end"),
                "give `duration` or `end`, not both",
            ));
        }
        (Some(duration), None) => Some(start.saturating_add(duration)),
        (None, end) => end,
    };
    Ok(Trim { start, end })
}

/// Seconds, or `[HH:]MM:SS.mmm`.
fn micros(value: &Value, pointer: &str) -> Result<Micros, Problem> {
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

fn transcode(body: TranscodeBody, prefix: &str) -> Result<Transcode, Problem> {
    let at = |field: &str| format!("#{prefix}/{field}");
    let millifps = body.fps.map(|fps| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped; the plan refuses what is out of range"
        )]
        let millis = (fps * 1000.0).clamp(0.0, 1_000_000.0).round() as u32;
        millis
    });
    Ok(Transcode {
        video_codec: word::<VideoCodec>(body.video_codec, &at("video_codec"))?,
        audio_codec: word::<AudioCodec>(body.audio_codec, &at("audio_codec"))?,
        crf: body.crf,
        video_bitrate: bitrate(body.video_bitrate, &at("video_bitrate"))?,
        audio_bitrate: bitrate(body.audio_bitrate, &at("audio_bitrate"))?,
        preset: word::<Preset>(body.preset, &at("preset"))?,
        width: body.width,
        height: body.height,
        millifps,
        keyframe_interval: body.keyframe_interval,
        container: word::<Container>(body.container, &at("container"))?,
    })
}

/// One of the domain's words; the refusal lists them.
fn word<T: DeserializeOwned>(text: Option<String>, pointer: &str) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    serde_json::from_value(Value::String(text))
        .map(Some)
        .map_err(|error| Problem::field(Kind::Invalid, pointer, error.to_string()))
}

/// Bits per second, or text like `2500k` and `2.5M`.
fn bitrate(value: Option<Any<Value>>, pointer: &str) -> Result<Option<u64>, Problem> {
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
                reason = "negative and absurd values become ones that the plan refuses"
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

fn location(text: &str, pointer: &str) -> Result<Location, Problem> {
    text.parse().map_err(|error: domain::location::BadLocation| {
        Problem::field(Kind::Invalid, pointer, error.to_string())
    })
}

/// Builds the domain's request from its parts.
pub(crate) fn convert(
    input: &str,
    output: &str,
    operations: &[Any<Value>],
    overwrite: Option<OverwriteWord>,
) -> Result<Convert, Problem> {
    let output_at = location(output, "#/output")?;
    if matches!(output_at, Location::Upload(_)) {
        let detail = "an output is a path like `out/film.mp4`, not an upload";
        return Err(Problem::field(Kind::Invalid, "#/output", detail));
    }
    let input_at = location(input, "#/input")?;
    if input_at == output_at {
        let detail = "the output would overwrite the input; name another one";
        return Err(Problem::field(Kind::Invalid, "#/output", detail));
    }
    if operations.len() > 50 {
        let detail = "a job has at most 50 operations";
        return Err(Problem::field(Kind::Invalid, "#/operations", detail));
    }
    let operations: Result<Vec<Operation>, Problem> =
        operations.iter().enumerate().map(|(index, json)| operation(&json.0, index)).collect();
    Ok(Convert {
        input: Personal::Clear(input_at),
        output: Personal::Clear(output_at),
        operations: operations?,
        overwrite: match overwrite {
            None | Some(OverwriteWord::Fail) => Overwrite::Fail,
            Some(OverwriteWord::Replace) => Overwrite::Replace,
        },
    })
}

/// If the output name is taken.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "Overwrite")]
pub(crate) enum OverwriteWord {
    Fail,
    Replace,
}

/// An operation as users write it, for showing a job.
pub(crate) fn show(operation: &Operation) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let seconds = |micros: Micros| micros as f64 / 1_000_000.0;
    let (kind, mut fields) = match operation {
        Operation::Trim(trim) => {
            ("trim", json!({ "start": seconds(trim.start), "end": trim.end.map(seconds) }))
        }
        Operation::Scale(scale) => ("scale", json!(scale)),
        Operation::Transcode(transcode) => {
            let mut fields = json!(transcode);
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("millifps");
                fields.insert(
                    "fps".to_owned(),
                    json!(transcode.millifps.map(|n| f64::from(n) / 1000.0)),
                );
            }
            ("transcode", fields)
        }
    };
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        fields.insert("type".to_owned(), json!(kind));
    }
    fields
}
