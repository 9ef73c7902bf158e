use ffapi_domain::{
    Personal,
    location::{JOB_SCHEME, Location},
};
use poem_openapi::{Object, Union};
use serde::Deserialize;

use super::ERASED;
use crate::{media::value, problem::Problem};

/// An input: `upload_…`, `local://path`, a bare path, `https://…`, or an output of another job.
#[derive(Debug, Clone, Deserialize, Union)]
#[serde(
    untagged,
    expecting = "an input is a location like `upload_…`, `https://…` or `videos/a.mp4`, or an output of \
                 another job like `{\"job\": \"job_…\", \"output\": \"a.mp4\"}`"
)]
#[oai(rename = "InputLocation", one_of)]
pub(crate) enum InputLocation {
    /// A location as text.
    Text(String),
    /// An output of another job.
    JobOutput(JobOutputBody),
}

/// An output of another job of the account. The job that reads it starts once the other one has
/// completed.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "JobOutput")]
pub(crate) struct JobOutputBody {
    /// The id of the job that makes the output.
    job: String,
    /// The output's `name` as that job lists it.
    output: String,
}

impl From<&Personal<Location>> for InputLocation {
    fn from(location: &Personal<Location>) -> Self {
        Self::Text(location.as_ref().map_or_else(|| ERASED.to_owned(), ToString::to_string))
    }
}

impl InputLocation {
    /// For display: removes the query of a URL, which may be a signature.
    pub(crate) fn remove_signature(&mut self) {
        if let Self::Text(text) = self
            && let Ok(location @ Location::Web(_)) = text.parse::<Location>()
        {
            *text = location.shown();
        }
    }

    /// Parses the location; an error points at `pointer`.
    pub(crate) fn read(&self, pointer: &str) -> Result<Personal<Location>, Problem> {
        match self {
            Self::Text(text) => value::input(text, pointer),
            Self::JobOutput(JobOutputBody { job, output }) => {
                value::input(&format!("{JOB_SCHEME}://{job}/{output}"), pointer)
            }
        }
    }
}
