//! Messages that a read model cannot apply: each is skipped (parked), with all later ones of its
//! aggregate. Other aggregates are not delayed.

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use ffapi_domain::Tenant;
use ffapi_nats::Message;
use futures::FutureExt;
use sqlx::{Connection, PgConnection};

use super::{Projection, Runner};
use crate::{ProjectionError, error::Flaw, metrics};

/// The subjects whose messages a read model skips.
#[derive(Debug)]
pub(super) struct Parked {
    name: &'static str,
    subjects: BTreeSet<String>,
}

impl Parked {
    pub(super) async fn load(
        connection: &mut PgConnection,
        name: &'static str,
    ) -> Result<Self, ProjectionError> {
        let subjects: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT subject FROM projection_parked WHERE name = $1")
                .bind(name)
                .fetch_all(connection)
                .await?;
        Ok(Self { name, subjects: subjects.into_iter().collect() })
    }

    fn holds(&self, message: &Message) -> bool {
        self.subjects.contains(&*crate::storable::text(&message.subject))
    }

    /// Records that a message was skipped, and why; nothing of its contents.
    async fn add(
        &mut self,
        transaction: &mut PgConnection,
        message: &Message,
        flaw: &Flaw,
    ) -> Result<(), ProjectionError> {
        let subject = crate::storable::text(&message.subject).into_owned();
        sqlx::query(
            "INSERT INTO projection_parked (name, sequence, subject, error)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(self.name)
        .bind(i64::try_from(message.sequence).unwrap_or(i64::MAX))
        .bind(&subject)
        .bind(flaw.to_string())
        .execute(transaction)
        .await?;
        if *flaw != Flaw::Follows {
            tracing::error!(projection = self.name, message.sequence, %flaw, "message parked");
            self.subjects.insert(subject);
            metrics::parked(self.name);
        }
        Ok(())
    }

    /// Deletes the records of a tenant's parked messages.
    pub(super) async fn forget(
        &mut self,
        transaction: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<(), ProjectionError> {
        sqlx::query(
            "DELETE FROM projection_parked WHERE name = $1 AND split_part(subject, '.', 3) = $2",
        )
        .bind(self.name)
        .bind(tenant.as_str())
        .execute(transaction)
        .await?;
        self.subjects.retain(|subject| subject.split('.').nth(2) != Some(tenant.as_str()));
        Ok(())
    }
}

impl<P: Projection> Runner<P> {
    /// Applies the messages that can be applied, and parks the others. Returns an error only if a
    /// retry may succeed.
    pub(super) async fn apply(
        &self,
        transaction: &mut PgConnection,
        parked: &mut Parked,
        batch: &[Message],
        prepared: &P::Prepared,
    ) -> Result<(), ProjectionError> {
        let (blocked, applicable): (Vec<Message>, Vec<Message>) =
            batch.iter().cloned().partition(|message| parked.holds(message));
        for message in &blocked {
            parked.add(transaction, message, &Flaw::Follows).await?;
        }
        if self.attempt(transaction, &applicable, prepared).await?.is_none() {
            return Ok(());
        }
        for message in &applicable {
            let flaw = if parked.holds(message) {
                Some(Flaw::Follows)
            } else {
                self.attempt(transaction, std::slice::from_ref(message), prepared).await?
            };
            if let Some(flaw) = flaw {
                parked.add(transaction, message, &flaw).await?;
            }
        }
        Ok(())
    }

    /// Applies all of a batch or nothing; returns what is wrong with it, if it cannot be applied.
    async fn attempt(
        &self,
        transaction: &mut PgConnection,
        batch: &[Message],
        prepared: &P::Prepared,
    ) -> Result<Option<Flaw>, ProjectionError> {
        let mut attempt = transaction.begin().await?;
        let sequence = batch.first().map_or(0, |message| message.sequence);
        // A panic would come again at each start.
        let applied = self.projection.apply(&mut attempt, &self.codec, batch, prepared);
        let applied = AssertUnwindSafe(applied);
        let panicked = |_| Err(ProjectionError::Poison { sequence, flaw: Flaw::Panicked });
        let Err(error) = applied.catch_unwind().await.unwrap_or_else(panicked) else {
            attempt.commit().await?;
            return Ok(None);
        };
        let flaw = error.flaw().ok_or(error)?;
        attempt.rollback().await?;
        Ok(Some(flaw))
    }
}
