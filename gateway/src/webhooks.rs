//! The webhooks resource: the routes. The operations are in the submodules.

mod body;
mod change;
mod create;
mod deliveries;
mod quota;
mod replay;
mod rotate_secret;
mod secret;
mod show;
mod waiting;

use std::sync::Arc;

use ffapi_domain::{WebhookId, key::Scope, webhook::WebhookCommand};
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

pub(crate) use self::{body::callback, secret::account_secret};
use self::{
    body::{ReplayBody, WebhookBody, WebhookPatch},
    deliveries::DeliveryPage,
    secret::SigningSecret,
    show::{WebhookPage, WebhookShown},
};
use crate::{
    auth::Auth,
    body::{StrictJson, Unread},
    problem::Problem,
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

pub(crate) struct Webhooks;

fn hook_id(text: &str) -> Result<WebhookId, Problem> {
    text.parse().map_err(|_| Problem::not_found("webhook"))
}

#[OpenApi(prefix_path = "/api/v1")]
impl Webhooks {
    /// Create a webhook
    ///
    /// Events are sent to its `url`, signed as Standard Webhooks 1.0.0 requires. The `secret` is
    /// only in this response.
    #[oai(path = "/webhooks", method = "post", operation_id = "createWebhook")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Unread<WebhookBody>,
    ) -> Result<Reply<201, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        Ok(create::create(&gateway, request, principal, body, key.0).await?)
    }

    /// List webhooks
    ///
    /// Oldest first.
    #[oai(path = "/webhooks", method = "get", operation_id = "listWebhooks")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, WebhookPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let query =
            show::WebhookQuery { limit: limit.0, cursor: cursor.0, min_position: min_position.0 };
        Ok(show::list(&gateway, principal, request.original_uri(), query).await?)
    }

    /// Show the secret that signs deliveries to a job's or batch's `webhook_url`
    ///
    /// There is one for each account; it is created by the first request.
    #[oai(
        path = "/webhooks/signing-secret",
        method = "get",
        operation_id = "getWebhookSigningSecret"
    )]
    async fn secret(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, SigningSecret>> {
        let principal = auth.require(Scope::JobsWrite)?;
        Ok(secret::of_account(&gateway, principal).await?)
    }

    /// Show a webhook
    #[oai(path = "/webhooks/:id", method = "get", operation_id = "getWebhook")]
    async fn find(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, WebhookShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let found = show::find(&gateway, principal, hook_id(&id.0)?).await?;
        Ok(found.unless(if_none_match.0.as_deref()))
    }

    /// Update, disable or enable a webhook
    ///
    /// Fields that are not sent stay as they are. Deliveries that waited while it was disabled are
    /// sent once it is enabled.
    #[oai(path = "/webhooks/:id", method = "patch", operation_id = "updateWebhook")]
    async fn update(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: Unread<WebhookPatch>,
    ) -> Result<Reply<200, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let id = hook_id(&id.0)?;
        let change = body.read(|patch| patch.read(&gateway))?;
        change::check_unique(&gateway, principal, &caller, id, &change).await?;
        let command = WebhookCommand::Update { change };
        Ok(change::execute(&gateway, principal, &caller, id, if_match.0, command).await?)
    }

    /// Delete a webhook
    ///
    /// Pending deliveries are dropped.
    #[oai(path = "/webhooks/:id", method = "delete", operation_id = "deleteWebhook")]
    async fn delete(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let (id, command) = (hook_id(&id.0)?, WebhookCommand::Delete);
        Ok(change::execute(&gateway, principal, &caller, id, if_match.0, command).await?)
    }

    /// Rotate a webhook's secret
    ///
    /// The new `secret` is only in this response. For a day deliveries are signed with both.
    #[oai(path = "/webhooks/:id/rotate", method = "post", operation_id = "rotateWebhookSecret")]
    async fn rotate(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let id = hook_id(&id.0)?;
        Ok(rotate_secret::rotate_secret(&gateway, principal, &caller, id, if_match.0).await?)
    }

    /// Send a test event to a webhook
    #[oai(path = "/webhooks/:id/test", method = "post", operation_id = "testWebhook")]
    async fn test(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<202, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let (id, command) = (hook_id(&id.0)?, WebhookCommand::Test);
        Ok(change::execute(&gateway, principal, &caller, id, None, command).await?)
    }

    /// Replay a webhook's events after a position
    ///
    /// Each event keeps its `webhook-id`. One replay of a webhook at a time; the account's tier
    /// limits how many an hour.
    #[oai(path = "/webhooks/:id/replay", method = "post", operation_id = "replayWebhook")]
    async fn replay(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        body: StrictJson<ReplayBody>,
    ) -> Result<Reply<202, WebhookShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let command = body.value.read(&gateway)?;
        let id = hook_id(&id.0)?;
        replay::check(&gateway, principal, id).await?;
        Ok(change::execute(&gateway, principal, &caller, id, None, command).await?)
    }

    /// List a webhook's deliveries
    ///
    /// Newest first, with every attempt.
    #[oai(path = "/webhooks/:id/deliveries", method = "get", operation_id = "listDeliveries")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn deliveries(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        status: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, DeliveryPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let query = deliveries::DeliveryQuery {
            status: status.0,
            limit: limit.0,
            cursor: cursor.0,
            min_position: min_position.0,
        };
        let uri = request.original_uri();
        Ok(deliveries::list(&gateway, principal, hook_id(&id.0)?, uri, query).await?)
    }
}
