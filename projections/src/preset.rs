//! Presets and all of their versions.

use ffapi_domain::{
    Decider, Tenant,
    preset::{GLOBAL, Preset, PresetEvent},
};
use ffapi_nats::{Codec, Decision, Message};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, types::Json};

use crate::{Database, Projection, ProjectionError, storable};

/// Writes the read model.
#[derive(Debug)]
pub struct Presets;

/// The newest version of a preset.
#[derive(Debug, Clone, FromRow)]
pub struct PresetRow {
    /// The owner: a tenant, or `_` for a global preset.
    pub tenant: String,
    /// Name of the preset.
    pub name: String,
    /// Version number, from 1.
    pub version: i32,
    /// The kind of job that it applies to.
    pub kind: String,
    /// Fields of that kind's request body.
    pub body: Json<Value>,
    /// When it was defined, in milliseconds since 1970.
    pub created_at: i64,
}

impl Projection for Presets {
    type Prepared = ();

    const NAME: &'static str = "preset";
    const TABLES: &'static [&'static str] = &["preset"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        for message in batch {
            let Some((Preset::CATEGORY, tenant, name)) = message.address() else { continue };
            let sequence = message.sequence;
            let decision: Decision<PresetEvent> = codec
                .read(message)
                .await
                .map_err(|error| ProjectionError::from_codec(sequence, error))?;
            let poison = |flaw| ProjectionError::Poison { sequence, flaw };
            let at = i64::try_from(sequence).unwrap_or(i64::MAX);
            let (tenant, name) = (storable::text(tenant), storable::text(name));
            for event in &decision.events {
                let deleted = matches!(event, PresetEvent::Deleted {});
                sqlx::query(
                    "UPDATE preset SET deleted = $3, sequence = $4
                     WHERE tenant = $1 AND name = $2",
                )
                .bind(&*tenant)
                .bind(&*name)
                .bind(deleted)
                .bind(at)
                .execute(&mut *transaction)
                .await?;
                let PresetEvent::Defined { version } = event else { continue };
                sqlx::query(
                    "INSERT INTO preset (tenant, name, version, kind, body, created_at, sequence)
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                )
                .bind(&*tenant)
                .bind(&*name)
                .bind(i32::try_from(version.version).unwrap_or(i32::MAX))
                .bind(storable::text(&version.kind))
                .bind(storable::document(&version.body).map_err(poison)?)
                .bind(i64::try_from(decision.at).unwrap_or(i64::MAX))
                .bind(at)
                .execute(&mut *transaction)
                .await?;
            }
        }
        Ok(())
    }
}

/// The number of a tenant's own presets, without deleted ones.
///
/// # Errors
/// When the database does not respond.
pub async fn count(database: &Database, tenant: &Tenant) -> Result<u64, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT name) FROM preset WHERE tenant = $1 AND NOT deleted",
    )
    .bind(tenant.as_str())
    .fetch_one(database.measured())
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The newest version of each preset that a tenant may use, ordered by name, own ones before global
/// ones: up to `limit` after the cursor, a name and an owner.
///
/// # Errors
/// When the database does not respond.
pub async fn page(
    database: &Database,
    tenant: &Tenant,
    after: Option<(String, String)>,
    limit: u32,
) -> Result<Vec<PresetRow>, ProjectionError> {
    let (name, owner) = after.unwrap_or_default();
    let rows = sqlx::query_as(
        "SELECT DISTINCT ON (name, tenant = $2) tenant, name, version, kind, body, created_at
         FROM preset WHERE (tenant = $1 OR tenant = $2) AND NOT deleted
         AND (name, tenant = $2) > ($3, $4)
         ORDER BY name, tenant = $2, version DESC LIMIT $5",
    )
    .bind(tenant.as_str())
    .bind(GLOBAL)
    .bind(name)
    .bind(owner == GLOBAL)
    .bind(i64::from(limit))
    .fetch_all(database.measured())
    .await?;
    Ok(rows)
}
