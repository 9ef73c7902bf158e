use std::collections::{BTreeMap, BTreeSet};

use ffapi_domain::{
    Personal, Tenant, Timestamp, WebhookId,
    webhook::{Callback, WebhookEvent, WebhookView, wants},
};
use ffapi_nats::Codec;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{matching::Matched, sealed};
use crate::{Database, ProjectionError, public_message::PublicMessage, storable};

/// The endpoints that a batch of messages may concern.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    rows: BTreeMap<WebhookId, Row>,
    /// What is to be written.
    changed: BTreeSet<WebhookId>,
}

#[derive(Debug)]
struct Row {
    view: WebhookView,
    /// The job or batch whose own it is.
    thing: Option<String>,
    sequence: u64,
    address: Address,
}

/// Where a row's address is.
#[derive(Debug)]
enum Address {
    /// Sealed, as it was loaded; none if it was erased.
    Sealed(Option<Vec<u8>>),
    /// In the view, as the log just said it.
    Said,
}

type Loaded = (Json<WebhookView>, Option<String>, i64, Option<Vec<u8>>);

/// Deliveries at once of an endpoint that says nothing.
const OWN_CONCURRENCY: u32 = 2;

impl Endpoints {
    /// Those of these tenants, and the own ones of these things.
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

    /// One alone, as it stands.
    pub(super) async fn one(
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

    /// True if one is sent to and stands as it was loaded; it does so until the transaction ends.
    pub(super) async fn still_stands(
        &self,
        connection: &mut PgConnection,
        id: &str,
    ) -> Result<bool, ProjectionError> {
        let loaded = self.rows.values().find(|row| row.view.id.to_string() == id);
        let Some(loaded) = loaded else { return Ok(false) };
        let stands: Option<bool> = sqlx::query_scalar(
            "SELECT status = 'enabled' AND sequence = $2 FROM webhook WHERE id = $1 FOR UPDATE",
        )
        .bind(id)
        .bind(i64::try_from(loaded.sequence).unwrap_or(i64::MAX))
        .fetch_optional(connection)
        .await?;
        Ok(stands.unwrap_or(false))
    }

    /// Those that want an event of this kind of this thing.
    pub(super) fn wanting(&self, tenant: &Tenant, thing: &str, kind: &str) -> Vec<WebhookId> {
        let rows = self.rows.values().filter(|row| {
            row.view.tenant == *tenant
                && row.view.disabled_by.is_none()
                && !row.view.deleted
                && row.thing.as_deref().is_none_or(|own| own == thing)
                && wants(&row.view.events, kind)
        });
        rows.map(|row| row.view.id).collect()
    }

    /// A job or batch that brings an endpoint of its own.
    pub(super) fn add_own(
        &mut self,
        tenant: &Tenant,
        told: &PublicMessage,
        callback: &Callback,
        sequence: u64,
    ) {
        let number = told.thing.rsplit('_').next().and_then(|digits| Uuid::try_parse(digits).ok());
        let Some(id) = number.map(WebhookId::from_uuid) else { return };
        let view = WebhookView {
            id,
            tenant: tenant.clone(),
            url: callback.url.clone(),
            events: callback.events.clone(),
            description: Personal::Clear(None),
            concurrency: OWN_CONCURRENCY,
            secret: 0,
            old_until: None,
            disabled_by: None,
            created_at: told.at,
            updated_at: told.at,
            version: 1,
            deleted: false,
        };
        let thing = Some(told.thing.clone());
        self.rows.insert(id, Row { view, thing, sequence, address: Address::Said });
        self.changed.insert(id);
    }

    /// Folds in one event of an endpoint.
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
            None => (None, None, Address::Said),
        };
        let address = match event {
            WebhookEvent::Created { .. } | WebhookEvent::Updated { .. } => Address::Said,
            _ => address,
        };
        if let Some(view) = WebhookView::apply(view, event, id, tenant, at) {
            self.rows.insert(id, Row { view, thing, sequence, address });
            self.changed.insert(id);
        }
    }

    /// An event that means nothing.
    pub(super) fn test(&self, hook: WebhookId, sequence: u64, at: Timestamp) -> Option<Matched> {
        let view = &self.rows.get(&hook)?.view;
        let body = serde_json::json!({
            "type": "webhook.test", "timestamp": at, "data": { "webhook_id": hook },
        });
        Some(Matched {
            hook,
            id: format!("evt_{sequence}-0"),
            tenant: view.tenant.to_string(),
            thing: format!("test {sequence}"),
            place: (sequence, 0),
            kind: "webhook.test".to_owned(),
            body: body.to_string(),
            at,
            again: false,
        })
    }

    /// Locks what will be written, in the order in which everybody does.
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

    /// Writes what changed.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        codec: &Codec,
    ) -> Result<(), ProjectionError> {
        for row in self.changed.iter().filter_map(|id| self.rows.get(id)) {
            let mut view = row.view.clone();
            let address = match &row.address {
                Address::Said => sealed::seal(codec, &mut view).await?,
                Address::Sealed(kept) => kept.clone(),
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
            .bind(storable::some(row.thing.as_deref()))
            .bind(status)
            .bind(i64::try_from(row.sequence).unwrap_or(i64::MAX))
            .bind(storable::document(&view).map_err(poison)?)
            .bind(address)
            .execute(&mut *connection)
            .await?;
            if view.deleted {
                for gone in [
                    "DELETE FROM delivery_attempt WHERE hook_id = $1",
                    "DELETE FROM delivery WHERE hook_id = $1",
                    "DELETE FROM replay WHERE hook_id = $1",
                ] {
                    sqlx::query(gone).bind(view.id.to_string()).execute(&mut *connection).await?;
                }
            }
        }
        Ok(())
    }
}

/// How many endpoints a tenant has.
///
/// # Errors
/// When the database does not answer.
pub async fn count(database: &Database, tenant: &Tenant) -> Result<u32, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM webhook
         WHERE tenant = $1 AND thing IS NULL AND status <> 'deleted'",
    )
    .bind(tenant.as_str())
    .fetch_one(&database.pool)
    .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// True if a tenant has, or one of its jobs or batches has, this endpoint.
///
/// # Errors
/// When the database does not answer.
pub async fn is_there(
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
    .fetch_one(&database.pool)
    .await?;
    Ok(found)
}

/// True while something is to be sent to an endpoint once more because somebody asked for it.
///
/// # Errors
/// When the database does not answer.
pub async fn is_replayed(
    database: &Database,
    tenant: &Tenant,
    id: WebhookId,
) -> Result<bool, ProjectionError> {
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM replay WHERE hook_id = $1 AND tenant = $2)",
    )
    .bind(id.to_string())
    .bind(tenant.as_str())
    .fetch_one(&database.pool)
    .await?;
    Ok(found)
}

/// A page of a tenant's endpoints, the oldest first, younger than `after`.
///
/// # Errors
/// When the database or the key store does not answer.
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
    .fetch_all(&database.pool)
    .await?;
    let mut page = Vec::with_capacity(rows.len());
    for (Json(view), sealed) in rows {
        page.push(sealed::open(codec, view, sealed).await?);
    }
    Ok(page)
}
