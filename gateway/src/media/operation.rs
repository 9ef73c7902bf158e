//! Operations as clients send them: a union with the discriminator `type`.

mod audio;
mod overlay;
mod time;
mod transcode;
mod video;

use std::borrow::Cow;

use ffapi_domain::media::Operation;
use poem_openapi::{
    Union,
    registry::{MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Deserialize;
use serde_json::Value;

use self::{
    audio::AudioBody,
    overlay::{SubtitlesBody, TextBody, WatermarkBody},
    time::{ConcatBody, SpeedBody, TracksBody, TrimBody},
    transcode::TranscodeBody,
    video::{CropBody, FilterBody, FlipBody, FpsBody, PadBody, RotateBody, ScaleBody},
};
use super::InputLocation;
use crate::{
    body::{every_error, parse},
    problem::{Kind, Problem},
};

/// One operation; operations are applied in order.
#[derive(Debug, Union)]
#[oai(rename = "Operation", discriminator_name = "type", one_of)]
pub(crate) enum OperationBody {
    #[oai(mapping = "trim")]
    Trim(TrimBody),
    #[oai(mapping = "scale")]
    Scale(ScaleBody),
    #[oai(mapping = "crop")]
    Crop(CropBody),
    #[oai(mapping = "pad")]
    Pad(PadBody),
    #[oai(mapping = "rotate")]
    Rotate(RotateBody),
    #[oai(mapping = "flip")]
    Flip(FlipBody),
    #[oai(mapping = "fps")]
    Fps(FpsBody),
    #[oai(mapping = "speed")]
    Speed(SpeedBody),
    #[oai(mapping = "watermark")]
    Watermark(WatermarkBody),
    #[oai(mapping = "text")]
    Text(TextBody),
    #[oai(mapping = "subtitles")]
    Subtitles(SubtitlesBody),
    #[oai(mapping = "concat")]
    Concat(ConcatBody),
    #[oai(mapping = "filter")]
    Filter(FilterBody),
    #[oai(mapping = "audio")]
    Audio(AudioBody),
    #[oai(mapping = "tracks")]
    Tracks(TracksBody),
    #[oai(mapping = "transcode")]
    Transcode(TranscodeBody),
}

impl From<&Operation> for OperationBody {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Trim(trim) => Self::Trim(trim.into()),
            Operation::Scale(scale) => Self::Scale(scale.into()),
            Operation::Crop(crop) => Self::Crop(crop.into()),
            Operation::Pad(pad) => Self::Pad(pad.into()),
            Operation::Rotate(rotate) => Self::Rotate(rotate.into()),
            Operation::Flip(flip) => Self::Flip(flip.into()),
            Operation::Fps(fps) => Self::Fps(fps.into()),
            Operation::Speed(speed) => Self::Speed(speed.into()),
            Operation::Watermark(watermark) => Self::Watermark(watermark.into()),
            Operation::Text(text) => Self::Text(text.into()),
            Operation::Subtitles(subtitles) => Self::Subtitles(subtitles.into()),
            Operation::Concat(concat) => Self::Concat(concat.into()),
            Operation::Filter(filter) => Self::Filter(filter.into()),
            Operation::Audio(audio) => Self::Audio(audio.into()),
            Operation::Tracks(tracks) => Self::Tracks(tracks.into()),
            Operation::Transcode(transcode) => Self::Transcode(transcode.into()),
        }
    }
}

impl OperationBody {
    /// For display: without the queries of URLs, which may be signatures.
    pub(crate) fn without_signatures(mut self) -> Self {
        let inputs = match &mut self {
            Self::Watermark(watermark) => vec![watermark.input_mut()],
            Self::Subtitles(subtitles) => subtitles.input_mut().into_iter().collect(),
            Self::Concat(concat) => concat.inputs_mut().collect(),
            Self::Audio(audio) => audio.input_mut().into_iter().collect(),
            Self::Trim(_)
            | Self::Scale(_)
            | Self::Crop(_)
            | Self::Pad(_)
            | Self::Rotate(_)
            | Self::Flip(_)
            | Self::Fps(_)
            | Self::Speed(_)
            | Self::Text(_)
            | Self::Filter(_)
            | Self::Tracks(_)
            | Self::Transcode(_) => vec![],
        };
        inputs.into_iter().for_each(InputLocation::remove_signature);
        self
    }
}

