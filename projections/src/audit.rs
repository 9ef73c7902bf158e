//! Answers: who did what, from where, and who was refused? Decisions come from the log, refusals and
//! looks from the notes beside it.

mod decisions;
mod notes;
mod verify;

use ffapi_domain::{Tenant, Timestamp};
use ffapi_nats::{Actor, Codec, Decision, Message};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, QueryBuilder};

use crate::{Database, ProjectionError, storable};

pub use self::{
    decisions::AuditDecisions,
    notes::{AuditNotes, erase_notes},
    verify::{Fault, Verdict, verify},
};

/// What a message of the log, or of the notes beside it, says for the trail.
///
/// # Errors
/// When it cannot be read.
pub async fn rows(codec: &Codec, message: &Message) -> Result<Vec<AuditRow>, ProjectionError> {
    if message.subject.starts_with("audit.") {
        return Ok(vec![notes::row(codec, message).await?]);
    }
    decisions::rows(codec, message).await
}

/// Something that somebody did or met.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct AuditRow {
    /// `decision` or `note`.
    pub source: String,
    /// Of its message.
    pub sequence: i64,
    /// Within its message.
    pub index: i32,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Whose.
    pub tenant: String,
    /// A key's public id, or a process of ours; empty for a stranger.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// What, like `key.created`.
    pub action: String,
    /// On what; empty if on nothing that has a name.
    pub target: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// The rest.
    pub detail: Value,
}

impl AuditRow {
    /// As the database holds it.
    fn storable(self) -> Self {
        let text = |held: String| storable::text(&held).into_owned();
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

/// Which rows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this tenant's.
    pub tenant: Option<Tenant>,
    /// Only by this one.
    pub actor: Option<String>,
    /// Only this, or what begins with it and a dot.
    pub action: Option<String>,
    /// Only from here.
    pub address: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Older than this row: time, source, sequence, index.
    pub before: Option<(i64, String, i64, i32)>,
}

const COLUMNS: &str = "at, tenant, actor, address, action, target, request_id, detail";

/// A page of rows, the newest first.
///
/// # Errors
/// When the database does not answer.
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
    Ok(query.build_query_as().fetch_all(&database.pool).await?)
}

/// Who, as a row says it.
fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Key(id) | Actor::Worker(id) | Actor::Process(id) => id.clone(),
    }
}

/// The id of the request that led to a decision.
fn request_id<E>(decision: &Decision<E>) -> Option<String> {
    decision.causation.as_deref()?.strip_prefix("request ").map(str::to_owned)
}

/// An event's name and what else it says, secrets left out.
fn told<E: Serialize>(event: &E) -> (String, Value) {
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
