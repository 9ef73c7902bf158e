//! From a released job to staged outputs: the child works and is ended; only then its files are
//! checked and taken.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use ffapi_domain::{
    Personal,
    account::Limits,
    dispatch::Release,
    job::{FailureCode, OutputFile, RetryHint},
    location::Location,
    media::{MediaRequest, Spent},
};
use ffapi_media::{
    MediaError,
    protocol::{PoolAssignment, Task as MediaTask, VerifiedFile},
};
use ffapi_nats::failpoint;
use ffapi_storage::Staged;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    AttemptContext, AttemptSpec, Outcome, PARALLEL_FILES,
    bounds::{Bounds, check_written},
    supervise::{TimeLimit, WaitsFor},
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

/// What an attempt made: its outputs are staged.
pub(super) struct Made {
    pub(super) files: Vec<OutputFile>,
    pub(super) result: Option<serde_json::Value>,
    pub(super) spent: Spent,
    /// The plan that was followed, as JSON that every reader accepts.
    pub(super) plan: Option<serde_json::Value>,
}

/// How long the end of staging is waited for, once it is to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

impl AttemptContext {
    /// Runs the media child, then verifies and stages its outputs: all of that within the job's time.
    pub(super) async fn make_outputs(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        mut slot: Slot,
        limits: &Limits,
        charged: &mut Charged,
    ) -> Result<Made, Outcome> {
        let time = TimeLimit::start(limits, WaitsFor::Store);
        let bounds = Bounds::new(limits, slot.memory, self.max_output_bytes);
        let scratch = self.scratch.for_job(release.job);
        let child = Child { slot: &mut slot, bounds: &bounds, scratch: &scratch, time: &time };
        let running = Box::pin(self.run_child(release, spec, child, charged));
        let watched = self.supervise(release, &time, running).await;
        // Once the child is reaped nothing can change the files: what is hashed is what is served.
        let reaped = slot.reap().await;
        let made = match watched {
            Ok(Ok(watched)) => {
                self.stage(release, spec.request, watched, &reaped.folder, &time).await
            }
            Ok(Err(error)) => Err(Outcome::Fail(error)),
            Err(outcome) => Err(outcome),
        };
        let made = match made {
            Err(Outcome::Fail(error)) => {
                let error = self.unless_full(release, error, &reaped.folder, &scratch).await;
                Err(Outcome::Fail(error))
            }
            made => made,
        };
        reaped.remove().await;
        drop(scratch);
        made
    }

    /// The failure of an attempt; if it may succeed elsewhere and the disk is full, that of the disk: the
    /// child's own words are not trusted. A job that wrote more than was reserved for it has filled the disk
    /// itself: then the attempt counts.
    async fn unless_full(
        &self,
        release: &Release,
        error: MediaError,
        folder: &SlotFolder,
        scratch: &Reservation,
    ) -> MediaError {
        let is_known = error.code == FailureCode::ScratchFull;
        let may_succeed = error.code.retry_hint() == RetryHint::Retry;
        if is_known || !may_succeed || !self.scratch.is_full() {
            return error;
        }
        scratch.record_made(folder.disk_usage(None).await.map_or(0, |usage| usage.bytes));
        scratch.record_full();
        tracing::warn!(job = %release.job, "the scratch disk is full");
        disk_was_full(scratch)
    }

    /// Makes sure that the outputs can be published, opens the inputs, sends the child its task, and watches it
    /// to its end.
    async fn run_child(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        Child { slot, bounds, scratch, time }: Child<'_>,
        charged: &mut Charged,
    ) -> Result<Watched, MediaError> {
        let request = spec.request;
        let output = match request.output() {
            Some(output) => Some(output.as_ref().ok_or_else(|| erased("output"))?),
            None => None,
        };
        if let Some(Location::Web(url)) = output {
            ffapi_storage::check_signature(url).map_err(put_failed)?;
        }
        let storage = self.storage(release);
        // Outputs that an earlier attempt published before the job failed would block this one's.
        let withdrawn = outputs::withdraw_undelivered(&storage, release.job, spec.history).await;
        withdrawn.map_err(failed)?;
        // The rest may still conflict when it is published.
        for location in request.certain_outputs() {
            storage.check_free(&location, request.overwrite()).await.map_err(failed)?;
        }
        let mut inputs = TaskInputs::on(scratch);
        for (number, (input, _)) in request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let is_web = matches!(input, Location::Web(_));
            time.wait_for(if is_web { WaitsFor::Media } else { WaitsFor::Store });
            let fetched = slot.folder.fetched(number);
            let (commands, tenant) = (&self.commands, &release.tenant);
            self.input_fetcher.open(commands, tenant, input, &fetched, &mut inputs).await?;
        }
        time.wait_for(WaitsFor::Media);
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
        Watched { report, mut spent }: Watched,
        folder: &SlotFolder,
        time: &TimeLimit,
    ) -> Result<Made, Outcome> {
        time.wait_for(WaitsFor::Store);
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
        let files = match self.supervise(release, time, staging.as_mut()).await {
            Ok(files) => files?,
            Err(outcome) => {
                // On a disk, staging must have ended before the folder is dropped, or files would reappear.
                stop.cancel();
                let _ = tokio::time::timeout(STOP_TIMEOUT, staging).await;
                return Err(outcome);
            }
        };
        failpoint::hit("worker.after_stage");
        spent.bytes = files.iter().map(|file| file.size).sum();
        Ok(Made { files, result: report.result, spent, plan })
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

/// A child that is to work, and what bounds it.
struct Child<'a> {
    slot: &'a mut Slot,
    bounds: &'a Bounds,
    scratch: &'a Reservation,
    time: &'a TimeLimit,
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

/// The failure of an attempt during which the disk got full.
fn disk_was_full(scratch: &Reservation) -> MediaError {
    if scratch.covers_written() {
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
        let scratch = disk.for_job(job);
        let code = |fetched, made| {
            scratch.record_fetched(fetched);
            scratch.record_made(made);
            disk_was_full(&scratch).code
        };
        // A child that says that it needs nothing.
        assert_eq!(code(0, 0), FailureCode::ScratchFull);
        assert_eq!(code(0, 1), FailureCode::ResourceExhausted);
        scratch.reserve_outputs(4096).unwrap().unwrap();
        assert_eq!(code(0, 4096), FailureCode::ScratchFull);
        assert_eq!(code(0, 4097), FailureCode::ResourceExhausted);
        // Inputs from the web count like outputs.
        assert_eq!(code(4096, 1), FailureCode::ResourceExhausted);
        for full in [FailureCode::ScratchFull, FailureCode::ResourceExhausted] {
            assert_eq!(full.retry_hint(), RetryHint::Retry);
        }
        assert!(!FailureCode::ResourceExhausted.is_deferral());
    }
}
