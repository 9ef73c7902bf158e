use ffapi_commands::CommandOutcome;
use ffapi_domain::{
    Tenant, Timestamp, WebhookId,
    webhook::{DisabledBy, Webhook, WebhookEvent, WebhookView},
};
use ffapi_projections::{Webhooks, webhooks};
use futures::FutureExt;
use poem::http::Uri;
use poem_openapi::Object;

use super::secret;
use crate::{
    auth::Principal,
    clock,
    join_in_chunks::join_in_chunks,
    log_view::{self, Address, Entry, InLog, LogView},
    page,
    problem::Problem,
    reply::Reply,
    state::Gateway,
    tenant_slots,
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

impl LogView for WebhookView {
    type Aggregate = Webhook;
    type Id = WebhookId;

    fn fold(
        view: Option<Self>,
        Entry { decision, .. }: &Entry<'_, WebhookEvent>,
        of: &Address<'_, WebhookId>,
    ) -> Option<Self> {
        let at = Timestamp::from_millis(decision.at);
        let events = decision.events.iter();
        events.fold(view, |view, event| Self::apply(view, event, of.id, of.tenant, at))
    }
}

/// A webhook as it is in the log now.
pub(super) async fn in_log(
    gateway: &Gateway,
    tenant: &Tenant,
    id: WebhookId,
) -> Result<Option<InLog<WebhookView>>, Problem> {
    Ok(log_view::in_log(&gateway.commands, Address { tenant, id }).await?)
}

/// A webhook as a command left it. `before` is what it was earlier, if that is at hand.
pub(super) async fn after(
    gateway: &Gateway,
    of: Address<'_, WebhookId>,
    outcome: &CommandOutcome<Webhook>,
    before: Option<InLog<WebhookView>>,
) -> Result<InLog<WebhookView>, Problem> {
    let found = log_view::after(&gateway.commands, of, outcome, before).await?;
    found.ok_or_else(|| Problem::not_found("webhook"))
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

/// The response with a webhook, and its secret if this request created that.
pub(super) async fn response<const STATUS: u16>(
    gateway: &Gateway,
    InLog { view, position }: &InLog<WebhookView>,
    secret: Option<String>,
) -> Result<Reply<STATUS, WebhookShown>, Problem> {
    let public_key = secret::public_key_of(gateway, view.id, view.secret).await?;
    Ok(Reply::new(show(view, public_key, secret)).version(view.version).position(*position))
}

pub(super) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: WebhookId,
) -> Result<Reply<200, WebhookShown>, Problem> {
    let found = in_log(gateway, &principal.tenant, id).await?;
    let found = found.filter(|found| !found.view.deleted);
    response(gateway, &found.ok_or_else(|| Problem::not_found("webhook"))?, None).await
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
