//! What this gateway keeps in memory: how that does, and forgetting it.

use std::sync::Arc;

use ffapi_domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi};

use crate::{
    audit_notes::AuditRecord, auth::Auth, reply::Reply, row_cache::CacheStats, state::Gateway,
};

pub(crate) struct Cache;

/// What the gateway that answers keeps in memory.
#[derive(Debug, Object)]
#[oai(rename = "Caches")]
pub(crate) struct CachesShown {
    data: Vec<CacheShown>,
}

/// How one cache of this gateway does.
#[derive(Debug, Object)]
#[oai(rename = "Cache")]
pub(crate) struct CacheShown {
    /// Of `jobs`, `presets`, `probes` (what files are, by their content), or `keys`.
    name: String,
    /// Things in memory.
    entries: usize,
    /// Reads that were answered from there.
    hits: u64,
    /// Reads that were not. What is not among the keys is no key: nobody else is asked.
    misses: u64,
    /// Rows that were not kept, for something newer had been heard; of keys, requests that were turned
    /// away because a key might have been revoked meanwhile.
    stale: u64,
}

fn show(gateway: &Gateway) -> Reply<200, CachesShown> {
    let all = [
        ("jobs", gateway.rows.figures()),
        ("presets", gateway.presets.figures()),
        ("probes", gateway.probes.figures()),
        ("keys", gateway.directory.figures()),
    ];
    let data = all.map(|(name, CacheStats { entries, hits, misses, stale })| CacheShown {
        name: name.to_owned(),
        entries,
        hits,
        misses,
        stale,
    });
    Reply::new(CachesShown { data: data.into() })
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
        auth.may(Scope::Admin)?;
        Ok(show(&gateway))
    }

    /// Clear the caches
    ///
    /// Of the gateway that answers, except its API keys. Nothing is lost: the caches fill again.
    #[oai(path = "/admin/cache/clear", method = "post", operation_id = "clearCache")]
    async fn clear(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, CachesShown>> {
        let principal = auth.may(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.cleared_cache"));
        gateway.rows.clear();
        gateway.presets.clear();
        gateway.probes.clear();
        Ok(show(&gateway))
    }
}
