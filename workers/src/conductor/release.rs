use std::collections::BTreeSet;

use ffapi_domain::{
    dispatch::{self, DispatchEvent, Release},
    media::Pool,
};
use ffapi_nats::{
    Actor, AppendError, AppendRequest, CodecError, Decision, LogError, Position, failpoint,
    subject, trace,
};
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use super::Conductor;
use crate::{clock, metrics, task};

/// Maximum number of releases in one message.
const MAX_RELEASES: usize = 1000;

impl Conductor {
    /// Releases as many jobs as a pool has free slots, plus one for the slot that becomes free
    /// next.
    pub(super) async fn release(
        &mut self,
        pool: Pool,
        present: &BTreeSet<Pool>,
        slots: usize,
    ) -> Result<(), AppendError> {
        let wanted = slots.saturating_add(1);
        let free = wanted.saturating_sub(self.dispatch.in_flight_in(pool)).min(MAX_RELEASES);
        if free == 0 {
            return Ok(());
        }
        let now = clock::now();
        let jobs = self.dispatch.choose(pool, present, free, now);
        if jobs.is_empty() {
            return Ok(());
        }
        let span = debug_span!(
            parent: None,
            "dispatch",
            otel.name = "dispatch",
            ffapi.pool = pool.as_str(),
            ffapi.jobs = jobs.len(),
        );
        self.release_jobs(pool, jobs).instrument(span).await
    }

    async fn release_jobs(&mut self, pool: Pool, jobs: Vec<Release>) -> Result<(), AppendError> {
        let event = DispatchEvent::Released { jobs: jobs.clone() };
        failpoint::hit("conductor.before_release");
        // If another conductor was faster, its release arrives through the log.
        if let Some(at) = self.write(pool, event).await? {
            failpoint::hit("conductor.after_release");
            metrics::conductor::released(pool, jobs.len());
            self.offer(pool, &jobs, Some(at)).await;
            failpoint::hit("conductor.after_offer");
        }
        Ok(())
    }

    /// Takes back released jobs of pools without workers, if they can run elsewhere. If such a
    /// worker comes back and finds the old task, one of the two attempts starts and the log rejects
    /// the other.
    pub(super) async fn recall_stranded(
        &mut self,
        present: &BTreeSet<Pool>,
    ) -> Result<(), AppendError> {
        if !self.roster().is_settled() {
            return Ok(());
        }
        for (pool, mut jobs) in self.dispatch.stranded(present) {
            jobs.truncate(MAX_RELEASES);
            self.write(pool, DispatchEvent::TakenBack { jobs }).await?;
        }
        Ok(())
    }

    /// Appends a pool's event and folds it; none if another conductor was faster.
    async fn write(
        &mut self,
        pool: Pool,
        event: DispatchEvent,
    ) -> Result<Option<Position>, AppendError> {
        let (now, command_id) = (clock::now(), Uuid::now_v7());
        let actor = Actor::Process("dispatch".to_owned());
        let events = vec![event.clone()];
        let mut decision = Decision::new(command_id, actor, "_", now.as_millis(), events);
        decision.traceparent = trace::current().map(|context| context.to_string());
        let payload =
            self.commands.codec().encode(&decision).await.map_err(|error| match error {
                CodecError::Log(error) => error,
                CodecError::Unreadable(why) => LogError::Corrupt(why),
            })?;
        let request = AppendRequest {
            subject: subject::process(dispatch::CATEGORY, pool.as_str()),
            expected: self.last_round.get(&pool).copied().unwrap_or(0),
            command_id,
            payload,
        };
        match self.commands.log().append(request).await {
            Ok(sequence) => {
                self.last_round.insert(pool, sequence);
                self.dispatch.record_dispatch(pool, now, &event);
                let epoch = self.commands.log().identity().epoch;
                Ok(Some(Position { epoch, sequence, index: 0 }))
            }
            Err(AppendError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts released jobs into the work queue; failures are repaired by [`Self::reconcile`].
    async fn offer(&self, pool: Pool, jobs: &[Release], at: Option<Position>) {
        let offers = jobs.iter().map(|release| async move {
            let released_at = at.map(|at| at.to_string());
            let payload = task::Payload { release: release.clone(), released_at };
            let task = task::encode(&payload).into();
            let cause = self.origins.of(release.job);
            self.work.offer(pool.as_str(), &task::name(release), task, cause).await
        });
        for outcome in futures::future::join_all(offers).await {
            if let Err(error) = outcome {
                // The next reconciliation offers it again.
                tracing::warn!(%error, "cannot put a released job into the work queue");
            }
        }
    }

    /// Offers again the jobs that are released, not started, and missing from the work queue.
    pub(super) async fn reconcile(&self) -> Result<(), LogError> {
        for pool in Pool::ALL.iter().copied() {
            let waiting = self.dispatch.in_flight().iter();
            let waiting = waiting.filter(|(_, out)| out.pool == pool && out.worker.is_none());
            let mut lost: Vec<Release> = waiting
                .map(|(job, out)| Release {
                    job: *job,
                    tenant: out.tenant.clone(),
                    attempt: out.attempt,
                    waited: None,
                })
                .collect();
            if lost.is_empty() {
                continue;
            }
            let queued = self.work.names(pool.as_str()).await?;
            lost.retain(|release| !queued.contains(&task::name(release)));
            self.offer(pool, &lost, None).await;
        }
        Ok(())
    }
}
