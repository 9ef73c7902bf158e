use std::{collections::BTreeSet, sync::Arc};

use ffapi_domain::{Timestamp, WebhookId};
use sqlx::PgConnection;

use super::DueTimes;
use crate::{ProjectionError, fold::millis, storable};

/// The delivery of one event to one endpoint, before it is stored.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    pub(crate) hook: WebhookId,
    /// The `webhook-id`: the same for all attempts and for a replay.
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) thing: String,
    /// Stream sequence of the message, and index of the event in it.
    pub(crate) position: (u64, u32),
    pub(crate) kind: String,
    /// Shared by all endpoints of an event.
    pub(crate) body: Arc<str>,
    pub(crate) at: Timestamp,
    /// W3C trace context of the decision.
    pub(crate) traceparent: Option<String>,
    /// For a replay: it is sent again even if it was delivered.
    pub(crate) resend: bool,
}

/// Bytes of the bodies that one statement inserts; Postgres takes no message over 1 GB.
const MAX_STATEMENT_BYTES: usize = 16 * 1024 * 1024;

/// Writes due deliveries, and updates when their endpoints are due.
pub(crate) async fn enqueue(
    connection: &mut PgConnection,
    deliveries: &[NewDelivery],
) -> Result<(), ProjectionError> {
    let mut due_times = DueTimes::new();
    for resend in [false, true] {
        // Duplicates are removed: one statement may not update the same row twice.
        let mut seen = BTreeSet::new();
        let rows = deliveries.iter().filter(|delivery| delivery.resend == resend);
        let rows: Vec<&NewDelivery> =
            rows.filter(|row| seen.insert((row.hook, row.id.as_str()))).collect();
        if rows.is_empty() {
            continue;
        }
        for row in &rows {
            let due = due_times.entry(row.hook).or_insert_with(|| millis(row.at));
            *due = (*due).min(millis(row.at));
        }
        let on_conflict = if resend {
            "DO UPDATE SET state = 'due', attempts = 0, next_at = excluded.next_at,
                 created_at = excluded.created_at,
                 delivered_at = NULL"
        } else {
            "DO NOTHING"
        };
        let statement = format!(
            "INSERT INTO delivery (hook_id, id, tenant, thing, sequence, index, type, body,
                                   created_at, next_at, traceparent, state)
             SELECT *, 'due' FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[],
                                  $5::bigint[], $6::integer[], $7::text[], $8::text[],
                                  $9::bigint[], $10::bigint[], $11::text[])
             ON CONFLICT (hook_id, id) {on_conflict}"
        );
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(chunk_length(rest));
            insert(connection, chunk, &statement).await?;
            rest = behind;
        }
    }
    update_due_times(connection, &due_times).await
}

/// Number of rows whose bodies fit into one statement; at least 1.
fn chunk_length(rows: &[&NewDelivery]) -> usize {
    let mut bytes = 0_usize;
    let fits = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.body.len());
        bytes <= MAX_STATEMENT_BYTES
    });
    fits.count().max(1)
}

async fn insert(
    connection: &mut PgConnection,
    rows: &[&NewDelivery],
    statement: &str,
) -> Result<(), ProjectionError> {
    let texts = |of: fn(&NewDelivery) -> String| -> Vec<String> {
        rows.iter().map(|row| storable::text(&of(row)).into_owned()).collect()
    };
    let times: Vec<i64> = rows.iter().map(|row| millis(row.at)).collect();
    let sequences = rows.iter().map(|row| i64::try_from(row.position.0).unwrap_or(i64::MAX));
    let indexes = rows.iter().map(|row| i32::try_from(row.position.1).unwrap_or(i32::MAX));
    // Contains only constants.
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
        .bind(texts(|row| row.hook.to_string()))
        .bind(texts(|row| row.id.clone()))
        .bind(texts(|row| row.tenant.clone()))
        .bind(texts(|row| row.thing.clone()))
        .bind(sequences.collect::<Vec<i64>>())
        .bind(indexes.collect::<Vec<i32>>())
        .bind(texts(|row| row.kind.clone()))
        .bind(texts(|row| row.body.as_ref().to_owned()))
        .bind(&times)
        .bind(&times)
        .bind(rows.iter().map(|row| row.traceparent.clone()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores when deliveries to these endpoints are due, if that is earlier than the stored time.
pub(super) async fn update_due_times(
    connection: &mut PgConnection,
    due_times: &DueTimes,
) -> Result<(), ProjectionError> {
    if due_times.is_empty() {
        return Ok(());
    }
    // Locked in a fixed order, so that concurrent transactions cannot deadlock.
    sqlx::query(
        "WITH woken AS (SELECT * FROM UNNEST($1::text[], $2::bigint[]) AS w (id, at)),
              locked AS (SELECT id FROM webhook WHERE id = ANY($1) ORDER BY id FOR UPDATE)
         UPDATE webhook SET due_at = LEAST(coalesce(due_at, woken.at), woken.at)
         FROM woken, locked WHERE webhook.id = woken.id AND webhook.id = locked.id",
    )
    .bind(due_times.keys().map(ToString::to_string).collect::<Vec<String>>())
    .bind(due_times.values().copied().collect::<Vec<i64>>())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_statement_inserts_a_bounded_number_of_bytes() {
        let delivery = |bytes: usize| NewDelivery {
            hook: WebhookId::from_uuid(Uuid::nil()),
            id: String::new(),
            tenant: String::new(),
            thing: String::new(),
            position: (1, 0),
            kind: String::new(),
            body: "x".repeat(bytes).into(),
            at: Timestamp::from_millis(0),
            traceparent: None,
            resend: false,
        };
        let (small, large) = (delivery(1), delivery(MAX_STATEMENT_BYTES));
        assert_eq!(chunk_length(&[&small, &small, &large]), 2);
        assert_eq!(chunk_length(&[&large, &small]), 1);
        let larger = delivery(MAX_STATEMENT_BYTES.saturating_add(1));
        assert_eq!(chunk_length(&[&larger, &small]), 1, "one row is always inserted");
    }
}
