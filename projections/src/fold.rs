//! What every read model with one row a job has in common.

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, JobId, Timestamp,
    job::{Job, JobEvent, Recorded},
    location::Location,
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::PgConnection;

use crate::{ProjectionError, error::Flaw, storable};

/// A row folded from the events of one job, by a pure function.
pub(crate) trait JobRow: Sized + Send {
    /// Folds one event in. `None` in means no row yet.
    fn apply(row: Option<Self>, event: &JobEvent, meta: &Recorded) -> Option<Self>;

    /// The rows of these jobs, as far as there are any.
    fn load(
        transaction: &mut PgConnection,
        ids: &[String],
    ) -> impl Future<Output = Result<BTreeMap<JobId, Self>, ProjectionError>> + Send;

    /// Writes rows, each with the sequence of the newest message folded in.
    fn store(
        transaction: &mut PgConnection,
        rows: &[(Self, u64)],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;
}

/// Folds what a batch says of jobs into their rows.
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
            let poison = |why| ProjectionError::Poison { sequence, flaw: Flaw::Senseless(why) };
            let meta = Recorded {
                id,
                tenant: decision.tenant.parse().map_err(|_| poison("no tenant"))?,
                at: Timestamp::from_millis(decision.at),
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

/// What a batch says of jobs, by job.
pub(crate) async fn decisions(
    codec: &Codec,
    batch: &[Message],
) -> Result<Changes, ProjectionError> {
    let mut changes = Changes::new();
    for message in batch {
        let Some((Job::CATEGORY, _, id)) = message.address() else { continue };
        let sequence = message.sequence;
        let flaw = Flaw::Senseless("its subject names no job");
        let no_job = |_| ProjectionError::Poison { sequence, flaw };
        let id: JobId = id.parse().map_err(no_job)?;
        let decision = codec
            .decode(&message.payload)
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

/// The rows to store as documents.
pub(crate) fn documents<R: serde::Serialize>(
    rows: &[(R, u64)],
) -> Result<Vec<serde_json::Value>, ProjectionError> {
    let document = |(row, sequence): &(R, u64)| {
        let poison = |flaw| ProjectionError::Poison { sequence: *sequence, flaw };
        storable::document(row).map(unsigned).map_err(poison)
    };
    rows.iter().map(document).collect()
}

/// Where a job's own web addresses stand in its row. What users wrote beside them stays theirs.
const ADDRESSES: [&str; 3] = ["/request", "/input", "/summary/input"];

/// Without what may be a signature that opens an address: whoever runs the job reads the log.
fn unsigned(mut row: serde_json::Value) -> serde_json::Value {
    for place in ADDRESSES {
        if let Some(found) = row.pointer_mut(place) {
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

/// A moment as columns hold it.
pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unsigned;

    #[test]
    fn no_row_holds_what_opens_an_address() {
        let signed = "https://host/a.mp4?signature=hush";
        let shown = "https://host/a.mp4?…";
        let labels = json!({ "see": signed });
        let row = json!({
            "request": { "Convert": { "input": signed, "operations": [{ "image": signed }] } },
            "input": signed, "summary": { "input": signed, "metadata": labels },
        });
        let kept = unsigned(row);
        let expected = json!({
            "request": { "Convert": { "input": shown, "operations": [{ "image": shown }] } },
            "input": shown, "summary": { "input": shown, "metadata": labels },
        });
        assert_eq!(kept, expected);
        assert_eq!(unsigned(kept.clone()), kept, "also what is read and written again");
    }
}
