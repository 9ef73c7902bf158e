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
use serde_json::{Value, json};

use self::{
    audio::AudioBody,
    overlay::{SubtitlesBody, TextBody, WatermarkBody},
    time::{ConcatBody, SpeedBody, TracksBody, TrimBody},
    transcode::TranscodeBody,
    video::{CropBody, FilterBody, FlipBody, FpsBody, PadBody, RotateBody, ScaleBody},
};
use crate::{
    body::{every_error, parse},
    problem::{Kind, Problem},
};

/// One operation; operations are applied in order.
#[derive(Debug, Union)]
#[oai(rename = "Operation", discriminator_name = "type", one_of)]
enum OperationBody {
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

/// An operation as clients send it, for a job's representation.
pub(crate) fn show(operation: &Operation) -> Value {
    // The domain's tag encloses the fields; in the API it is one of them, `type`.
    let mut fields = match json!(operation) {
        Value::Object(named) => named.into_iter().next().map_or(Value::Null, |(_, fields)| fields),
        other => other,
    };
    in_seconds(&mut fields);
    if let Some(fields) = fields.as_object_mut() {
        if let Some(millis) = fields.remove("millifps").and_then(|millis| millis.as_f64()) {
            fields.insert("fps".to_owned(), json!(millis / 1000.0));
        }
        fields.insert("type".to_owned(), json!(operation.name()));
    }
    fields
}

/// Converts times from microseconds to seconds and removes absent fields.
pub(super) fn in_seconds(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.retain(|_, value| !value.is_null());
    for name in ["start", "end", "fade_in", "fade_out", "timestamp", "interval", "segment_duration"]
    {
        if let Some(micros) = fields.get(name).and_then(Value::as_f64) {
            fields.insert(name.to_owned(), json!(micros / 1_000_000.0));
        }
    }
}
