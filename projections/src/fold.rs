//! Shared by all read models with one row per job.

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, JobId, Timestamp,
    job::{EventMetadata, Job, JobEvent},
    location::Location,
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::PgConnection;

use crate::{ProjectionError, error::Flaw, storable};

/// A row that a pure function folds from the events of one job.
pub(crate) trait JobRow: Sized + Send {
    /// Applies one event. `row` is `None` if there is no row yet.
    fn apply(row: Option<Self>, event: &JobEvent, meta: &EventMetadata) -> Option<Self>;

    /// Loads the rows of these jobs, where they exist.
    fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> impl Future<Output = Result<BTreeMap<JobId, Self>, ProjectionError>> + Send;

    /// Writes rows, each with the sequence of the newest message applied to it.
    fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;
}

/// Applies the job events of a batch to their rows.
pub(crate) async fn fold<R: JobRow>(
    transaction: &mut PgConnection,
    codec: &Codec,
    batch: &[Message],
) -> Result<(), ProjectionError> {
    let changes = decisions(codec, batch).await?;
    if changes.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = changes.keys().map(ToString::to_string).collect();
    let mut rows = R::load(transaction, &ids).await?;
    let mut changed = Vec::with_capacity(changes.len());
    for (id, decisions) in changes {
        let mut row = rows.remove(&id);
        let mut newest = 0;
        for (sequence, decision) in decisions {
            let poison = |why| ProjectionError::Poison { sequence, flaw: Flaw::Invalid(why) };
            let meta = EventMetadata {
                id,
                tenant: decision.tenant.parse().map_err(|_| poison("no tenant"))?,
                at: Timestamp::from_millis(decision.at),
                trace_id: decision.trace_id(),
            };
            row = decision.events.iter().fold(row, |row, event| R::apply(row, event, &meta));
            if row.is_none() {
                return Err(poison("it does not begin with a submission"));
            }
            newest = sequence;
        }
        changed.extend(row.map(|row| (row, newest)));
    }
    R::store(transaction, &changed).await
}

pub(crate) type Changes = BTreeMap<JobId, Vec<(u64, Decision<JobEvent>)>>;

/// The job decisions of a batch, by job.
pub(crate) async fn decisions(
    codec: &Codec,
    batch: &[Message],
) -> Result<Changes, ProjectionError> {
    let mut changes = Changes::new();
    for message in batch {
        let Some((Job::CATEGORY, _, id)) = message.address() else { continue };
        let sequence = message.sequence;
        let flaw = Flaw::Invalid("its subject names no job");
        let no_job = |_| ProjectionError::Poison { sequence, flaw };
        let id: JobId = id.parse().map_err(no_job)?;
        let decision = codec
            .read(message)
            .await
            .map_err(|error| ProjectionError::from_codec(sequence, error))?;
        changes.entry(id).or_default().push((sequence, decision));
    }
    Ok(changes)
}

/// One column of the rows to store.
pub(crate) fn column<R, T>(rows: &[(R, u64)], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(|(row, _)| of(row)).collect()
}

/// The sequences of the rows to store.
pub(crate) fn sequences<R>(rows: &[(R, u64)]) -> Vec<i64> {
    rows.iter().map(|(_, sequence)| i64::try_from(*sequence).unwrap_or(i64::MAX)).collect()
}

/// The rows to store, as JSON documents.
pub(crate) fn documents<R: serde::Serialize>(
    rows: &[(R, u64)],
) -> Result<Vec<serde_json::Value>, ProjectionError> {
    let document = |(row, sequence): &(R, u64)| {
        let poison = |flaw| ProjectionError::Poison { sequence: *sequence, flaw };
        storable::document(row).map(without_signatures).map_err(poison)
    };
    rows.iter().map(document).collect()
}

/// JSON pointers to the URLs of a job's inputs, and of its output. Other fields with texts of the client
/// stay unchanged.
const ADDRESS_POINTERS: [&str; 5] =
    ["/request", "/input", "/output", "/summary/input", "/summary/output"];

/// Removes the query strings of URLs, which may hold a signature that grants access. Workers read
/// the complete URLs from the log.
fn without_signatures(mut row: serde_json::Value) -> serde_json::Value {
    for pointer in ADDRESS_POINTERS {
        if let Some(found) = row.pointer_mut(pointer) {
            hide_signatures(found);
        }
    }
    row
}

fn hide_signatures(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            if let Ok(location @ Location::Web(_)) = text.parse::<Location>() {
                *text = location.shown();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(hide_signatures),
        Value::Object(all) => all.values_mut().for_each(hide_signatures),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A timestamp as it is stored: milliseconds since 1970.
pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_signatures;

    #[test]
    fn job_rows_hold_no_url_signatures() {
        let signed = "https://host/a.mp4?signature=hush";
        let shown = "https://host/a.mp4?…";
        let labels = json!({ "see": signed });
        let row = json!({
            "request": { "Convert": { "input": signed, "operations": [{ "image": signed }] } },
            "input": signed, "output": signed,
            "summary": { "input": signed, "output": signed, "metadata": labels },
        });
        let kept = without_signatures(row);
        let expected = json!({
            "request": { "Convert": { "input": shown, "operations": [{ "image": shown }] } },
            "input": shown, "output": shown,
            "summary": { "input": shown, "output": shown, "metadata": labels },
        });
        assert_eq!(kept, expected);
        assert_eq!(
            without_signatures(kept.clone()),
            kept,
            "idempotent, for rows that are read and rewritten"
        );
    }
}
