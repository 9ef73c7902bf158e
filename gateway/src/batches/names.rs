//! Names of a batch's jobs, by which others of them read their outputs: `@name/a.mp4`.

use std::collections::BTreeMap;

use ffapi_domain::{
    JobId, Personal,
    location::{DEFAULT_BACKEND, Location},
    media::MediaRequest,
};

use crate::problem::{Kind, Problem};

/// Maximum length of a name.
const MAX_LENGTH: usize = 64;

/// The named jobs of a batch.
#[derive(Debug, Default)]
pub(super) struct JobNames(BTreeMap<String, JobId>);

impl JobNames {
    /// Names a job.
    ///
    /// # Errors
    /// When the name is invalid, or taken.
    pub(super) fn add(&mut self, name: String, job: JobId) -> Result<(), Problem> {
        let invalid = |detail: String| Err(Problem::field(Kind::Invalid, "#/name", detail));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=MAX_LENGTH).contains(&name.len()) || !name.chars().all(allowed) {
            return invalid(format!(
                "a name has 1 to {MAX_LENGTH} letters, digits, `-`, `_` and `.`"
            ));
        }
        if self.0.contains_key(&name) {
            return invalid(format!("another job of the batch is named `{name}`"));
        }
        self.0.insert(name, job);
        Ok(())
    }

    /// Replaces the names in a job's inputs by the jobs. Without any names, such inputs are paths.
    ///
    /// # Errors
    /// When no job has the name.
    pub(super) fn resolve(&self, request: &mut MediaRequest) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let output = request.output().cloned();
        for location in request.locations_mut() {
            let is_output = output.as_ref() == Some(&*location);
            let Personal::Clear(input) = location else { continue };
            let Location::Object { backend, path } = &*input else { continue };
            let named = path.strip_prefix('@').and_then(|path| path.split_once('/'));
            let Some((job, output)) = named else { continue };
            if is_output || backend != DEFAULT_BACKEND {
                continue;
            }
            let Some(job) = self.0.get(job) else {
                let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                let detail = format!(
                    "no job of the batch is named `{job}`; there are `{}`",
                    names.join("`, `")
                );
                return Err(Problem::field(Kind::Invalid, "#/input", detail));
            };
            *input = Location::JobOutput { job: *job, name: output.to_owned() };
        }
        Ok(())
    }
}
