//! The audit trail: who did what, from where, and what was rejected. Decisions come from the event
//! log, rejections and reads ("notes") from the audit stream.

mod decisions;
mod notes;
mod verify;

use ffapi_domain::{Tenant, Timestamp};
use ffapi_nats::{Actor, Codec, Decision, Message, subject};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, QueryBuilder};

use crate::{Database, ProjectionError, storable};

pub use self::{
    decisions::AuditDecisions,
    notes::{AuditNotes, erase_notes},
    verify::{Fault, Verdict, verify},
};

/// The audit rows of a message from the event log or the audit stream.
///
/// # Errors
/// When the message cannot be decoded or the key store does not respond.
pub async fn rows(codec: &Codec, message: &Message) -> Result<Vec<AuditRow>, ProjectionError> {
    if subject::is_note(&message.subject) {
        return Ok(vec![notes::row(codec, message).await?]);
    }
    decisions::rows(codec, message).await
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct AuditRow {
    /// `decision` or `note`.
    pub source: String,
    /// Stream sequence of its message.
    pub sequence: i64,
    /// Index of the event in its message, from 0.
    pub index: i32,
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
    /// The tenant that it concerns.
    pub tenant: String,
    /// Public id of the key, or the name of an ffapi process; empty for an anonymous client.
    pub actor: String,
    /// Network address of the client.
    pub address: Option<String>,
    /// The action, like `key.created`.
    pub action: String,
    /// Id of the resource; empty if there is none.
    pub target: String,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Further fields, depending on the action.
    pub detail: Value,
}

impl AuditRow {
    /// The row as it is stored in the database.
    fn storable(self) -> Self {
        let text = |value: String| storable::text(&value).into_owned();
        Self {
            tenant: text(self.tenant),
            actor: text(self.actor),
            address: self.address.map(text),
            action: text(self.action),
            target: text(self.target),
            request_id: self.request_id.map(text),
            detail: storable::json(self.detail),
            ..self
        }
    }
}

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only rows of this tenant.
    pub tenant: Option<Tenant>,
    /// Only actions of this actor.
    pub actor: Option<String>,
    /// Only this action, or actions that begin with it and a dot.
    pub action: Option<String>,
    /// Only actions from this network address.
    pub address: Option<String>,
    /// Only rows at or after this time.
    pub since: Option<Timestamp>,
    /// Only rows before this time.
    pub until: Option<Timestamp>,
    /// Only rows older than this one (time, source, sequence, index): the cursor.
    pub before: Option<(i64, String, i64, i32)>,
}

const COLUMNS: &str = "at, tenant, actor, address, action, target, request_id, detail";

/// Up to `limit` rows, newest first.
///
/// # Errors
/// When the database does not respond.
pub async fn page(
    database: &Database,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<AuditRow>, ProjectionError> {
    let mut query =
        QueryBuilder::new("SELECT * FROM (SELECT 'decision' AS source, sequence, index, ");
    query.push(COLUMNS).push(" FROM audit_decision UNION ALL SELECT 'note', sequence, 0, ");
    query.push(COLUMNS).push(" FROM audit_note) AS a WHERE true");
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.as_str().to_owned());
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").push_bind(actor.clone());
    }
    if let Some(action) = &filter.action {
        query.push(" AND (action = ").push_bind(action.clone());
        query.push(" OR starts_with(action, ").push_bind(format!("{action}.")).push("))");
    }
    if let Some(address) = &filter.address {
        query.push(" AND address = ").push_bind(address.clone());
    }
    let millis = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    if let Some(since) = filter.since {
        query.push(" AND at >= ").push_bind(millis(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(millis(until));
    }
    if let Some((at, source, sequence, index)) = &filter.before {
        query.push(" AND (at, source, sequence, index) < (").push_bind(*at);
        query.push(", ").push_bind(source.clone()).push(", ").push_bind(*sequence);
        query.push(", ").push_bind(*index).push(")");
    }
    query.push(" ORDER BY at DESC, source DESC, sequence DESC, index DESC LIMIT ");
    query.push_bind(i64::from(limit));
    Ok(query.build_query_as().fetch_all(database.measured()).await?)
}

/// The actor as it is stored in a row.
fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Key(id) | Actor::Worker(id) | Actor::Process(id) => id.clone(),
    }
}

/// The id of the request that led to a decision.
fn request_id<E>(decision: &Decision<E>) -> Option<String> {
    decision.causation.as_deref()?.strip_prefix("request ").map(str::to_owned)
}

/// An event's name and fields, without key hashes.
fn event_parts<E: Serialize>(event: &E) -> (String, Value) {
    let Ok(Value::Object(mut outer)) = serde_json::to_value(event) else {
        return (String::new(), Value::Null);
    };
    let name = outer.keys().next().cloned().unwrap_or_default();
    let mut detail = outer.remove(&name).unwrap_or_default();
    if let Some(fields) = detail.as_object_mut() {
        fields.remove("hash");
    }
    (name, detail)
}
