use std::collections::{BTreeMap, BTreeSet};

use ffapi_domain::{
    Personal, Tenant, Timestamp, WebhookId,
    webhook::{Callback, WebhookEvent, WebhookView, wants},
};
use ffapi_nats::Codec;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::sealed;
use crate::{
    Database, ProjectionError, delivery_queue::NewDelivery, public_message::PublicMessage, storable,
};

/// The endpoints that a batch of messages may concern.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    rows: BTreeMap<WebhookId, Row>,
    /// Ids of the rows to store.
    changed: BTreeSet<WebhookId>,
}

#[derive(Debug)]
struct Row {
    view: WebhookView,
    /// Id of the job or batch whose callback it is; `None` for an endpoint of the tenant.
    thing: Option<String>,
    sequence: u64,
    address: Address,
}

/// How the URL of a row is available.
#[derive(Debug)]
enum Address {
    /// Encrypted, as it was loaded; `None` if it was erased.
    Sealed(Option<Vec<u8>>),
    /// In plain text in the view, from an event.
    Plain,
}

type Loaded = (Json<WebhookView>, Option<String>, i64, Option<Vec<u8>>);

/// Concurrent deliveries to a callback endpoint, which has no setting for it.
const CALLBACK_CONCURRENCY: u32 = 2;

impl Endpoints {
    /// Loads the endpoints of these tenants, and the callbacks of these jobs and batches.
    pub(super) async fn load(
        connection: &mut PgConnection,
        tenants: &BTreeSet<String>,
        things: &BTreeSet<String>,
    ) -> Result<Self, ProjectionError> {
        let tenants: Vec<_> = tenants.iter().map(|tenant| storable::text(tenant)).collect();
        let things: Vec<_> = things.iter().map(|thing| storable::text(thing)).collect();
        let rows: Vec<Loaded> = sqlx::query_as(
            "SELECT doc, thing, sequence, sealed FROM webhook
             WHERE tenant = ANY($1) AND thing IS NULL AND status <> 'deleted'
             UNION ALL
             SELECT doc, thing, sequence, sealed FROM webhook
             WHERE thing = ANY($2) AND status <> 'deleted'",
        )
        .bind(tenants)
        .bind(things)
        .fetch_all(connection)
        .await?;
        Ok(Self::from_rows(rows))
    }

    /// Loads one endpoint, if it is enabled.
    pub(super) async fn load_one(
        connection: &mut PgConnection,
        id: &str,
    ) -> Result<Self, ProjectionError> {
        let rows = sqlx::query_as(
            "SELECT doc, thing, sequence, sealed FROM webhook
             WHERE id = $1 AND status = 'enabled'",
        );
        Ok(Self::from_rows(rows.bind(id).fetch_all(connection).await?))
    }

    fn from_rows(rows: Vec<Loaded>) -> Self {
        let rows = rows.into_iter().map(|(Json(view), thing, sequence, sealed)| {
            let sequence = u64::try_from(sequence).unwrap_or(0);
            (view.id, Row { view, thing, sequence, address: Address::Sealed(sealed) })
        });
        Self { rows: rows.collect(), changed: BTreeSet::new() }
    }

    /// True if an endpoint is enabled and unchanged since it was loaded. Locks its row until the
    /// transaction ends.
    pub(super) async fn is_unchanged(
        &self,
        connection: &mut PgConnection,
        id: &str,
    ) -> Result<bool, ProjectionError> {
        let loaded = self.rows.values().find(|row| row.view.id.to_string() == id);
        let Some(loaded) = loaded else { return Ok(false) };
        let unchanged: Option<bool> = sqlx::query_scalar(
            "SELECT status = 'enabled' AND sequence = $2 FROM webhook WHERE id = $1 FOR UPDATE",
        )
        .bind(id)
        .bind(i64::try_from(loaded.sequence).unwrap_or(i64::MAX))
        .fetch_optional(connection)
        .await?;
        Ok(unchanged.unwrap_or(false))
    }

    /// The endpoints that are subscribed to this kind of event of this resource.
    pub(super) fn subscribed(&self, tenant: &Tenant, thing: &str, kind: &str) -> Vec<WebhookId> {
        let rows = self.rows.values().filter(|row| {
            row.view.tenant == *tenant
                && row.view.disabled_by.is_none()
                && !row.view.deleted
                && row.thing.as_deref().is_none_or(|own| own == thing)
                && wants(&row.view.events, kind)
        });
        rows.map(|row| row.view.id).collect()
    }

    /// Adds the callback endpoint of a job or batch.
    pub(super) fn add_callback(
        &mut self,
        tenant: &Tenant,
        public: &PublicMessage,
        callback: &Callback,
        sequence: u64,
    ) {
        let uuid = public.thing.rsplit('_').next().and_then(|digits| Uuid::try_parse(digits).ok());
        let Some(id) = uuid.map(WebhookId::from_uuid) else { return };
        let view = WebhookView {
            id,
            tenant: tenant.clone(),
            url: callback.url.clone(),
            events: callback.events.clone(),
            description: Personal::Clear(None),
            concurrency: CALLBACK_CONCURRENCY,
            secret: 0,
            old_until: None,
            disabled_by: None,
            created_at: public.at,
            updated_at: public.at,
            version: 1,
            deleted: false,
        };
        let thing = Some(public.thing.clone());
        self.rows.insert(id, Row { view, thing, sequence, address: Address::Plain });
        self.changed.insert(id);
    }

