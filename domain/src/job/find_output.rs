//! Finds an output of a job that is to be the input of another job.

use unicode_normalization::UnicodeNormalization;

use super::{JobStatus, JobView, OutputFile};
use crate::{
    JobId,
    location::Location,
    media::{MediaRequest, Numbered},
};

/// Why a job has no output of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputMissing {
    /// It has not ended; the output may still come.
    #[error("{0} has not completed yet")]
    NotYet(JobId),
    /// It ended without outputs.
    #[error("{job} is {}, so it makes no output; retry it first", .status.as_str())]
    Ended {
        /// The job.
        job: JobId,
        /// How it ended.
        status: JobStatus,
    },
    /// Its outputs were deleted.
    #[error("the outputs of {0} were deleted")]
    Deleted(JobId),
    /// It makes outputs, but none of this name.
    #[error("{job} has no output `{name}`; {}", available(.names))]
    NoSuchName {
        /// The job.
        job: JobId,
        /// The name.
        name: String,
        /// The names that it has, as far as they are known; the first ones of many.
        names: Vec<String>,
    },
    /// They are put at URLs.
    #[error(
        "{0} puts its outputs at a URL, from which they cannot be read here: give a URL at which the file can \
         be downloaded"
    )]
    Put(JobId),
    /// Its kind makes no outputs.
    #[error("{job} is a job of kind `{kind}`, which makes no outputs")]
    NoOutputs {
        /// The job.
        job: JobId,
        /// Its kind.
        kind: &'static str,
    },
}

/// Maximum number of names in an error.
const MAX_NAMES: usize = 10;

fn available(names: &[String]) -> String {
    match names {
        [] => "GET /jobs/{id}/outputs lists its outputs".to_owned(),
        names => format!("it has `{}`", names.join("`, `")),
    }
}

/// Names are compared in Unicode NFC, in which paths of the default store are recorded.
fn is_same(one: &str, two: &str) -> bool {
    one == two || one.nfc().eq(two.nfc())
}

impl JobView {
    /// The output of this name.
    ///
    /// # Errors
    /// When the job does not have it, now or ever.
    pub fn find_output(&self, name: &str) -> Result<&OutputFile, OutputMissing> {
        let (job, status) = (self.summary.id, self.summary.status);
        self.request.may_make(job, name)?;
        match status {
            JobStatus::Queued | JobStatus::Processing => return Err(OutputMissing::NotYet(job)),
            JobStatus::Failed | JobStatus::Cancelled => {
                return Err(OutputMissing::Ended { job, status });
            }
            JobStatus::Completed => {}
        }
        if self.summary.outputs_expired_at.is_some() {
            return Err(OutputMissing::Deleted(job));
        }
        let named = |output: &&OutputFile| output.name.as_ref().is_some_and(|it| is_same(it, name));
        self.outputs.iter().find(named).ok_or_else(|| {
            let names = self.outputs.iter().filter_map(|output| output.name.as_ref().cloned());
            let names = names.take(MAX_NAMES).collect();
            OutputMissing::NoSuchName { job, name: name.to_owned(), names }
        })
    }
}

