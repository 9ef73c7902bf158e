use std::{collections::BTreeSet, sync::Arc};

use ffapi_domain::{PublicEvent, Timestamp, WebhookId};
use ffapi_nats::Position;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::DueTimes;
use crate::{ProjectionError, fold::millis, public_message::PublicMessage, storable};

/// The delivery of one event to one endpoint, before it is stored.
#[derive(Debug, Clone)]
pub(super) struct Matched {
    pub(super) hook: WebhookId,
    /// The `webhook-id`: the same for all attempts and for a replay.
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) thing: String,
    /// Stream sequence of the message, and index of the event in it.
    pub(super) position: (u64, u32),
    pub(super) kind: String,
    /// Shared by all endpoints of an event.
    pub(super) body: Arc<str>,
    pub(super) at: Timestamp,
    /// W3C trace context of the decision.
    pub(super) traceparent: Option<String>,
    /// For a replay: it is sent again even if it was delivered.
    pub(super) resend: bool,
}

/// Bytes of the bodies that one statement inserts; Postgres takes no message over 1 GB.
const MAX_STATEMENT_BYTES: usize = 16 * 1024 * 1024;

/// The size of a request body in bytes above which it lists fewer outputs: many receivers accept no more
/// than 64 KiB.
const MAX_BODY: usize = 60 * 1024;

/// The request body, which is signed and sent. `position` is that of the event in the log.
pub(super) fn body(public: &PublicMessage, event: &PublicEvent, position: Position) -> String {
    let mut data = event.data.clone();
    if let Some(data) = data.as_object_mut() {
        data.insert(public.field.to_owned(), Value::String(public.thing.clone()));
    }
    let position = position.to_string();
    loop {
        let whole = json!({ "type": event.kind, "timestamp": public.at, "position": position, "data": &data });
        let text = whole.to_string();
        if text.len() <= MAX_BODY || !halve_outputs(&mut data) {
            return text;
        }
    }
}

/// Removes half of the listed outputs, whose number stays in `outputs_total`; false if there are none.
fn halve_outputs(data: &mut Value) -> bool {
    let Some(data) = data.as_object_mut() else { return false };
    let Some(outputs) = data.get_mut("outputs").and_then(Value::as_array_mut) else { return false };
    let count = outputs.len();
    outputs.truncate(count / 2);
    data.entry("outputs_total").or_insert_with(|| count.into());
    count > 0
}

/// Writes due deliveries, and updates when their endpoints are due.
pub(super) async fn store(
    connection: &mut PgConnection,
    matched: &[Matched],
) -> Result<(), ProjectionError> {
    let mut due_times = DueTimes::new();
    for resend in [false, true] {
        // Duplicates are removed: one statement may not update the same row twice.
        let mut seen = BTreeSet::new();
        let rows = matched.iter().filter(|delivery| delivery.resend == resend);
        let rows: Vec<&Matched> =
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
fn chunk_length(rows: &[&Matched]) -> usize {
    let mut bytes = 0_usize;
    let fits = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.body.len());
        bytes <= MAX_STATEMENT_BYTES
    });
    fits.count().max(1)
}

async fn insert(
    connection: &mut PgConnection,
    rows: &[&Matched],
    statement: &str,
) -> Result<(), ProjectionError> {
    let texts = |of: fn(&Matched) -> String| -> Vec<String> {
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
    use ffapi_nats::Actor;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_body_lists_as_many_outputs_as_receivers_accept() {
        let public = PublicMessage {
            field: "job_id",
            thing: "job_1".to_owned(),
            at: Timestamp::from_millis(0),
            actor: Actor::Process("worker".to_owned()),
            traceparent: None,
            events: vec![],
            callback: None,
        };
        let position = Position { epoch: 1, sequence: 1, index: 0 };
        let output = json!({ "location": "x".repeat(1_000) });
        let sent = |count: usize| {
            let data = json!({ "outputs": vec![output.clone(); count], "attempt": 1 });
            let event = PublicEvent { kind: "job.outputs_sealed", data, terminal: false };
            body(&public, &event, position)
        };
        let (short, long) = (sent(50), sent(100));
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap()["data"].clone();
        assert_eq!(read(&short)["outputs"].as_array().unwrap().len(), 50);
        assert!(read(&short).get("outputs_total").is_none());
        assert!(long.len() <= MAX_BODY);
        assert_eq!(read(&long)["outputs"].as_array().unwrap().len(), 50);
        assert_eq!(
            (&read(&long)["outputs_total"], &read(&long)["job_id"]),
            (&json!(100), &json!("job_1"))
        );
    }

    #[test]
    fn a_statement_inserts_a_bounded_number_of_bytes() {
        let matched = |bytes: usize| Matched {
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
        let (small, large) = (matched(1), matched(MAX_STATEMENT_BYTES));
        assert_eq!(chunk_length(&[&small, &small, &large]), 2);
        assert_eq!(chunk_length(&[&large, &small]), 1);
        let larger = matched(MAX_STATEMENT_BYTES.saturating_add(1));
        assert_eq!(chunk_length(&[&larger, &small]), 1, "one row is always inserted");
    }
}
