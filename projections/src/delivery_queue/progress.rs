use ffapi_domain::{
    JobId, Tenant, Timestamp,
    webhook::{WebhookView, wants},
};
use sqlx::{Connection, types::Json};

use super::{DueTimes, enqueue::update_due_times};
use crate::{Database, ProjectionError, fold::millis, storable};

/// Enqueues `job.progress` deliveries for the subscribed endpoints, since progress is not in the
/// log. Idempotent by `id`.
///
/// # Errors
/// When the database does not respond.
pub async fn enqueue_progress(
    database: &Database,
    tenant: &Tenant,
    job: JobId,
    id: &str,
    body: &str,
    at: Timestamp,
) -> Result<(), ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    let rows: Vec<(Json<WebhookView>,)> = sqlx::query_as(
        "SELECT doc FROM webhook WHERE tenant = $1 AND thing IS NULL AND status = 'enabled'
         UNION ALL
         SELECT doc FROM webhook WHERE thing = $2 AND tenant = $1 AND status = 'enabled'",
    )
    .bind(tenant.as_str())
    .bind(job.to_string())
    .fetch_all(&mut *transaction)
    .await?;
    let mut due_times = DueTimes::new();
    for (Json(view),) in rows.iter().filter(|(Json(view),)| wants(&view.events, "job.progress")) {
        // Ordered after the existing deliveries of the job, and before later ones.
        sqlx::query(
            "INSERT INTO delivery (hook_id, id, tenant, thing, sequence, index, type, body,
                                   created_at, next_at, state)
             SELECT $1, $2, $3, $4, coalesce(max(sequence), 0), coalesce(max(index), 0) + 1000,
                    'job.progress', $5, $6, $6, 'due'
             FROM delivery WHERE hook_id = $1 AND thing = $4
             ON CONFLICT (hook_id, id) DO NOTHING",
        )
        .bind(view.id.to_string())
        .bind(id)
        .bind(tenant.as_str())
        .bind(job.to_string())
        .bind(storable::text(body))
        .bind(millis(at))
        .execute(&mut *transaction)
        .await?;
        due_times.insert(view.id, millis(at));
    }
    update_due_times(&mut transaction, &due_times).await?;
    transaction.commit().await?;
    Ok(())
}