    /// Applies one event of an endpoint.
    pub(super) fn apply(
        &mut self,
        id: WebhookId,
        tenant: &Tenant,
        at: Timestamp,
        event: &WebhookEvent,
        sequence: u64,
    ) {
        let (view, thing, address) = match self.rows.remove(&id) {
            Some(row) => (Some(row.view), row.thing, row.address),
            None => (None, None, Address::Plain),
        };
        let address = match event {
            WebhookEvent::Created { .. } | WebhookEvent::Updated { .. } => Address::Plain,
            _ => address,
        };
        if let Some(view) = WebhookView::apply(view, event, id, tenant, at) {
            self.rows.insert(id, Row { view, thing, sequence, address });
            self.changed.insert(id);
        }
    }

    /// A test event for an endpoint.
    pub(super) fn test(
        &self,
        hook: WebhookId,
        sequence: u64,
        at: Timestamp,
        traceparent: Option<String>,
    ) -> Option<NewDelivery> {
        let view = &self.rows.get(&hook)?.view;
        let body = serde_json::json!({
            "type": "webhook.test", "timestamp": at, "data": { "webhook_id": hook },
        });
        Some(NewDelivery {
            hook,
            id: format!("evt_{sequence}-0"),
            tenant: view.tenant.to_string(),
            thing: format!("test {sequence}"),
            position: (sequence, 0),
            kind: "webhook.test".to_owned(),
            body: body.to_string().into(),
            at,
            traceparent,
            resend: false,
        })
    }

    /// Locks the rows that will be written, in the same order as all other transactions.
    pub(super) async fn lock(
        &self,
        connection: &mut PgConnection,
        mut hooks: BTreeSet<WebhookId>,
    ) -> Result<(), ProjectionError> {
        hooks.extend(&self.changed);
        let ids: Vec<String> = hooks.iter().map(ToString::to_string).collect();
        sqlx::query("SELECT 1 FROM webhook WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(ids)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Stores the changed rows.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        codec: &Codec,
    ) -> Result<(), ProjectionError> {
        for row in self.changed.iter().filter_map(|id| self.rows.get(id)) {
            let mut view = row.view.clone();
            let address = match &row.address {
                Address::Plain => sealed::seal(codec, &mut view).await?,
                Address::Sealed(sealed) => sealed.clone(),
            };
            let poison = |flaw| ProjectionError::Poison { sequence: row.sequence, flaw };
            let status = match (view.deleted, view.disabled_by) {
                (true, _) => "deleted",
                (false, Some(_)) => "disabled",
                (false, None) => "enabled",
            };
            sqlx::query(
                "INSERT INTO webhook (id, tenant, thing, status, sequence, doc, sealed)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (id) DO UPDATE SET
                     status = excluded.status, sequence = excluded.sequence, doc = excluded.doc,
                     sealed = excluded.sealed,
                     failures = 0, failing_since = NULL, open_until = 0",
            )
            .bind(view.id.to_string())
            .bind(view.tenant.as_str())
            .bind(storable::optional(row.thing.as_deref()))
            .bind(status)
            .bind(i64::try_from(row.sequence).unwrap_or(i64::MAX))
            .bind(storable::document(&view).map_err(poison)?)
            .bind(address)
            .execute(&mut *connection)
            .await?;
            if view.deleted {
                for statement in [
                    "DELETE FROM delivery_attempt WHERE hook_id = $1",
                    "DELETE FROM delivery WHERE hook_id = $1",
                    "DELETE FROM replay WHERE hook_id = $1",
                ] {
                    sqlx::query(statement)
                        .bind(view.id.to_string())
                        .execute(&mut *connection)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

/// The number of a tenant's endpoints, without callbacks.
///
/// # Errors
/// When the database does not respond.
pub async fn count(database: &Database, tenant: &Tenant) -> Result<u32, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM webhook
         WHERE tenant = $1 AND thing IS NULL AND status <> 'deleted'",
    )
    .bind(tenant.as_str())
    .fetch_one(database.measured())
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// True if the endpoint exists and belongs to the tenant, or to one of its jobs or batches.
///
/// # Errors
/// When the database does not respond.
pub async fn endpoint_exists(
    database: &Database,
    tenant: &Tenant,
    id: WebhookId,
) -> Result<bool, ProjectionError> {
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM webhook
         WHERE id = $1 AND tenant = $2 AND status <> 'deleted')",
    )
    .bind(id.to_string())
    .bind(tenant.as_str())
    .fetch_one(database.measured())
    .await?;
    Ok(found)
}

/// True while a replay to an endpoint is in progress.
///
/// # Errors
/// When the database does not respond.
pub async fn has_pending_replay(
    database: &Database,
    tenant: &Tenant,
    id: WebhookId,
) -> Result<bool, ProjectionError> {
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM replay WHERE hook_id = $1 AND tenant = $2)",
    )
    .bind(id.to_string())
    .bind(tenant.as_str())
    .fetch_one(database.measured())
    .await?;
    Ok(found)
}

/// Up to `limit` of a tenant's endpoints that are newer than `after`, oldest first.
///
/// # Errors
/// When the database or the key store does not respond.
pub async fn page(
    database: &Database,
    codec: &Codec,
    tenant: &Tenant,
    after: Option<WebhookId>,
    limit: u32,
) -> Result<Vec<WebhookView>, ProjectionError> {
    let rows: Vec<(Json<WebhookView>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT doc, sealed FROM webhook
         WHERE tenant = $1 AND thing IS NULL AND status <> 'deleted' AND id > $2
         ORDER BY id LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(after.map(|after| after.to_string()).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    let mut page = Vec::with_capacity(rows.len());
    for (Json(view), sealed) in rows {
        page.push(sealed::open(codec, view, sealed).await?);
    }
    Ok(page)
}
