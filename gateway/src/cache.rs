//! What this gateway keeps in memory of jobs: how it does, and forgetting it.

use std::sync::Arc;

use domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi};

use crate::{audit::Fact, auth::Auth, reply::Reply, rows::Figures, state::Gateway};

pub(crate) struct Cache;

/// How the cache of this gateway does.
#[derive(Debug, Object)]
#[oai(rename = "Cache")]
pub(crate) struct CacheShown {
    /// Jobs in memory.
    entries: usize,
    /// Reads that were answered from there.
    hits: u64,
    /// Reads that were not.
    misses: u64,
    /// Rows that were not kept, for something newer of their job had been heard.
    stale: u64,
}

impl From<Figures> for CacheShown {
    fn from(figures: Figures) -> Self {
        let Figures { entries, hits, misses, stale } = figures;
        Self { entries, hits, misses, stale }
    }
}

#[OpenApi(prefix_path = "/api/v1")]
impl Cache {
    /// How does the cache do?
    #[oai(path = "/admin/cache", method = "get", operation_id = "getCache")]
    async fn show(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, CacheShown>> {
        auth.may(Scope::Admin)?;
        Ok(Reply::new(gateway.rows.figures().into()))
    }

    /// Forget what is kept in memory
    ///
    /// Of the gateway that answers; nothing is lost by it.
    #[oai(path = "/admin/cache/clear", method = "post", operation_id = "clearCache")]
    async fn clear(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, CacheShown>> {
        let principal = auth.may(Scope::Admin)?;
        gateway.audit.note(Fact::about(request, principal, "admin.cleared_cache"));
        gateway.rows.clear();
        Ok(Reply::new(gateway.rows.figures().into()))
    }
}
