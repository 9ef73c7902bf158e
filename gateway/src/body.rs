mod checked;
mod every_error;
mod large_bodies;
mod pointer;

use std::{marker::PhantomData, time::Duration};

use bytes::Bytes;
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{Json, ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use self::every_error::{SearchBudget, every_error};
use self::{large_bodies::LARGE_BODY, pointer::pointer};
use crate::{
    auth::Principal,
    parser_messages::plain,
    problem::{Kind, Problem},
};

/// A JSON body, parsed by serde so that each error points at its field, and every error is reported; documented by the schema of
/// `T`.
pub(crate) struct StrictJson<T, V = T> {
    pub(crate) value: V,
    /// Hash of the JSON value, independent of whitespace and the order of fields.
    pub(crate) fingerprint: String,
    documented: PhantomData<fn() -> T>,
    /// Held by a large body until the request has been handled.
    _slot: Option<OwnedSemaphorePermit>,
}

/// A JSON body that is parsed later: after the checks that come first, and so that every error is reported.
pub(crate) type Unread<T> = StrictJson<T, Value>;

impl<T: DeserializeOwned> Unread<T> {
    /// Reads the body; a problem has every error that `read` finds in one of its fields.
    pub(crate) fn read<R>(&self, read: impl Fn(T) -> Result<R, Problem>) -> Result<R, Problem> {
        every_error(self.value.clone(), "", |json| read(parse(json, "")?))
    }
}

const MAX_BODY: usize = 4 * 1024 * 1024;
/// Timeout for receiving a whole JSON body, so that slow clients do not occupy connections.
const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);

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
        let announced = request.header("content-length").and_then(|text| text.parse().ok());
        let tenant = request.data::<Principal>().map(|principal| &principal.tenant);
        // A body of unknown size may be large.
        let slot = match tenant {
            Some(tenant) if announced.is_none_or(|bytes: usize| bytes > LARGE_BODY) => {
                Some(large_bodies::acquire(tenant).await?)
            }
            _ => None,
        };
        if request.header("content-encoding").is_some_and(|coding| coding != "identity") {
            let detail = "send the body as it is, without `Content-Encoding`";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).into());
        }
        let bytes = receive(announced, body).await?;
        let slot = slot.filter(|_| bytes.len() > LARGE_BODY);
        // No body is an empty object: what a request requires is then named by its field.
        let json =
            if bytes.is_empty() { Value::Object(Map::new()) } else { checked::read(&bytes)? };
        if !json.is_object() {
            let detail = "the body must be a JSON object";
            return Err(Problem::field(Kind::Invalid, "#", detail).into());
        }
        let fingerprint = hex::encode(Sha256::digest(json.to_string()));
        let value = every_error(json, "", |json| parse(json, ""))?;
        Ok(Self { value, fingerprint, documented: PhantomData, _slot: slot })
    }
}

impl_apirequest_for_payload!(StrictJson<T, V>, T: Type, V: DeserializeOwned + Send);

/// The bytes of a JSON body.
async fn receive(announced: Option<usize>, body: &mut RequestBody) -> Result<Bytes> {
    if announced.is_some_and(|bytes| bytes > MAX_BODY) {
        let detail = format!("a JSON body is at most {MAX_BODY} bytes");
        return Err(Problem::new(Kind::TooLarge, detail).into());
    }
    let reading = body.take()?.into_bytes_limit(MAX_BODY);
    let reading = tokio::time::timeout(REQUEST_BODY_TIMEOUT, reading).await;
    let slow = || Problem::new(Kind::RequestTimeout, "the body was not received within 30 seconds");
    let bytes = reading.map_err(|_| slow())??;
    Ok(bytes)
}

/// Parses a value; an error points at the field below `prefix`.
pub(crate) fn parse<T: DeserializeOwned>(json: Value, prefix: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let mut pointer = format!("#{prefix}{}", pointer(error.path().iter()));
        let detail = plain(&error.inner().to_string());
        // serde reports a missing field at its parent.
        if let Some(field) =
            detail.strip_prefix("missing field `").and_then(|d| d.split('`').next())
        {
            pointer.push('/');
            pointer.push_str(field);
        }
        Problem::field(Kind::Invalid, &pointer, detail)
    })
}
