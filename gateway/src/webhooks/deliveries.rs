use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ffapi_domain::{Timestamp, WebhookId};
use ffapi_projections::{
    Webhooks,
    webhooks::{self, AttemptRow, DeliveryRow},
};
use poem::http::Uri;
use poem_openapi::Object;

use super::{show, waiting::Waiting};
use crate::{
    auth::Principal, clock, page, problem::Problem, reply::Reply, state::Gateway, tenant_slots,
};

/// The delivery of one event to one endpoint.
#[derive(Debug, Object)]
#[oai(rename = "Delivery", skip_serializing_if_is_none)]
struct DeliveryShown {
    /// The `webhook-id` header of every attempt.
    id: String,
    #[oai(rename = "type")]
    kind: String,
    /// The id of the job, batch, key or webhook that the event is about.
    subject: String,
    /// `due`, `delivered` or `failed`
    status: String,
    created_at: String,
    delivered_at: Option<String>,
    /// Present while it is due.
    next_attempt_at: Option<String>,
    /// Present while it is due.
    waiting_for: Option<Waiting>,
    attempts: Vec<AttemptShown>,
}

/// One delivery attempt.
#[derive(Debug, Object)]
#[oai(rename = "DeliveryAttempt", skip_serializing_if_is_none)]
struct AttemptShown {
    number: i32,
    at: String,
    /// The HTTP status, if there was a response.
    status: Option<i32>,
    latency_ms: i32,
    /// Why there was no response.
    error: Option<String>,
    /// The beginning of the response body.
    body: Option<String>,
}

/// A page of deliveries.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct DeliveryPage {
    data: Vec<DeliveryShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of deliveries.
pub(super) struct DeliveryQuery {
    pub(super) status: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
    pub(super) min_position: Option<String>,
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0)).to_string()
}

fn shown((row, attempt_rows): &(DeliveryRow, Vec<AttemptRow>), now: Timestamp) -> DeliveryShown {
    let attempts = attempt_rows.iter().map(|attempt| AttemptShown {
        number: attempt.number,
        at: time(attempt.at),
        status: attempt.status,
        latency_ms: attempt.latency_ms,
        error: attempt.error.clone(),
        body: attempt.body.clone(),
    });
    DeliveryShown {
        id: row.id.clone(),
        kind: row.kind.clone(),
        subject: row.thing.clone(),
        status: row.state.clone(),
        created_at: time(row.created_at),
        delivered_at: row.delivered_at.map(time),
        waiting_for: Waiting::of(row, now),
        next_attempt_at: (row.state == "due").then(|| time(row.next_at)),
        attempts: attempts.collect(),
    }
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    id: WebhookId,
    uri: &Uri,
    query: DeliveryQuery,
) -> Result<Reply<200, DeliveryPage>, Problem> {
    let limit = page::limit(query.limit, "deliveries")?;
    if query.status.as_deref().is_some_and(|s| !matches!(s, "due" | "delivered" | "failed")) {
        return Err(Problem::parameter("status", "status must be due, delivered or failed"));
    }
    let tenant = &principal.tenant;
    // The endpoint of a single job or batch is not an aggregate, but has rows as well.
    gateway.reads.catch_up::<Webhooks>(tenant, query.min_position.as_deref()).await?;
    let _slot = tenant_slots::of_list(tenant).await?;
    if !webhooks::endpoint_exists(&gateway.database, tenant, id).await? {
        show::find(gateway, principal, id).await?;
    }
    let before = query.cursor.as_deref().map(|cursor| {
        let bad =
            || Problem::parameter("cursor", "take the cursor from `next_cursor` of the same list");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        let mut parts = text.splitn(3, ' ');
        let sequence = parts.next().and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        let index = parts.next().and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        let id = parts.next().filter(|id| !id.contains('\0')).ok_or_else(bad)?;
        Ok::<(i64, i32, String), Problem>((sequence, index, id.to_owned()))
    });
    let before = before.transpose()?;
    let more = limit.saturating_add(1);
    let status = query.status.as_deref();
    let database = &gateway.database;
    let mut rows = webhooks::deliveries(database, tenant, id, status, before, more).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| has_more).map(|(row, _)| {
        URL_SAFE_NO_PAD.encode(format!("{} {} {}", row.sequence, row.index, row.id))
    });
    let now = clock::now();
    let link = next_cursor.as_ref().map(|cursor| page::next(uri, cursor));
    let data = rows.iter().map(|row| shown(row, now)).collect();
    Ok(Reply::new(DeliveryPage { data, next_cursor, has_more }).next(link))
}
