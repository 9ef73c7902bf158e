//! Reads of the read models that contain what their reader knows of.

use std::{sync::Arc, time::Duration};

use ffapi_commands::Commands;
use ffapi_domain::Tenant;
use ffapi_nats::{LogError, ParsePositionError, Position};
use ffapi_projections::{Database, Projection, ProjectionError};

use crate::{
    positions::Positions,
    read_barrier::{Consistency, ReadBarrier},
};

/// The read models, and what is known of how far they are.
#[derive(Debug)]
pub(crate) struct ReadModels {
    pub(crate) database: Database,
    pub(crate) positions: Positions,
    pub(crate) barrier: ReadBarrier,
    commands: Arc<Commands>,
}

/// Why a read model does not contain what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatchUpError {
    /// `min_position` is no position.
    #[error(transparent)]
    Malformed(#[from] ParsePositionError),
    /// `min_position` is from before the log was restored.
    #[error("the log was restored and is now in epoch {0}; start over")]
    OtherEpoch(u32),
    /// It was not reached in time; this position was.
    #[error("the read models have not reached `min_position` yet; try again")]
    Behind(Position),
    /// The positions could not be read.
    #[error(transparent)]
    Database(#[from] ProjectionError),
    /// The end of the log is not known.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// How long a request waits for its `min_position` before it gets 503.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a read model to contain the tenant's own events.
const OWN_EVENTS_TIMEOUT: Duration = Duration::from_secs(1);

impl ReadModels {
    pub(crate) fn new(
        commands: Arc<Commands>,
        database: Database,
        consistency: Consistency,
    ) -> Self {
        let (positions, barrier) = (Positions::default(), ReadBarrier::new(consistency));
        Self { database, positions, barrier, commands }
    }

    /// The sequence of the newest event of a tenant that was appended before the call; see
    /// [`ReadBarrier::newest`].
    pub(crate) async fn newest(&self, tenant: &Tenant) -> u64 {
        self.barrier.newest(self.commands.log(), tenant).await
    }

    /// True if a read model is known to have reached a sequence of the log.
    pub(crate) fn have_reached<P: Projection>(&self, sequence: u64) -> bool {
        self.positions.has_reached::<P>(sequence)
    }

    /// Waits until a read model has reached `min_position`, or without one, until it contains what
    /// the tenant may know of: its events from before the call. A read model that stays behind for a
    /// second is read as it is in that case.
    ///
    /// # Errors
    /// When `min_position` is invalid, or is not reached in time.
    pub(crate) async fn catch_up<P: Projection>(
        &self,
        tenant: &Tenant,
        min_position: Option<&str>,
    ) -> Result<(), CatchUpError> {
        if min_position.is_some() {
            return self.reach::<P>(min_position).await;
        }
        self.wait_briefly::<P>(self.newest(tenant).await).await
    }

    /// As `catch_up`, with the events of all tenants.
    ///
    /// # Errors
    /// As `catch_up`, and when the log does not respond.
    pub(crate) async fn catch_up_all<P: Projection>(
        &self,
        min_position: Option<&str>,
    ) -> Result<(), CatchUpError> {
        if min_position.is_some() {
            return self.reach::<P>(min_position).await;
        }
        self.wait_briefly::<P>(self.commands.log().last_sequence().await?).await
    }

    async fn wait_briefly<P: Projection>(&self, sequence: u64) -> Result<(), CatchUpError> {
        self.positions.wait::<P>(&self.database, sequence, OWN_EVENTS_TIMEOUT).await?;
        Ok(())
    }

    /// Waits until a read model has reached `min_position`; returns at once if there is none.
    ///
    /// # Errors
    /// When the position is invalid or of another epoch, or is not reached in time.
    pub(crate) async fn reach<P: Projection>(
        &self,
        min_position: Option<&str>,
    ) -> Result<(), CatchUpError> {
        let Some(text) = min_position else { return Ok(()) };
        let target: Position = text.parse()?;
        let epoch = self.commands.log().identity().epoch;
        if target.epoch != epoch {
            return Err(CatchUpError::OtherEpoch(epoch));
        }
        let wait = self.positions.wait::<P>(&self.database, target.sequence, CATCH_UP_TIMEOUT);
        match wait.await? {
            reached if reached >= target.sequence => Ok(()),
            sequence => Err(CatchUpError::Behind(Position { epoch, sequence, index: 0 })),
        }
    }
}
