use ffapi_domain::{
    Tenant, Timestamp, WebhookId,
    webhook::{DisabledBy, Webhook, WebhookView},
};
use ffapi_nats::Position;
use ffapi_projections::{Webhooks, webhooks};
use futures::FutureExt;
use poem::http::Uri;
use poem_openapi::Object;

use super::secret;
use crate::{
    auth::Principal, clock, join_in_chunks::join_in_chunks, page, problem::Problem, reply::Reply,
    state::Gateway, tenant_slots,
};

/// A webhook.
#[derive(Debug, Object)]
#[oai(rename = "Webhook", skip_serializing_if_is_none)]
pub(crate) struct WebhookShown {
    id: String,
    /// Absent once erased.
    url: Option<String>,
    /// Event types, or groups like `job.*`; all if empty.
    events: Vec<String>,
    description: Option<String>,
    concurrency: u32,
    /// `enabled` or `disabled`
    status: String,
    /// `owner`, `gone` (the endpoint responded 410) or `failing` (for days)
    disabled_by: Option<String>,
    created_at: String,
    updated_at: String,
    /// Until when deliveries are also signed with the previous secret.
    old_secret_until: Option<String>,
    version: u64,
    /// The Ed25519 key that verifies `v1a` signatures: `whpk_` followed by base64. Absent once erased.
    public_key: Option<String>,
    /// The secret; only in the response that creates or rotates it.
    secret: Option<String>,
}

/// A page of webhooks.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct WebhookPage {
    data: Vec<WebhookShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of webhooks.
pub(super) struct WebhookQuery {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
    pub(super) min_position: Option<String>,
}

/// A webhook as it is in the log now.
pub(super) struct InLog {
    pub(super) view: WebhookView,
    position: Position,
    public_key: Option<String>,
}

pub(super) async fn in_log(
    gateway: &Gateway,
    tenant: &Tenant,
    id: WebhookId,
) -> Result<Option<InLog>, Problem> {
    let history = gateway.commands.history::<Webhook>(tenant.as_str(), &id.to_string()).await?;
    let epoch = gateway.commands.log().identity().epoch;
    let (mut view, mut position) = (None, Position { epoch, ..Position::default() });
    for (sequence, decision) in &history {
        let at = Timestamp::from_millis(decision.at);
        for event in &decision.events {
            view = WebhookView::apply(view, event, id, tenant, at);
        }
        position.sequence = *sequence;
    }
    let Some(view) = view else { return Ok(None) };
    let public_key = secret::public_key_of(gateway, id, view.secret).await?;
    Ok(Some(InLog { view, position, public_key }))
}

fn show(view: &WebhookView, public_key: Option<String>, secret: Option<String>) -> WebhookShown {
    let status = if view.disabled_by.is_some() { "disabled" } else { "enabled" };
    let old = view.old_until.filter(|until| *until > clock::now());
    WebhookShown {
        id: view.id.to_string(),
        url: view.url.as_ref().cloned(),
        events: view.events.iter().cloned().collect(),
        description: view.description.as_ref().cloned().flatten(),
        concurrency: view.concurrency,
        status: status.to_owned(),
        disabled_by: view.disabled_by.map(DisabledBy::as_str).map(str::to_owned),
        created_at: view.created_at.to_string(),
        updated_at: view.updated_at.to_string(),
        old_secret_until: old.map(|until| until.to_string()),
        version: view.version,
        public_key,
        secret,
    }
}

pub(super) fn response<const STATUS: u16>(
    found: &InLog,
    secret: Option<String>,
) -> Reply<STATUS, WebhookShown> {
    let view = &found.view;
    Reply::new(show(view, found.public_key.clone(), secret))
        .version(view.version)
        .position(found.position)
}

pub(super) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: WebhookId,
) -> Result<Reply<200, WebhookShown>, Problem> {
    let found = in_log(gateway, &principal.tenant, id).await?;
    let found = found.filter(|found| !found.view.deleted);
    Ok(response(&found.ok_or_else(|| Problem::not_found("webhook"))?, None))
}

/// The number of an account's webhooks in the read model.
pub(super) async fn count(gateway: &Gateway, tenant: &Tenant) -> Result<u32, Problem> {
    Ok(webhooks::count(&gateway.database, tenant).await?)
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    uri: &Uri,
    query: WebhookQuery,
) -> Result<Reply<200, WebhookPage>, Problem> {
    let limit = page::limit(query.limit, "webhooks")?;
    let after: Option<WebhookId> = page::after(query.cursor.as_deref())?;
    let min_position = query.min_position.as_deref();
    gateway.reads.catch_up::<Webhooks>(&principal.tenant, min_position).await?;
    let _slot = tenant_slots::of_list(&principal.tenant).await?;
    let more = limit.saturating_add(1);
    let mut rows =
        webhooks::page(&gateway.database, gateway.commands.codec(), &principal.tenant, after, more)
            .await?;
    let next_cursor = page::cut(&mut rows, limit, |view| view.id);
    let link = next_cursor.as_ref().map(|cursor| page::next(uri, cursor));
    let has_more = next_cursor.is_some();
    let shown = rows.iter().map(|view| {
        let key = secret::public_key_of(gateway, view.id, view.secret);
        async move { Ok(show(view, key.await?, None)) }.boxed()
    });
    let data = join_in_chunks(shown).await.into_iter().collect::<Result<_, Problem>>()?;
    Ok(Reply::new(WebhookPage { data, next_cursor, has_more }).next(link))
}
