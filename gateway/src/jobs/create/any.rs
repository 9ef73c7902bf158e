use ffapi_domain::job::JobSpec;
use serde_json::Value;

use super::{AnalyzeBody, ConvertBody, Create, ProbeBody, StreamBody, ThumbnailsBody};
use crate::{
    body::parse,
    problem::{Kind, Problem},
};

/// The body of a job whose kind is given separately.
pub(crate) enum AnyBody {
    Convert(ConvertBody),
    Stream(Box<StreamBody>),
    Thumbnails(ThumbnailsBody),
    Analyze(AnalyzeBody),
    Probe(ProbeBody),
}

impl AnyBody {
    pub(crate) fn read(kind: &str, fields: Value) -> Result<Self, Problem> {
        Ok(match kind {
            "convert" => Self::Convert(parse(fields, "")?),
            "stream" => Self::Stream(Box::new(parse(fields, "")?)),
            "thumbnails" => Self::Thumbnails(parse(fields, "")?),
            "analyze" => Self::Analyze(parse(fields, "")?),
            "probe" => Self::Probe(parse(fields, "")?),
            _ => {
                let detail = "`kind` is `convert`, `stream`, `thumbnails`, `analyze` or `probe`";
                return Err(Problem::field(Kind::Invalid, "#/kind", detail));
            }
        })
    }

    /// The job that the body describes.
    pub(crate) fn spec(&self) -> Result<JobSpec, Problem> {
        match self {
            Self::Convert(body) => body.spec(),
            Self::Stream(body) => body.spec(),
            Self::Thumbnails(body) => body.spec(),
            Self::Analyze(body) => body.spec(),
            Self::Probe(body) => body.spec(),
        }
    }
}