/// The values of `type`, for error messages.
const OPERATION_TYPES: &str = "`trim`, `scale`, `crop`, `pad`, `rotate`, `flip`, `fps`, `speed`, \
    `watermark`, `text`, `subtitles`, `concat`, `filter`, `audio`, `tracks` and `transcode`";

/// An operation that is parsed later, so that an error points at its field; documented with the
/// schema of [`OperationBody`].
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct OperationJson(Value);

impl Type for OperationJson {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        OperationBody::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        OperationBody::schema_ref()
    }

    fn register(registry: &mut Registry) {
        OperationBody::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for OperationJson {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        value.map(Self).ok_or_else(ParseError::expected_input)
    }
}

impl ToJSON for OperationJson {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

/// Parses operations; an error points at the field, and there is one for every wrong field.
pub(crate) fn operations(json: &[OperationJson]) -> Result<Vec<Operation>, Problem> {
    if json.len() > 50 {
        let detail = "a job has at most 50 operations";
        return Err(Problem::field(Kind::Invalid, "#/operations", detail));
    }
    let (mut read, mut problems) = (Vec::with_capacity(json.len()), Vec::new());
    for (index, OperationJson(json)) in json.iter().enumerate() {
        let prefix = format!("/operations/{index}");
        match every_error(json.clone(), &prefix, |json| operation(&json, index)) {
            Ok(operation) => read.push(operation),
            Err(problem) => problems.push(problem),
        }
    }
    Problem::all(problems).map_or(Ok(read), Err)
}

fn operation(json: &Value, index: usize) -> Result<Operation, Problem> {
    let prefix = format!("/operations/{index}");
    let invalid = |field: &str, detail: String| {
        Problem::field(Kind::Invalid, &format!("#{prefix}{field}"), detail)
    };
    let Some(fields) = json.as_object() else {
        return Err(invalid(
            "",
            format!("an operation is an object with `type`: {OPERATION_TYPES}"),
        ));
    };
    let kind = fields.get("type").and_then(Value::as_str).ok_or_else(|| {
        invalid("/type", format!("an operation needs a `type`: {OPERATION_TYPES}"))
    })?;
    let mut rest = fields.clone();
    rest.remove("type");
    let rest = Value::Object(rest);
    let at = |field: &str| format!("#{prefix}/{field}");
    Ok(match kind {
        "trim" => Operation::Trim(parse::<TrimBody>(rest, &prefix)?.read(at)?),
        "scale" => Operation::Scale(parse::<ScaleBody>(rest, &prefix)?.read(at)?),
        "crop" => Operation::Crop(parse::<CropBody>(rest, &prefix)?.read()),
        "pad" => Operation::Pad(parse::<PadBody>(rest, &prefix)?.read(at)?),
        "rotate" => Operation::Rotate(parse::<RotateBody>(rest, &prefix)?.read()),
        "flip" => Operation::Flip(parse::<FlipBody>(rest, &prefix)?.read(at)?),
        "fps" => Operation::Fps(parse::<FpsBody>(rest, &prefix)?.read()),
        "speed" => Operation::Speed(parse::<SpeedBody>(rest, &prefix)?.read()),
        "watermark" => Operation::Watermark(parse::<WatermarkBody>(rest, &prefix)?.read(at)?),
        "text" => Operation::Text(parse::<TextBody>(rest, &prefix)?.read(at)?),
        "subtitles" => Operation::Subtitles(parse::<SubtitlesBody>(rest, &prefix)?.read(at)?),
        "concat" => Operation::Concat(parse::<ConcatBody>(rest, &prefix)?.read(at)?),
        "filter" => Operation::Filter(parse::<FilterBody>(rest, &prefix)?.read(at)?),
        "audio" => Operation::Audio(parse::<AudioBody>(rest, &prefix)?.read(at)?),
        "tracks" => Operation::Tracks(parse::<TracksBody>(rest, &prefix)?.read(at)?),
        "transcode" => Operation::Transcode(parse::<TranscodeBody>(rest, &prefix)?.read(at)?),
        other => {
            let detail = format!("`{other}` is not available; {OPERATION_TYPES} are");
            return Err(invalid("/type", detail));
        }
    })
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;
    use serde_json::json;

    use super::*;

    /// An operation of every type, with every field, as it is shown.
    fn samples() -> Vec<Value> {
        vec![
            json!({ "type": "trim", "start": 1.5, "end": 62.25 }),
            json!({ "type": "scale", "width": 640, "height": 360, "mode": "fill" }),
            json!({ "type": "crop", "x": 2, "y": 4, "width": 320, "height": 240 }),
            json!({ "type": "pad", "width": 640, "height": 480, "color": "#112233ff" }),
            json!({ "type": "rotate", "degrees": 12.5 }),
            json!({ "type": "flip", "axis": "both" }),
            json!({ "type": "fps", "fps": 29.97 }),
            json!({ "type": "speed", "factor": 2.0 }),
            json!({
                "type": "watermark", "image": "https://example.org/logo.png?signature=x",
                "position": "top", "opacity": 0.5, "scale": 0.25, "margin": 8, "start": 1.0, "end": 2.0,
            }),
            json!({
                "type": "text", "text": "a", "position": "left", "size": 20, "color": "#ffffff80",
                "margin": 3, "start": 0.5, "end": 1.0,
            }),
            json!({ "type": "subtitles", "input": "local://a.srt", "mode": "embed", "language": "de" }),
            json!({ "type": "concat", "inputs": ["local://b.mp4", "local://c.mp4"] }),
            json!({
                "type": "filter", "name": "eq",
                "params": { "brightness": 0.1, "contrast": 1.5, "saturation": 0.5, "gamma": 2.0 },
            }),
            json!({ "type": "filter", "name": "denoise", "strength": 0.5 }),
            json!({
                "type": "audio", "replace": "local://d.wav", "normalize": true, "target_lufs": -16.0,
                "volume": 0.5, "fade_in": 1.0, "fade_out": 2.0, "channels": 2, "sample_rate": 48_000,
            }),
            json!({ "type": "audio", "remove": true }),
            json!({ "type": "audio", "extract": true }),
            json!({ "type": "tracks", "audio": [0, "en"], "subtitles": ["all"] }),
            json!({
                "type": "transcode", "video_codec": "h264", "audio_codec": "aac", "crf": 20,
                "video_bitrate": 2_500_000, "max_bitrate": 3_000_000, "audio_bitrate": 128_000,
                "two_pass": true, "target_vmaf": 95.0, "preset": "slow", "profile": "high",
                "pixel_format": "yuv420p", "width": 640, "height": 360, "fps": 25.0,
                "keyframe_interval": 50, "container": "mkv",
            }),
        ]
    }

    fn read(sample: &Value) -> Operation {
        operations(&[OperationJson(sample.clone())]).unwrap().remove(0)
    }

    #[test]
    fn an_operation_is_shown_as_it_was_sent() {
        for sample in samples() {
            let shown = OperationBody::from(&read(&sample)).to_json();
            assert_eq!(shown, Some(sample));
        }
    }

    #[test]
    fn a_job_shows_no_signatures_of_its_inputs() {
        for sample in samples() {
            let shown = OperationBody::from(&read(&sample)).without_signatures().to_json();
            assert!(!shown.unwrap().to_string().contains("signature=x"), "{sample}");
        }
    }

    #[test]
    fn every_type_has_a_sample_and_is_named_in_messages() {
        let samples = samples();
        for name in Operation::NAMES {
            assert!(samples.iter().any(|sample| sample["type"] == name), "{name}");
            assert!(OPERATION_TYPES.contains(&format!("`{name}`")), "{name}");
        }
    }
}
