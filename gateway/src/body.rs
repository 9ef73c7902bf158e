mod checked;

use std::{marker::PhantomData, time::Duration};

use poem::{Request, RequestBody, Result};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{Json, ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// A JSON body, read by serde so that each refusal points at its field; documented by its schema.
pub(crate) struct StrictJson<T, V = T> {
    pub(crate) value: V,
    /// Hash of what was sent, whatever its spacing and order of fields.
    pub(crate) fingerprint: String,
    documented: PhantomData<fn() -> T>,
}

/// A JSON body that is read once it is known that its request is a new one.
pub(crate) type Unread<T> = StrictJson<T, Value>;

const MAX_BODY: usize = 4 * 1024 * 1024;
/// For a whole body of JSON: whoever is slower holds a place that others need.
const PATIENCE: Duration = Duration::from_secs(30);

impl<T: Type, V: Send> Payload for StrictJson<T, V> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        <Json<T> as Payload>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type, V: DeserializeOwned + Send> ParsePayload for StrictJson<T, V> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let (json, fingerprint) = read(request, body).await?;
        Ok(Self { value: parse(json, "")?, fingerprint, documented: PhantomData })
    }
}

impl_apirequest_for_payload!(StrictJson<T, V>, T: Type, V: DeserializeOwned + Send);

/// A body, and the hash of it.
async fn read(request: &Request, body: &mut RequestBody) -> Result<(Value, String)> {
    let announced = request.header("content-length").and_then(|text| text.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > MAX_BODY) {
        let detail = format!("a body of JSON is at most {MAX_BODY} bytes");
        return Err(Problem::new(Kind::TooLarge, detail).into());
    }
    let reading = tokio::time::timeout(PATIENCE, body.take()?.into_bytes_limit(MAX_BODY)).await;
    let slow = || Problem::new(Kind::Slow, "the body did not come within 30 seconds");
    let bytes = reading.map_err(|_| slow())??;
    let json = checked::read(&bytes)?;
    let fingerprint = hex::encode(Sha256::digest(json.to_string()));
    Ok((json, fingerprint))
}

/// Reads a value; a refusal points at the field below `prefix`.
pub(crate) fn parse<T: DeserializeOwned>(json: Value, prefix: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let mut pointer = format!("#{prefix}{}", pointer(error.path().iter()));
        let detail = error.inner().to_string();
        // serde tells a missing field at its parent.
        if let Some(field) =
            detail.strip_prefix("missing field `").and_then(|d| d.split('`').next())
        {
            pointer.push('/');
            pointer.push_str(field);
        }
        Problem::field(Kind::Invalid, &pointer, detail)
    })
}

/// A path as a JSON pointer has it.
fn pointer<'p>(path: impl Iterator<Item = &'p Segment>) -> String {
    let segments = path.filter_map(|segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.collect()
}
