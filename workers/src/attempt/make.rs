//! From a released job to staged outputs: the child works, is ended, and only then is believed.

use std::{collections::BTreeSet, pin::pin};

use ffapi_domain::{
    Personal,
    dispatch::Release,
    job::{FailureCode, OutputFile},
    location::Location,
    media::{MediaRequest, Overwrite, Spent},
};
use ffapi_media::{
    MediaError,
    protocol::{Place, Report, Task as MediaTask},
};
use ffapi_nats::failpoint;
use ffapi_storage::StorageError;
use tokio_util::sync::CancellationToken;

use super::{
    AttemptContext, Order, Outcome,
    bounds::{Bounds, check_written},
    watch::Watched,
};
use crate::{
    failure::{crashed, erased, failed},
    media_minutes::Charged,
    outputs::{self, OUTPUT, staged},
    slot::{Slot, SlotFolder},
};

/// What came of an attempt's media work.
pub(super) enum Made {
    /// It is staged.
    Outputs { files: Vec<OutputFile>, result: Option<serde_json::Value>, spent: Option<Spent> },
    /// It was stopped.
    Stopped(Outcome),
}

impl AttemptContext {
    /// Encodes, verifies and stages.
    pub(super) async fn make(
        &self,
        release: &Release,
        order: Order<'_>,
        mut slot: Slot,
        charged: &mut Charged,
    ) -> Result<Made, MediaError> {
        let bounds = self.bounds(release, &slot).await;
        let worked = self.work(release, order, &mut slot, &bounds, charged).await;
        // What is hashed and served is what stands there now: nothing writes to it any more.
        let remains = slot.reap().await;
        let made = match worked {
            Ok(Watched::Report { report, spent }) => {
                self.stage(release, order.request, report, spent, &remains.folder).await
            }
            Ok(Watched::Stopped(outcome)) => Ok(Made::Stopped(outcome)),
            Err(error) => Err(error),
        };
        remains.remove().await;
        made
    }

    /// Hands a child its task, and follows it to its end.
    async fn work(
        &self,
        release: &Release,
        order: Order<'_>,
        slot: &mut Slot,
        bounds: &Bounds,
        charged: &mut Charged,
    ) -> Result<Watched, MediaError> {
        let request = order.request;
        let output = match request.output() {
            Some(output) => Some(output.as_ref().ok_or_else(|| erased("output"))?),
            None => None,
        };
        let keep = request.overwrite() == Overwrite::Fail && !request.makes_folder();
        if let Some(output) = output.filter(|_| keep)
            && self.storage(release)?.is_taken(output).await.map_err(failed)?
        {
            return Err(failed(StorageError::Exists(output.to_string())));
        }
        let mut inputs = Vec::new();
        for (number, (input, _)) in request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let fetched = slot.folder.fetched(number);
            let opening = self.sources.open(&self.commands, &release.tenant, input, &fetched);
            tokio::select! {
                opened = opening => inputs.push(opened?),
                outcome = self.called_off(release) => return Ok(Watched::Stopped(outcome)),
                late = bounds.over() => return Err(late),
            }
        }
        let extension = output.and_then(Location::extension).unwrap_or_default();
        let work = MediaTask::Run {
            request: Box::new(request.clone()),
            capabilities: self.capabilities.clone(),
            place: Place { hardware: order.hardware, pool: order.pool },
            output: format!("{OUTPUT}.{extension}"),
        };
        slot.give(&work, &inputs).await.map_err(|error| crashed(&error))?;
        drop(inputs);
        self.watch(release, order, slot, bounds, charged).await
    }

    /// Takes what a child that is gone made, file by file.
    async fn stage(
        &self,
        release: &Release,
        request: &MediaRequest,
        report: Report,
        mut spent: Spent,
        folder: &SlotFolder,
    ) -> Result<Made, MediaError> {
        failpoint::hit("worker.before_stage");
        let written = folder.load().await.map_err(|error| crashed(&error))?;
        check_written(&written, self.max_output_bytes)?;
        let storage = self.storage(release)?;
        let mut files = Vec::new();
        let mut places = BTreeSet::new();
        let mut called_off = pin!(self.called_off(release));
        for (number, made) in report.files.into_iter().enumerate() {
            let whole = request.output().and_then(Personal::as_ref);
            let whole = whole.ok_or_else(|| erased("output"))?;
            let (name, to) = outputs::place(request, whole, &made.name).ok_or_else(unplanned)?;
            if !places.insert(to.to_string()) {
                return Err(unplanned());
            }
            let file = folder.open_made(&made.name).map_err(|error| missing(&error))?;
            let there = staged(release.job, release.attempt, number);
            let stop = CancellationToken::new();
            let mut staging = pin!(storage.stage(&there, file, stop.clone()));
            let received = tokio::select! {
                received = &mut staging => received.map_err(failed)?,
                outcome = &mut called_off => {
                    // Nothing appears any more once the rest is dropped.
                    stop.cancel();
                    let _ = staging.await;
                    return Ok(Made::Stopped(outcome));
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
        Ok(Made::Outputs { files, result: report.result, spent: Some(spent) })
    }
}

/// A name that is none of this request's outputs.
fn unplanned() -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: "the media process made a file that the request does not ask for".to_owned(),
    }
}

/// What was said to be made is not there, or is no file of the child's.
fn missing(error: &std::io::Error) -> MediaError {
    MediaError {
        code: FailureCode::MediaCrashed,
        message: format!("what the media process made cannot be taken: {error}"),
    }
}
