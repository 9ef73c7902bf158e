use std::collections::BTreeSet;

use ffapi_domain::{PublicEvent, Timestamp, WebhookId};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::ByHook;
use crate::{ProjectionError, fold::millis, public_message::PublicMessage, storable};

/// One event that one endpoint is to be told of.
#[derive(Debug, Clone)]
pub(super) struct Matched {
    pub(super) hook: WebhookId,
    /// The same for every try, and for a replay.
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) thing: String,
    /// Sequence and index in the log.
    pub(super) place: (u64, u32),
    pub(super) kind: String,
    pub(super) body: String,
    pub(super) at: Timestamp,
    /// It is sent once more, should it have been.
    pub(super) again: bool,
}

/// What is signed and sent.
pub(super) fn body(told: &PublicMessage, event: &PublicEvent) -> String {
    let mut data = event.data.clone();
    if let Some(data) = data.as_object_mut() {
        data.insert(told.field.to_owned(), Value::String(told.thing.clone()));
    }
    json!({ "type": event.kind, "timestamp": told.at, "data": data }).to_string()
}

/// Writes due rows, and wakes the endpoints that they are for.
pub(super) async fn store(
    connection: &mut PgConnection,
    matched: &[Matched],
) -> Result<(), ProjectionError> {
    let mut woken = ByHook::new();
    for again in [false, true] {
        // Asked for twice, it is sent once: no statement may touch a row twice.
        let mut seen = BTreeSet::new();
        let rows = matched.iter().filter(|one| one.again == again);
        let rows: Vec<&Matched> =
            rows.filter(|one| seen.insert((one.hook, one.id.as_str()))).collect();
        if rows.is_empty() {
            continue;
        }
        for row in &rows {
            let due = woken.entry(row.hook).or_insert_with(|| millis(row.at));
            *due = (*due).min(millis(row.at));
        }
        let on_conflict = if again {
            "DO UPDATE SET state = 'due', attempts = 0, next_at = excluded.next_at,
                 created_at = excluded.created_at,
                 delivered_at = NULL"
        } else {
            "DO NOTHING"
        };
        let statement = format!(
            "INSERT INTO delivery (hook_id, id, tenant, thing, sequence, index, type, body,
                                   created_at, next_at, state)
             SELECT *, 'due' FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[],
                                  $5::bigint[], $6::integer[], $7::text[], $8::text[],
                                  $9::bigint[], $10::bigint[])
             ON CONFLICT (hook_id, id) {on_conflict}"
        );
        let texts = |of: fn(&Matched) -> String| -> Vec<String> {
            rows.iter().map(|row| storable::text(&of(row)).into_owned()).collect()
        };
        let times: Vec<i64> = rows.iter().map(|row| millis(row.at)).collect();
        let sequences = rows.iter().map(|row| i64::try_from(row.place.0).unwrap_or(i64::MAX));
        let indexes = rows.iter().map(|row| i32::try_from(row.place.1).unwrap_or(i32::MAX));
        // Made of this module's own words only.
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(texts(|row| row.hook.to_string()))
            .bind(texts(|row| row.id.clone()))
            .bind(texts(|row| row.tenant.clone()))
            .bind(texts(|row| row.thing.clone()))
            .bind(sequences.collect::<Vec<i64>>())
            .bind(indexes.collect::<Vec<i32>>())
            .bind(texts(|row| row.kind.clone()))
            .bind(texts(|row| row.body.clone()))
            .bind(&times)
            .bind(&times)
            .execute(&mut *connection)
            .await?;
    }
    wake(connection, &woken).await
}

/// Says when there is something to send to these endpoints.
pub(super) async fn wake(
    connection: &mut PgConnection,
    woken: &ByHook,
) -> Result<(), ProjectionError> {
    if woken.is_empty() {
        return Ok(());
    }
    // In one order, so that two who do this never wait for each other in a ring.
    sqlx::query(
        "WITH woken AS (SELECT * FROM UNNEST($1::text[], $2::bigint[]) AS w (id, at)),
              locked AS (SELECT id FROM webhook WHERE id = ANY($1) ORDER BY id FOR UPDATE)
         UPDATE webhook SET due_at = LEAST(coalesce(due_at, woken.at), woken.at)
         FROM woken, locked WHERE webhook.id = woken.id AND webhook.id = locked.id",
    )
    .bind(woken.keys().map(ToString::to_string).collect::<Vec<String>>())
    .bind(woken.values().copied().collect::<Vec<i64>>())
    .execute(connection)
    .await?;
    Ok(())
}
