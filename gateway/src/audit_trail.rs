//! The audit trail resource: reading the trail and verifying that it was not changed.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ffapi_domain::{Tenant, Timestamp, key::Scope};
use ffapi_projections::{
    AuditDecisions,
    audit::{self, AuditFilter, AuditRow},
};
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi, param::Query, types::Any};
use serde_json::Value;

use crate::{
    audit_notes::AuditRecord, auth::Auth, page, problem::Problem, reply::Reply, state::Gateway,
    tenant_slots,
};

pub(crate) struct AuditTrail;

/// An entry of the audit trail: an action or a rejection.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct AuditEntry {
    /// `decision` (from the log) or `note` (from the audit stream), and its position there.
    id: String,
    at: String,
    tenant: String,
    /// A key's id or a process of the service; none for an anonymous client.
    actor: Option<String>,
    address: Option<String>,
    /// Like `key.created`, `key.refused_address`, `request.limited`, `admin.read_keys`.
    action: String,
    /// The target of the action, like a key's id.
    target: Option<String>,
    request_id: Option<String>,
    detail: Any<Value>,
}

/// A page of entries.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct AuditPage {
    data: Vec<AuditEntry>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// The result of a verification.
#[derive(Debug, Object)]
pub(crate) struct AuditVerdict {
    /// True if there are no faults.
    intact: bool,
    /// Number of rows checked.
    rows: u64,
    /// Number of valid signed anchors.
    anchors: u64,
    /// Faults, at most a hundred.
    faults: Vec<FaultShown>,
}

/// A row that differs from what was written.
#[derive(Debug, Object)]
#[oai(rename = "AuditFault")]
pub(crate) struct FaultShown {
    row: String,
    why: String,
}

fn malformed(field: &str, detail: &str) -> Problem {
    Problem::parameter(field, detail)
}

#[OpenApi(prefix_path = "/api/v1")]
impl AuditTrail {
    /// Read the audit trail
    ///
    /// Newest first. An admin sees every tenant's entries, or those of `tenant`; a key with
    /// `audit:read` sees its own tenant's. `action` also matches by prefix, like `key`.
    #[oai(path = "/admin/audit", method = "get", operation_id = "listAudit")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        tenant: Query<Option<String>>,
        actor: Query<Option<String>>,
        action: Query<Option<String>>,
        address: Query<Option<String>>,
        since: Query<Option<String>>,
        until: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, AuditPage>> {
        let principal = auth.require(Scope::AuditRead)?;
        let min_position = min_position.0.as_deref();
        gateway.reads.catch_up::<AuditDecisions>(&principal.tenant, min_position).await?;
        let limit = page::limit(limit.0, "entries")?;
        let wanted = tenant.0.as_deref().map(str::parse::<Tenant>).transpose();
        let wanted = wanted.map_err(|error| malformed("tenant", &error.to_string()))?;
        if !principal.is_admin() && wanted.as_ref().is_some_and(|of| *of != principal.tenant) {
            return Ok(Reply::new(AuditPage { data: vec![], next_cursor: None, has_more: false }));
        }
        let own = || Some(principal.tenant.clone());
        let tenant = if principal.is_admin() { wanted } else { own() };
        if tenant != own() {
            gateway.audit.note(AuditRecord::about(request, principal, "admin.read_audit"));
        }
        let time = |field: &str, text: Option<String>| {
            let detail = "a time looks like 2026-11-21T12:00:00Z";
            text.map(|text| text.parse::<Timestamp>().map_err(|_| malformed(field, detail)))
                .transpose()
        };
        let filter = AuditFilter {
            tenant,
            actor: actor.0,
            action: action.0,
            address: address.0,
            since: time("since", since.0)?,
            until: time("until", until.0)?,
            before: cursor.0.as_deref().map(open_cursor).transpose()?,
        };
        let _slot = tenant_slots::of_list(&principal.tenant).await?;
        let more = limit.saturating_add(1);
        let mut rows =
            audit::page(&gateway.database, &filter, more).await.map_err(Problem::from)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(close_cursor);
        let link = next_cursor.as_deref().map(|cursor| page::next(request.original_uri(), cursor));
        let data = rows.into_iter().map(entry).collect();
        Ok(Reply::new(AuditPage { data, next_cursor, has_more }).next(link))
    }

    /// Verify the audit trail
    ///
    /// Compares every archived message with the hash chain, the signed anchors and the log, and
    /// every row of the audit trail with the event that it was made from.
    #[oai(path = "/admin/audit/verify", method = "post", operation_id = "verifyAudit")]
    async fn verify(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, AuditVerdict>> {
        let principal = auth.require(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.verified_audit"));
        let (log, codec) = (gateway.commands.log(), gateway.commands.codec());
        let verdict = audit::verify(&gateway.database, log, codec, &gateway.anchor_verifier).await;
        let verdict = verdict.map_err(Problem::from)?;
        let faults = verdict.faults.into_iter();
        let faults: Vec<_> =
            faults.map(|fault| FaultShown { row: fault.row, why: fault.why }).collect();
        let (rows, anchors) = (verdict.rows, verdict.anchors);
        Ok(Reply::new(AuditVerdict { intact: faults.is_empty(), rows, anchors, faults }))
    }
}

fn entry(row: AuditRow) -> AuditEntry {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let at = Timestamp::from_millis(u64::try_from(row.at).unwrap_or(0));
    AuditEntry {
        id: format!("{}-{}-{}", row.source, row.sequence, row.index),
        at: at.to_string(),
        tenant: row.tenant,
        actor: some(row.actor),
        address: row.address,
        action: row.action,
        target: some(row.target),
        request_id: row.request_id,
        detail: Any(row.detail),
    }
}

fn close_cursor(row: &AuditRow) -> String {
    let AuditRow { at, source, sequence, index, .. } = row;
    URL_SAFE_NO_PAD.encode(format!("{at} {source} {sequence} {index}"))
}

fn open_cursor(cursor: &str) -> Result<(i64, String, i64, i32), Problem> {
    let bad = || malformed("cursor", "take the cursor from `next_cursor` of the same list");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let mut parts = text.split(' ');
    let mut next = || parts.next().ok_or_else(bad);
    let at = next()?.parse().map_err(|_| bad())?;
    let source = next()?.to_owned();
    let known = ["decision", "note"].contains(&source.as_str());
    let sequence = next()?.parse().map_err(|_| bad())?;
    let index = next()?.parse().map_err(|_| bad())?;
    if known { Ok((at, source, sequence, index)) } else { Err(bad()) }
}
