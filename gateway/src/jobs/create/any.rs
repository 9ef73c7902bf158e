use ffapi_domain::job::JobSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AnalyzeBody, ConvertBody, Create, ProbeBody, StreamBody, ThumbnailsBody};
use crate::{
    body::{every_error, parse},
    problem::{Kind, Problem},
};

/// The job that a body of this kind describes.
///
/// # Errors
/// Every wrong field.
pub(crate) fn spec(kind: &str, fields: Value) -> Result<JobSpec, Problem> {
    match kind {
        "convert" => spec_of::<ConvertBody>(fields),
        "stream" => spec_of::<StreamBody>(fields),
        "thumbnails" => spec_of::<ThumbnailsBody>(fields),
        "analyze" => spec_of::<AnalyzeBody>(fields),
        "probe" => spec_of::<ProbeBody>(fields),
        _ => {
            let detail = "`kind` is `convert`, `stream`, `thumbnails`, `analyze` or `probe`";
            Err(Problem::field(Kind::Invalid, "#/kind", detail))
        }
    }
}

/// The job that a body describes.
///
/// # Errors
/// Every wrong field.
pub(crate) fn spec_of<B: Create + DeserializeOwned>(fields: Value) -> Result<JobSpec, Problem> {
    every_error(fields, "", |fields| parse::<B>(fields, "")?.spec())
}
