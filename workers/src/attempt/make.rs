//! From a released job to staged outputs: the child works and is ended; only then its files are
//! checked and taken.

use std::{collections::BTreeSet, pin::pin};

use ffapi_domain::{
    Personal,
    dispatch::Release,
    job::{FailureCode, OutputFile},
    location::Location,
    media::{MediaRequest, Spent},
};
use ffapi_media::{
    MediaError,
    protocol::{PoolAssignment, Report, Task as MediaTask},
};
use ffapi_nats::failpoint;
use tokio_util::sync::CancellationToken;

use super::{
    AttemptContext, AttemptSpec, Outcome,
    bounds::{Bounds, check_written},
    watch::Watched,
};
use crate::{
    failure::{crashed, erased, failed},
    input_fetcher::FetchedInputs,
    media_minutes::Charged,
    outputs::{self, OUTPUT, staged},
    slot::{Slot, SlotFolder},
};

/// How an attempt's media work ended.
pub(super) enum MediaOutcome {
    /// The outputs are staged.
    Outputs { files: Vec<OutputFile>, result: Option<serde_json::Value>, spent: Option<Spent> },
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
        let watched = self.run_child(release, spec, &mut slot, &bounds, charged).await;
        // Once the child is reaped nothing can change the files: what is hashed is what is served.
        let reaped = slot.reap().await;
        let outcome = match watched {
            Ok(Watched::Report { report, spent }) => {
                self.stage(release, spec.request, report, spent, &reaped.folder).await
            }
            Ok(Watched::Stopped(outcome)) => Ok(MediaOutcome::Stopped(outcome)),
            Err(error) => Err(error),
        };
        reaped.remove().await;
        outcome
    }

    /// Opens the inputs, sends the child its task, and watches it to its end.
    async fn run_child(
        &self,
        release: &Release,
        spec: AttemptSpec<'_>,
        slot: &mut Slot,
        bounds: &Bounds,
        charged: &mut Charged,
    ) -> Result<Watched, MediaError> {
        let request = spec.request;
        let output = match request.output() {
            Some(output) => Some(output.as_ref().ok_or_else(|| erased("output"))?),
            None => None,
        };
        // The rest may still conflict when it is published.
        for location in request.certain_outputs() {
            let storage = self.storage(release)?;
            storage.check_free(&location, request.overwrite()).await.map_err(failed)?;
        }
        let (mut inputs, mut all_fetched) = (Vec::new(), FetchedInputs::default());
        for (number, (input, _)) in request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let fetched = slot.folder.fetched(number);
            let opening = self.input_fetcher.open(
                &self.commands,
                &release.tenant,
                input,
                &fetched,
                &mut all_fetched,
            );
            tokio::select! {
                opened = opening => inputs.push(opened?),
                outcome = self.cancelled(release) => return Ok(Watched::Stopped(outcome)),
                error = bounds.time_exceeded() => return Err(error),
            }
        }
        let extension = output.and_then(Location::extension).unwrap_or_default();
        let task = MediaTask::Run {
            request: Box::new(request.clone()),
            capabilities: self.capabilities.clone(),
            place: PoolAssignment { hardware: spec.hardware, pool: spec.pool },
            output: format!("{OUTPUT}.{extension}"),
        };
        slot.send_task(&task, &inputs).await.map_err(|error| crashed(&error))?;
        drop(inputs);
        self.watch(release, spec, slot, bounds, charged).await
    }

    /// Stages the files of a child that has ended, one by one.
    async fn stage(
        &self,
        release: &Release,
        request: &MediaRequest,
        report: Report,
        mut spent: Spent,
        folder: &SlotFolder,
    ) -> Result<MediaOutcome, MediaError> {
        failpoint::hit("worker.before_stage");
        let written = folder.disk_usage().await.map_err(|error| crashed(&error))?;
        check_written(&written, self.max_output_bytes)?;
        let storage = self.storage(release)?;
        let mut files = Vec::new();
        let mut locations = BTreeSet::new();
        let mut cancelled = pin!(self.cancelled(release));
        for (number, made) in report.files.into_iter().enumerate() {
            let output = request.output().and_then(Personal::as_ref);
            let output = output.ok_or_else(|| erased("output"))?;
            let destination = outputs::destination(request, output, &made.name);
            let (name, to) = destination.ok_or_else(unexpected_file)?;
            if !locations.insert(to.to_string()) {
                return Err(unexpected_file());
            }
            // Checked before anything is sealed; delivery checks it again.
            storage.check_free(&to, request.overwrite()).await.map_err(failed)?;
            let file = folder.open_made(&made.name).map_err(|error| unusable_file(&error))?;
            let staged = staged(release.job, release.attempt, number);
            let stop = CancellationToken::new();
            let mut staging = pin!(storage.stage(&staged, file, stop.clone()));
            let received = tokio::select! {
                received = &mut staging => received.map_err(failed)?,
                outcome = &mut cancelled => {
                    // Staging must have ended before the folder is dropped, or files would
                    // reappear.
                    stop.cancel();
                    let _ = staging.await;
                    return Ok(MediaOutcome::Stopped(outcome));
                }
            };
            files.push(OutputFile {
                name: Personal::Clear(name),
                location: Personal::Clear(to.to_string()),
                size: received.size,
                sha256: received.sha256,
                duration: made.duration,
                streams: made.streams,
            });
        }
        failpoint::hit("worker.after_stage");
        spent.bytes = files.iter().map(|file| file.size).sum();
        Ok(MediaOutcome::Outputs { files, result: report.result, spent: Some(spent) })
    }
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
