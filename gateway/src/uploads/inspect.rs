//! Inspection of an upload by a worker's sandboxed media child before it is accepted.

use std::sync::Arc;

use ffapi_domain::{
    UploadId,
    job::{FailureCode, RetryHint},
    location::Location,
    media::{PROBE_UPLOAD, PROBE_UPLOAD_TIMEOUT, ProbeUploadRequest, ProbeUploadResponse},
};
use serde_json::Value;

use crate::{
    audit_notes::AuditRecord,
    auth::Principal,
    problem::{Kind, Problem},
    scanner::OnFailure,
    state::Gateway,
};

/// Maximum size in bytes of the stored probe result; a larger one is stored without tags and
/// chapters, and not at all if that is not enough.
const MAX_FACTS_BYTES: usize = 64 * 1024;

/// Probes a stored file; none if no worker could, and such uploads are accepted.
///
/// # Errors
/// When no job could use the file, or no worker could probe it and such uploads are refused.
pub(super) async fn inspect(
    gateway: &Gateway,
    principal: &Principal,
    record: &AuditRecord,
    id: UploadId,
    sha256: &str,
) -> Result<Option<Arc<Value>>, Problem> {
    let cache_key = (principal.tenant.clone(), sha256.to_owned());
    if let Some((facts, _)) = gateway.caches.probes.get(&cache_key, 0, |_| true) {
        return Ok(Some(facts));
    }
    let question =
        ProbeUploadRequest { tenant: principal.tenant.clone(), input: Location::Upload(id) };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let answer = gateway.pubsub.request_with(PROBE_UPLOAD, question, PROBE_UPLOAD_TIMEOUT).await;
    let answer =
        answer.and_then(|answer| serde_json::from_slice::<ProbeUploadResponse>(&answer).ok());
    match answer {
        Some(ProbeUploadResponse::Is(facts)) => {
            let facts = Arc::new(shorten(facts));
            gateway.caches.probes.insert(cache_key, (Arc::clone(&facts), 0));
            Ok(Some(facts))
        }
        Some(ProbeUploadResponse::IsNot { code, message }) if is_fault_of_file(code) => {
            gateway.audit.note(record.of("upload.refused_media"));
            Err(Problem::field(Kind::Invalid, "#", message))
        }
        Some(ProbeUploadResponse::IsNot { .. }) | None => {
            gateway.audit.note(record.of("upload.not_looked_into"));
            match gateway.inspection.on_failure {
                OnFailure::Accept => Ok(None),
                OnFailure::Refuse => {
                    let detail = "uploads cannot be inspected at the moment and are not accepted";
                    Err(Problem::new(Kind::Unavailable, detail))
                }
            }
        }
    }
}

/// True if the content of the file itself made the inspection fail.
fn is_fault_of_file(code: FailureCode) -> bool {
    matches!(code, FailureCode::ResourceExhausted | FailureCode::MediaStalled)
        || code.retry_hint() == RetryHint::NoRetry
}

/// Bounds a probe result, which a worker of an earlier version may not have done: tags, titles and chapters
/// of a file may be of any length.
fn shorten(mut facts: Value) -> Value {
    if facts.to_string().len() > MAX_FACTS_BYTES
        && let Some(fields) = facts.as_object_mut()
    {
        fields.remove("tags");
        fields.remove("chapters");
        if let Some(streams) = fields.get_mut("streams").and_then(Value::as_array_mut) {
            streams.truncate(64);
            for stream in streams.iter_mut().filter_map(Value::as_object_mut) {
                stream.remove("title");
                stream.remove("tags");
            }
        }
    }
    if facts.to_string().len() > MAX_FACTS_BYTES { Value::Null } else { facts }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(tags: &Value, streams: usize) -> Value {
        let stream = json!({ "codec": "h264", "title": "t".repeat(1_000), "tags": tags });
        json!({ "duration": 2, "tags": tags, "chapters": [], "streams": vec![stream; streams] })
    }

    #[test]
    fn failures_of_the_file_and_of_the_service_are_distinguished() {
        let of_file = [
            FailureCode::InvalidInput,
            FailureCode::Unsupported,
            FailureCode::TimeLimitExceeded,
            FailureCode::ResourceExhausted,
            FailureCode::MediaStalled,
        ];
        assert!(of_file.into_iter().all(is_fault_of_file));
        let of_service =
            [FailureCode::StorageUnavailable, FailureCode::WorkerLost, FailureCode::Internal];
        assert!(!of_service.into_iter().any(is_fault_of_file));
        // A child may also have been killed from outside.
        assert!(!is_fault_of_file(FailureCode::MediaCrashed));
    }

    #[test]
    fn short_facts_are_stored_unchanged() {
        let short = facts(&json!({ "artist": "somebody" }), 3);
        assert_eq!(shorten(short.clone()), short);
    }

    #[test]
    fn long_facts_are_stored_without_tags_and_titles() {
        let long = json!({ "comment": "x".repeat(MAX_FACTS_BYTES) });
        let kept = shorten(facts(&long, 1_000));
        assert!(kept.to_string().len() <= MAX_FACTS_BYTES);
        assert_eq!(
            (&kept["duration"], &kept["streams"][63]),
            (&json!(2), &json!({ "codec": "h264" }))
        );
        assert_eq!(kept["streams"][64], Value::Null);
    }

    #[test]
    fn facts_that_are_long_in_other_ways_are_not_stored() {
        let long = json!({ "format": "x".repeat(MAX_FACTS_BYTES), "streams": [], "tags": {} });
        assert_eq!(shorten(long), Value::Null);
    }
}
