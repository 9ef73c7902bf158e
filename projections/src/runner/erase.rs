//! Erasure of a tenant: its rows are rebuilt from its messages, without the personal fields.

use std::collections::BTreeSet;

use ffapi_domain::Tenant;
use ffapi_nats::{PageLimits, subject};
use sqlx::PgConnection;

use super::{Projection, Runner, parked::Parked};
use crate::{ProjectionError, erasure::ErasedAggregates};

/// What is read and applied at once.
const PAGE: PageLimits = PageLimits { messages: 1_000, bytes: 16 * 1024 * 1024 };

impl<P: Projection> Runner<P> {
    /// Removes a tenant's personal data from the rows. Its parked messages are retried, since they
    /// may have been parked for a personal field that is erased now.
    pub(super) async fn erase(
        &self,
        transaction: &mut PgConnection,
        parked: &mut Parked,
        tenant: &Tenant,
        until: u64,
    ) -> Result<(), ProjectionError> {
        self.codec.forget(tenant.as_str()).await;
        parked.forget(transaction, tenant).await?;
        self.projection.erase(transaction, tenant).await?;
        for category in P::PERSONAL {
            let filter = subject::category_of_tenant(category, tenant);
            let (mut from, mut seen) = (1, BTreeSet::new());
            loop {
                let mut page = self.log.page_within(&filter, from, PAGE).await?.messages;
                page.retain(|message| message.sequence <= until);
                let Some(last) = page.last() else { break };
                from = last.sequence.saturating_add(1);
                let ids = page.iter().filter_map(|message| Some(message.address()?.2.to_owned()));
                let ids: Vec<String> = ids.filter(|id| seen.insert(id.clone())).collect();
                let ids: Vec<String> =
                    ids.iter().map(|id| crate::storable::text(id).into_owned()).collect();
                self.projection
                    .forget(transaction, &ErasedAggregates { tenant, ids: &ids })
                    .await?;
                self.apply(transaction, parked, &page, &P::Prepared::default()).await?;
            }
        }
        Ok(())
    }
}