impl MediaRequest {
    /// Checks an output's name against the request of the job that is to make it, as far as the
    /// request determines the names.
    ///
    /// # Errors
    /// When the job will never have such an output.
    pub fn may_make(&self, job: JobId, name: &str) -> Result<(), OutputMissing> {
        let Some(output) = self.output() else {
            return Err(OutputMissing::NoOutputs { job, kind: self.kind() });
        };
        if output.as_ref().is_some_and(Location::is_put) {
            return Err(OutputMissing::Put(job));
        }
        let own = output.as_ref().and_then(|output| output.file_name());
        match own {
            Some(own)
                if !self.makes_folder()
                    && Numbered::parse(own).is_none()
                    && !is_same(own, name)
                    // Subtitles next to the output.
                    && name.rsplit_once('.').is_none_or(|(_, it)| it != "vtt") =>
            {
                let names = vec![own.to_owned()];
                Err(OutputMissing::NoSuchName { job, name: name.to_owned(), names })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Personal, Timestamp,
        job::{EventMetadata, JobEvent, JobSpec},
        media::{Convert, Overwrite, Probe},
    };

    fn id() -> JobId {
        JobId::from_uuid(Uuid::from_u128(1))
    }

    fn convert_to(output: &str) -> MediaRequest {
        MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Clear(output.parse::<Location>().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        })
    }

    fn job(request: MediaRequest, events: impl IntoIterator<Item = JobEvent>) -> JobView {
        let meta = EventMetadata {
            id: id(),
            tenant: "acme".parse().unwrap(),
            at: Timestamp::from_millis(1),
            trace_id: None,
        };
        let submitted = JobEvent::Submitted { spec: Box::new(JobSpec::of(request)) };
        let events = std::iter::once(submitted).chain(events);
        events.fold(None, |row, event| JobView::apply(row, &event, &meta)).unwrap()
    }

    fn completed() -> [JobEvent; 2] {
        let output = OutputFile {
            name: Personal::Clear("caf\u{e9}.mp4".to_owned()),
            location: Personal::Clear("local://out/caf\u{e9}.mp4".to_owned()),
            size: 1,
            sha256: String::new(),
            duration: None,
            streams: vec![],
        };
        let (outputs, result, spent) = (vec![output], None, None);
        [
            JobEvent::OutputsSealed { attempt: 1, outputs, result, spent, plan: None },
            JobEvent::Completed { attempt: 1 },
        ]
    }

    #[test]
    fn an_output_of_a_completed_job_is_found_by_its_name() {
        let done = job(convert_to("out/caf\u{e9}.mp4"), completed());
        for name in ["caf\u{e9}.mp4", "cafe\u{301}.mp4"] {
            assert_eq!(done.find_output(name).unwrap().size, 1);
        }
        let other = done.find_output("caf\u{e9}.en.vtt").unwrap_err();
        assert!(other.to_string().ends_with("it has `caf\u{e9}.mp4`"), "{other}");
        let deleted = completed().into_iter().chain([JobEvent::OutputsExpired {}]);
        let deleted = job(convert_to("out/caf\u{e9}.mp4"), deleted);
        assert_eq!(deleted.find_output("caf\u{e9}.mp4"), Err(OutputMissing::Deleted(id())));
    }

    #[test]
    fn an_output_that_may_still_come_is_told_from_one_that_will_not() {
        let waiting = job(convert_to("a.mp4"), []);
        assert_eq!(waiting.find_output("a.mp4"), Err(OutputMissing::NotYet(id())));
        assert_eq!(waiting.find_output("a.en.vtt"), Err(OutputMissing::NotYet(id())));
        let names = vec!["a.mp4".to_owned()];
        let wrong = OutputMissing::NoSuchName { job: id(), name: "b.mp4".to_owned(), names };
        assert_eq!(waiting.find_output("b.mp4"), Err(wrong));
        let numbered = job(convert_to("frame-%04d.png"), []);
        assert_eq!(numbered.find_output("frame-0001.png"), Err(OutputMissing::NotYet(id())));
        let cancelled = job(convert_to("a.mp4"), [JobEvent::Cancelled {}]);
        let ended = OutputMissing::Ended { job: id(), status: JobStatus::Cancelled };
        assert_eq!(cancelled.find_output("a.mp4"), Err(ended));
        let put = job(convert_to("https://host/a.mp4?sig=x"), []);
        assert_eq!(put.find_output("a.mp4"), Err(OutputMissing::Put(id())));
        let probe = job(MediaRequest::Probe(Probe { input: Personal::Erased }), []);
        let none = OutputMissing::NoOutputs { job: id(), kind: "probe" };
        assert_eq!(probe.find_output("a.mp4"), Err(none));
    }
}
