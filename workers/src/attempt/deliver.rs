//! Publishes sealed outputs, or puts them at the client's URLs, and completes the job. Idempotent.

use ffapi_domain::{
    Personal,
    dispatch::Release,
    job::{JobCommand, JobRejection, OutputFile},
    location::Location,
    media::{MediaRequest, Overwrite},
};
use ffapi_media::MediaError;
use ffapi_nats::failpoint;
use ffapi_storage::Received;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{
    AttemptContext, Outcome, PARALLEL_FILES,
    clean_up::{AFTERWARDS, clean_up},
    supervise::{TimeLimit, WaitsFor},
};
use crate::{
    failure::{erased, failed, put_failed},
    outputs::staged,
    retry_until_decided::{Refused, retry_until_decided},
};

/// The sealed outputs of an attempt.
struct Sealed<'a> {
    release: &'a Release,
    /// The attempt that sealed them.
    by: u32,
    overwrite: Overwrite,
    /// Where they are put, if no store is to have them.
    put: Option<&'a Location>,
}

impl AttemptContext {
    /// Publishes the sealed outputs under their final names and completes the job.
    pub(super) async fn deliver(
        &self,
        release: &Release,
        request: &MediaRequest,
        sealed_by: u32,
        outputs: &[OutputFile],
    ) -> Result<Outcome, Outcome> {
        let output = request.output().and_then(Personal::as_ref);
        let put = output.filter(|output| output.is_put());
        let sealed = Sealed { release, by: sealed_by, overwrite: request.overwrite(), put };
        let waits_for = if put.is_some() { WaitsFor::OutputHost } else { WaitsFor::Store };
        let time = TimeLimit::start(&self.limits(release).await, waits_for);
        // Nothing is sent once the cancellation was requested.
        if put.is_some()
            && let Some(outcome) = self.ended(release).await
        {
            return Ok(outcome);
        }
        // Whatever was published until it ends: another attempt continues there.
        let publishing = Box::pin(self.publish_all(&sealed, outputs));
        self.supervise(release, &time, publishing).await??;
        failpoint::hit("worker.before_complete");
        let complete = JobCommand::Complete { attempt: release.attempt };
        let completed = retry_until_decided(&self.commands, &self.caller, release, complete).await;
        match completed {
            Ok(_) => {}
            Err(Refused::Rejected(JobRejection::Cancelling)) => return Ok(Outcome::Cancelled),
            Err(_) => return Ok(Outcome::Superseded),
        }
        if let Some(output) = output {
            // Also removes what earlier attempts that died left behind.
            let storage = self.storage(release);
            let clearing = storage.clear_staging(release.job, release.attempt, output);
            clean_up(release, AFTERWARDS, clearing).await;
        }
        failpoint::hit("worker.after_complete");
        Ok(Outcome::Done)
    }

    /// Publishes files side by side, and then the playlists, which name them, in their order.
    async fn publish_all(
        &self,
        sealed: &Sealed<'_>,
        outputs: &[OutputFile],
    ) -> Result<(), MediaError> {
        let (playlists, files): (Vec<_>, Vec<_>) =
            outputs.iter().enumerate().partition(|(_, output)| is_playlist(output));
        let publishing =
            files.into_iter().map(|(number, file)| self.publish(sealed, number, file).boxed());
        let publishing: Vec<_> = publishing.collect();
        let published = stream::iter(publishing).buffer_unordered(PARALLEL_FILES);
        published.try_collect::<()>().await?;
        for (number, playlist) in playlists {
            self.publish(sealed, number, playlist).await?;
        }
        Ok(())
    }

    async fn publish(
        &self,
        sealed: &Sealed<'_>,
        number: usize,
        output: &OutputFile,
    ) -> Result<(), MediaError> {
        let staged = staged(sealed.release.job, sealed.by, number);
        let storage = self.storage(sealed.release);
        if let Some(put) = sealed.put {
            let name = output.name.as_ref().ok_or_else(|| erased("output"))?;
            let to = if put.is_put_template() { put.child(name) } else { put.clone() };
            let file = Received { size: output.size, sha256: output.sha256.clone() };
            let egress = &self.input_fetcher.egress;
            return storage.put(egress, &staged, &to, &file).await.map_err(put_failed);
        }
        let to = output.location.as_ref().ok_or_else(|| erased("output"))?;
        let to = Location::try_from(to.clone()).map_err(|_| erased("output"))?;
        let published = storage.publish(&staged, &to, &output.sha256, sealed.overwrite);
        published.await.map_err(failed)
    }
}

fn is_playlist(output: &OutputFile) -> bool {
    let name = output.name.as_ref().map(String::as_str).unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "m3u8" | "mpd"))
}
