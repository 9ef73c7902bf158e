//! From a released job to staged outputs: the child works and is ended; only then its files are
//! checked and taken.

use std::{collections::BTreeSet, pin::pin};

use ffapi_domain::{
    Personal,
    dispatch::Release,
    job::{FailureCode, OutputFile, RetryHint},
    location::Location,
    media::{MediaRequest, Spent},
};
use ffapi_media::{
    MediaError,
    protocol::{PoolAssignment, Report, Task as MediaTask, VerifiedFile},
};
use ffapi_nats::failpoint;
use ffapi_storage::Staged;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    AttemptContext, AttemptSpec, Outcome, PARALLEL_FILES,
    bounds::{Bounds, check_written},
    watch::{Watched, Watching},
};
use crate::{
    failure::{crashed, erased, failed, put_failed},
    input_fetcher::TaskInputs,
    media_minutes::Charged,
    outputs::{self, OUTPUT, staged},
    scratch::Reservation,
    slot::{Slot, SlotFolder},
};

/// How an attempt's media work ended.
pub(super) enum MediaOutcome {
    /// The outputs are staged.
    Outputs {
        files: Vec<OutputFile>,
        result: Option<serde_json::Value>,
        spent: Option<Spent>,
        /// The plan that was followed, as JSON that every reader accepts.
        plan: Option<serde_json::Value>,
    },
    /// The work was stopped before its end.
    Stopped(Outcome),
}

impl AttemptContext {
    /// Runs the media child, then verifies and stages its outputs.
    pub(super) async fn make_outputs(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        mut slot: Slot,
        charged: &mut Charged,
    ) -> Result<MediaOutcome, MediaError> {
        let bounds = self.bounds(release, &slot).await;
        let mut scratch = None;
        let watched =
            self.run_child(release, spec, &mut slot, &bounds, charged, &mut scratch).await;
        // Once the child is reaped nothing can change the files: what is hashed is what is served.
        let reaped = slot.reap().await;
        let outcome = match watched {
            Ok(Watched::Report { report, spent }) => {
                self.stage(release, spec.request, *report, spent, &reaped.folder).await
            }
            Ok(Watched::Stopped(outcome)) => Ok(MediaOutcome::Stopped(outcome)),
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Err(error) => {
                Err(self.unless_full(release, error, &reaped.folder, scratch.as_ref()).await)
            }
            outcome => outcome,
        };
        reaped.remove().await;
        drop(scratch);
        outcome
    }

    /// The failure of an attempt; if it may succeed elsewhere and the disk is full, that of the disk: the
    /// child's own words are not trusted. A job that wrote more than was reserved for it has filled the disk
    /// itself: then the attempt counts.
    async fn unless_full(
        &self,
        release: &Release,
        error: MediaError,
        folder: &SlotFolder,
        scratch: Option<&Reservation>,
    ) -> MediaError {
        let is_known = error.code == FailureCode::ScratchFull;
        let may_succeed = error.code.retry_hint() == RetryHint::Retry;
        if is_known || !may_succeed || !self.scratch.is_full() {
            return error;
        }
        let written = folder.disk_usage(None).await.map_or(0, |usage| usage.bytes);
        self.scratch.learn(release.job, written);
        tracing::warn!(job = %release.job, "the scratch disk is full");
        disk_was_full(written, scratch)
    }

