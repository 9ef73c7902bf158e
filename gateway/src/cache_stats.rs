//! Statistics of this gateway's caches, and clearing them.

use std::sync::Arc;

use ffapi_domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi};

use crate::{
    audit_notes::AuditRecord, auth::Auth, reply::Reply, row_cache::CacheStats, state::Gateway,
};

pub(crate) struct Cache;

/// The caches of the gateway that responds.
#[derive(Debug, Object)]
#[oai(rename = "Caches")]
pub(crate) struct CachesShown {
    data: Vec<CacheShown>,
}

/// Statistics of one cache of this gateway.
#[derive(Debug, Object)]
#[oai(rename = "Cache")]
pub(crate) struct CacheShown {
    /// `jobs`, `outputs` (of jobs, for downloads), `presets`, `probes` (probe results by content), or `keys`.
    name: String,
    /// Number of entries in memory.
    entries: usize,
    /// Reads that found an entry.
    hits: u64,
    /// Reads that did not. All keys are in memory, so a miss there is an unknown key.
    misses: u64,
    /// Rows that were not cached because a newer event was known; for `keys`, requests that were
    /// rejected because a key might have been revoked meanwhile.
    stale: u64,
}

/// The statistics of each cache, by name.
pub(crate) fn stats(gateway: &Gateway) -> impl Iterator<Item = (&'static str, CacheStats)> {
    gateway.caches.stats().into_iter().chain([("keys", gateway.credentials.stats())])
}

fn show(gateway: &Gateway) -> Reply<200, CachesShown> {
    let shown = |(name, CacheStats { entries, hits, misses, stale }): (&str, CacheStats)| {
        CacheShown { name: name.to_owned(), entries, hits, misses, stale }
    };
    Reply::new(CachesShown { data: stats(gateway).map(shown).collect() })
}

#[OpenApi(prefix_path = "/api/v1")]
impl Cache {
    /// Show cache statistics
    #[oai(path = "/admin/cache", method = "get", operation_id = "getCache")]
    async fn show(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, CachesShown>> {
        auth.require(Scope::Admin)?;
        Ok(show(&gateway))
    }

    /// Clear the caches
    ///
    /// Of the gateway that responds, except its API keys. Nothing is lost: the caches fill again.
    #[oai(path = "/admin/cache/clear", method = "post", operation_id = "clearCache")]
    async fn clear(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, CachesShown>> {
        let principal = auth.require(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.cleared_cache"));
        gateway.caches.clear();
        Ok(show(&gateway))
    }
}
