use ffapi_domain::{
    Personal,
    location::{Location, PutTarget},
    media::Overwrite,
};
use poem_openapi::{Object, Union};
use serde::Deserialize;

use super::OverwriteWord;
use crate::{
    clock,
    media::{overwrite, value},
    problem::{Kind, Problem},
};

/// An output: `local://path`, a bare path, or URLs that the client signed, at which the files are put.
#[derive(Debug, Clone, Deserialize, Union)]
#[serde(
    untagged,
    expecting = "an output is a location like `videos/a.mp4`, or the URL at which it is put like \
                 `{\"put\": \"https://…\"}`, of a folder `{\"put_template\": \"https://…/{name}\"}`"
)]
#[oai(rename = "OutputLocation", one_of)]
pub(crate) enum OutputLocation {
    /// A location as text.
    Text(String),
    /// The URL of a file.
    Put(PutBody),
    /// The URLs of a folder's files.
    PutTemplate(PutTemplateBody),
}

/// A URL at which the output is put, as the client signed it.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "PutOutput")]
pub(crate) struct PutBody {
    /// An `https://` URL, to which the file is sent by `PUT`. What is there is replaced. The signature may
    /// cover `host`, `content-type` and `content-length`.
    put: String,
}

/// URLs at which the files of a folder are put: for servers that accept names below a signed prefix.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "PutTemplateOutput")]
pub(crate) struct PutTemplateBody {
    /// An `https://` URL with `{name}` in its path or query, which is replaced by the name of each file, such
    /// as `master.m3u8` and `720p/seg-1.m4s`.
    put_template: String,
}

impl OutputLocation {
    /// Parses the location of an output other than the input.
    pub(crate) fn read(&self, input: &Personal<Location>) -> Result<Personal<Location>, Problem> {
        let (url, target, pointer) = match self {
            Self::Text(text) => return value::output(text, input),
            Self::Put(PutBody { put }) => (put, PutTarget::File, "#/output/put"),
            Self::PutTemplate(PutTemplateBody { put_template }) => {
                (put_template, PutTarget::Folder, "#/output/put_template")
            }
        };
        let output = Location::put(url, target, clock::now());
        output
            .map(Personal::Clear)
            .map_err(|error| Problem::field(Kind::Invalid, pointer, error.to_string()))
    }
}

/// The overwrite policy of a request with this output: a `PUT` replaces what is there.
pub(crate) fn overwrite_at(
    output: &Personal<Location>,
    word: Option<OverwriteWord>,
) -> Result<Overwrite, Problem> {
    if !output.as_ref().is_some_and(Location::is_put) {
        return Ok(overwrite(word));
    }
    match word {
        None | Some(OverwriteWord::Replace) => Ok(Overwrite::Replace),
        Some(OverwriteWord::Fail) => {
            let detail = "what is at the URL of `put` is replaced: leave `overwrite` out";
            Err(Problem::field(Kind::Invalid, "#/overwrite", detail))
        }
    }
}
