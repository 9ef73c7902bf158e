//! Erasure of a tenant: its rows are rebuilt from its messages, without the personal fields.

use std::collections::BTreeSet;

use ffapi_domain::Tenant;
use ffapi_nats::{Message, PageLimits, failpoint, subject};
use sqlx::{Connection, PgConnection};

use super::{Projection, Runner, parked::Parked};
use crate::{Checkpoint, ProjectionError, erasure::ErasedAggregates};

/// What is read and applied at once.
const PAGE: PageLimits = PageLimits { messages: 1_000, bytes: 16 * 1024 * 1024 };

impl<P: Projection> Runner<P> {
    /// Removes a tenant's personal data from the rows of the messages up to the checkpoint. Its parked
    /// messages are retried, since they may have been parked for a personal field that is erased now.
    /// Later messages are decoded without personal fields when this returns.
    ///
    /// The log is read between transactions: each applies one page. The checkpoint, which is before the
    /// message with the erasure, stays as it is. So an erasure that ends early is repeated from its
    /// beginning, which deletes the rows again that it had written.
    pub(super) async fn erase_before(
        &self,
        connection: &mut PgConnection,
        checkpoint: &Checkpoint,
        parked: &mut Parked,
        tenant: &Tenant,
    ) -> Result<(), ProjectionError> {
        self.codec.forget(tenant.as_str()).await;
        let mut transaction = connection.begin().await?;
        checkpoint.hold(&mut transaction).await?;
        parked.forget(&mut transaction, tenant).await?;
        transaction.commit().await?;
        for category in P::PERSONAL {
            let filter = subject::category_of_tenant(category, tenant);
            let (mut from, mut seen) = (1, BTreeSet::new());
            loop {
                let mut page = self.log.page_within(&filter, from, PAGE).await?.messages;
                page.retain(|message| message.sequence <= checkpoint.sequence);
                let Some(last) = page.last() else { break };
                from = last.sequence.saturating_add(1);
                let mut transaction = connection.begin().await?;
                checkpoint.hold(&mut transaction).await?;
                let ids = new_ids(&page, &mut seen);
                self.projection
                    .forget(&mut transaction, &ErasedAggregates { tenant, ids: &ids })
                    .await?;
                self.apply(&mut transaction, parked, &page, &P::Prepared::default()).await?;
                transaction.commit().await?;
                failpoint::hit(format_args!("projector.after_erased_page.{}", P::NAME));
            }
        }
        Ok(())
    }
}

/// The ids of the aggregates of a page that were not on an earlier one, as the rows have them.
fn new_ids(page: &[Message], seen: &mut BTreeSet<String>) -> Vec<String> {
    let ids = page.iter().filter_map(|message| Some(message.address()?.2.to_owned()));
    let new = ids.filter(|id| seen.insert(id.clone()));
    new.map(|id| crate::storable::text(&id).into_owned()).collect()
}
