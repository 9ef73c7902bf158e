use std::collections::BTreeSet;

use ffapi_domain::{
    dispatch::{self, DispatchEvent, Release},
    media::Pool,
};
use ffapi_nats::{
    Actor, AppendError, AppendRequest, CodecError, Decision, LogError, Position, failpoint,
};
use uuid::Uuid;

use super::Conductor;
use crate::{clock, task};

/// At most so many releases in one message.
const MAX_ROUND: usize = 1000;

impl Conductor {
    /// Releases as many jobs as a pool has free slots, and one for whoever is free next.
    pub(super) async fn release(
        &mut self,
        pool: Pool,
        present: &BTreeSet<Pool>,
        slots: usize,
    ) -> Result<(), AppendError> {
        let free = slots.saturating_add(1).saturating_sub(self.state.out_in(pool)).min(MAX_ROUND);
        if free == 0 {
            return Ok(());
        }
        let now = clock::now();
        let jobs = self.state.choose(pool, present, free, now);
        if jobs.is_empty() {
            return Ok(());
        }
        let event = DispatchEvent::Released { jobs: jobs.clone() };
        failpoint::hit("conductor.before_release");
        // If another conductor was faster, its round comes to us by the log.
        if let Some(at) = self.write(pool, event).await? {
            failpoint::hit("conductor.after_release");
            self.offer(pool, &jobs, Some(at)).await;
            failpoint::hit("conductor.after_offer");
        }
        Ok(())
    }

    /// Takes back what waits for pools whose workers are gone, and may go elsewhere. Should a worker
    /// come back and find the old task, one of the two starts, and the log refuses the other.
    pub(super) async fn take_back(&mut self, present: &BTreeSet<Pool>) -> Result<(), AppendError> {
        if !self.roster().hears() {
            return Ok(());
        }
        for (pool, mut jobs) in self.state.stranded(present) {
            jobs.truncate(MAX_ROUND);
            self.write(pool, DispatchEvent::TakenBack { jobs }).await?;
        }
        Ok(())
    }

    /// Appends what is decided of a pool, and folds it in; none if another conductor was faster.
    async fn write(
        &mut self,
        pool: Pool,
        event: DispatchEvent,
    ) -> Result<Option<Position>, AppendError> {
        let (now, command_id) = (clock::now(), Uuid::now_v7());
        let decision = Decision {
            command_id,
            correlation_id: command_id,
            causation: None,
            actor: Actor::Process("dispatch".to_owned()),
            tenant: "_".to_owned(),
            at: now.as_millis(),
            traceparent: None,
            address: None,
            schema: 1,
            events: vec![event.clone()],
            stands: None,
        };
        let payload =
            self.commands.codec().encode(&decision).await.map_err(|error| match error {
                CodecError::Log(error) => error,
                CodecError::Unreadable(why) => LogError::Corrupt(why),
            })?;
        let draft = AppendRequest {
            subject: format!("ev.{}._.{}", dispatch::CATEGORY, pool.as_str()),
            expected: self.last_round.get(&pool).copied().unwrap_or(0),
            command_id,
            payload,
        };
        match self.commands.log().append(draft).await {
            Ok(sequence) => {
                self.last_round.insert(pool, sequence);
                self.state.written(pool, now, &event);
                let epoch = self.commands.log().identity().epoch;
                Ok(Some(Position { epoch, sequence, index: 0 }))
            }
            Err(AppendError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn offer(&self, pool: Pool, jobs: &[Release], at: Option<Position>) {
        let offers = jobs.iter().map(|release| async move {
            let released_at = at.map(|at| at.to_string());
            let order = task::Order { release: release.clone(), released_at };
            let task = task::encode(&order).into();
            self.work.offer(pool.as_str(), &task::name(release), task).await
        });
        for outcome in futures::future::join_all(offers).await {
            if let Err(error) = outcome {
                // The next comparison offers it again.
                tracing::warn!(%error, "a released task was not offered");
            }
        }
    }

    /// Offers again what was released, not started, and is not in the queue.
    pub(super) async fn reconcile(&self) -> Result<(), LogError> {
        for pool in Pool::ALL.iter().copied() {
            let waiting = self.state.out().iter();
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