    /// Opens the inputs, sends the child its task, and watches it to its end.
    async fn run_child(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        slot: &mut Slot,
        bounds: &Bounds,
        charged: &mut Charged,
        scratch: &mut Option<Reservation>,
    ) -> Result<Watched, MediaError> {
        let request = spec.request;
        let output = match request.output() {
            Some(output) => Some(output.as_ref().ok_or_else(|| erased("output"))?),
            None => None,
        };
        if let Some(Location::Web(url)) = output {
            ffapi_storage::check_signature(url).map_err(put_failed)?;
        }
        // The rest may still conflict when it is published.
        for location in request.certain_outputs() {
            let storage = self.storage(release);
            storage.check_free(&location, request.overwrite()).await.map_err(failed)?;
        }
        let mut inputs = TaskInputs::default();
        for (number, (input, _)) in request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let fetched = slot.folder.fetched(number);
            let opening = self.input_fetcher.open(
                &self.commands,
                &release.tenant,
                input,
                &fetched,
                &mut inputs,
            );
            tokio::select! {
                opened = opening => opened?,
                outcome = self.cancelled(release) => return Ok(Watched::Stopped(outcome)),
                error = bounds.time_exceeded() => return Err(error),
            }
        }
        let extension = output.and_then(Location::extension).unwrap_or_default();
        let task = MediaTask::Run {
            request: Box::new(request.clone()),
            capabilities: self.capabilities.clone(),
            assignment: PoolAssignment { hardware: spec.hardware, pool: spec.pool },
            output: format!("{OUTPUT}.{extension}"),
        };
        slot.send_task(&task, &inputs.files).await.map_err(|error| crashed(&error))?;
        inputs.files.clear();
        let inputs = &inputs.ranged;
        tokio::select! {
            biased;
            failure = inputs.failed() => Err(failure),
            watched = self.watch(release, spec, Watching { slot, bounds, inputs, scratch }, charged) => watched,
        }
    }

    /// Checks and stages the files of a child that has ended.
    async fn stage(
        &self,
        release: &Release,
        request: &MediaRequest,
        report: Report,
        mut spent: Spent,
        folder: &SlotFolder,
    ) -> Result<MediaOutcome, MediaError> {
        failpoint::hit("worker.before_stage");
        let written = folder.disk_usage(None).await.map_err(|error| crashed(&error))?;
        check_written(&written, self.max_output_bytes)?;
        let plan = report.kept_plan();
        let (made, stop) = (destinations(request, report.files)?, CancellationToken::new());
        let staging = made.into_iter().enumerate().map(|(number, made)| {
            let staged = staged(release.job, release.attempt, number);
            self.stage_file(release, request, made, staged, folder, &stop).boxed()
        });
        let staging: Vec<_> = staging.collect();
        let staging = stream::iter(staging).buffered(PARALLEL_FILES);
        let mut staging = pin!(staging.try_collect::<Vec<OutputFile>>());
        let files = tokio::select! {
            files = &mut staging => files?,
            outcome = self.cancelled(release) => {
                // Staging must have ended before the folder is dropped, or files would reappear.
                stop.cancel();
                let _ = staging.await;
                return Ok(MediaOutcome::Stopped(outcome));
            }
        };
        failpoint::hit("worker.after_stage");
        spent.bytes = files.iter().map(|file| file.size).sum();
        Ok(MediaOutcome::Outputs { files, result: report.result, spent: Some(spent), plan })
    }

    async fn stage_file(
        &self,
        release: &Release,
        request: &MediaRequest,
        made: MadeFile,
        staged: Staged,
        folder: &SlotFolder,
        stop: &CancellationToken,
    ) -> Result<OutputFile, MediaError> {
        let MadeFile { name, to, file: made } = made;
        let storage = self.storage(release);
        // Checked before anything is sealed; delivery checks it again.
        storage.check_free(&to, request.overwrite()).await.map_err(failed)?;
        let file = folder.open_made(&made.name).map_err(|error| unusable_file(&error))?;
        let received = storage.stage(&staged, file, &to, stop.clone()).await.map_err(failed)?;
        Ok(OutputFile {
            name: Personal::Clear(name),
            // A signature is in the request only.
            location: Personal::Clear(to.shown()),
            size: received.size,
            sha256: received.sha256,
            duration: made.duration,
            streams: made.streams,
        })
    }
}

/// A file that a child made, and what it is to be.
struct MadeFile {
    /// The name that the job lists it under.
    name: String,
    to: Location,
    file: VerifiedFile,
}

/// Where the files of a child go; fails if one is not the request's, or two have one destination.
fn destinations(
    request: &MediaRequest,
    files: Vec<VerifiedFile>,
) -> Result<Vec<MadeFile>, MediaError> {
    let mut taken = BTreeSet::new();
    let made = files.into_iter().map(|file| {
        let output = request.output().and_then(Personal::as_ref);
        let output = output.ok_or_else(|| erased("output"))?;
        let destination = outputs::destination(request, output, &file.name);
        let (name, to) = destination.ok_or_else(unexpected_file)?;
        if !taken.insert(to.to_string()) {
            return Err(unexpected_file());
        }
        Ok(MadeFile { name, to, file })
    });
    made.collect()
}

/// The failure of a job whose child reported a file that is none of the request's outputs.
fn unexpected_file() -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: "the media process created a file that the request does not ask for".to_owned(),
    }
}

/// The failure of a job whose child reported a file that is missing, or is not a regular file of
/// its own.
fn unusable_file(error: &std::io::Error) -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: format!("an output of the media process cannot be used: {error}"),
    }
}

/// The failure of an attempt during which the disk got full, when it had written so many bytes.
fn disk_was_full(written: u64, scratch: Option<&Reservation>) -> MediaError {
    if scratch.map_or(written == 0, |scratch| scratch.covers(written)) {
        return MediaError {
            code: FailureCode::ScratchFull,
            message:
                "the worker's disk was full; another worker, or a later attempt, may have the space"
                    .to_owned(),
        };
    }
    MediaError {
        code: FailureCode::ResourceExhausted,
        message: "the job filled the worker's disk: it wrote more than it was expected to, or than its share. A \
                  shorter part, a lower bitrate or fewer renditions help"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ffapi_domain::JobId;
    use uuid::Uuid;

    use super::*;
    use crate::scratch::ScratchDisk;

    #[test]
    fn an_attempt_counts_if_it_filled_the_disk_with_more_than_was_reserved() {
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), 0, 1);
        let job = JobId::from_uuid(Uuid::from_u128(1));
        let reserved = disk.reserve(job, 4096).unwrap().unwrap();
        let code = |written, scratch| disk_was_full(written, scratch).code;
        assert_eq!(code(4096, Some(&reserved)), FailureCode::ScratchFull);
        assert_eq!(code(4097, Some(&reserved)), FailureCode::ResourceExhausted);
        // A child that says that it needs nothing.
        assert_eq!(code(0, None), FailureCode::ScratchFull);
        assert_eq!(code(1, None), FailureCode::ResourceExhausted);
        for full in [FailureCode::ScratchFull, FailureCode::ResourceExhausted] {
            assert_eq!(full.retry_hint(), RetryHint::Retry);
        }
        assert!(!FailureCode::ResourceExhausted.is_deferral());
    }
}
