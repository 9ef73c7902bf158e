//! A tenant was erased: what was made of its messages is made anew, as far as they can still be read.

use std::collections::BTreeSet;

use ffapi_domain::Tenant;
use sqlx::PgConnection;

use super::{Projection, Runner, parked::Parked};
use crate::{ProjectionError, erasure::Gone};

/// Messages read at once.
const PAGE: usize = 1000;

impl<P: Projection> Runner<P> {
    /// Takes what is personal of a tenant out of the rows. What was parked of it gets another try, for it
    /// may have been parked for what cannot be read any more.
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
            let filter = format!("ev.{category}.{tenant}.>");
            let (mut from, mut seen) = (1, BTreeSet::new());
            loop {
                let mut page = self.log.page(&filter, from, PAGE).await?;
                page.retain(|message| message.sequence <= until);
                let Some(last) = page.last() else { break };
                from = last.sequence.saturating_add(1);
                let ids = page.iter().filter_map(|message| Some(message.address()?.2.to_owned()));
                let ids: Vec<String> = ids.filter(|id| seen.insert(id.clone())).collect();
                let ids: Vec<String> =
                    ids.iter().map(|id| crate::storable::text(id).into_owned()).collect();
                self.projection.forget(transaction, &Gone { tenant, ids: &ids }).await?;
                self.apply(transaction, parked, &page).await?;
            }
        }
        Ok(())
    }
}
