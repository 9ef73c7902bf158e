//! What an upload is, as a worker's sandboxed child finds out before it is taken.

use std::sync::Arc;

use ffapi_domain::{
    UploadId,
    job::{FailureCode, RetryHint},
    location::Location,
    media::{LOOK, LOOK_TIMEOUT, LookAnswer, LookQuestion},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    audit_notes::AuditRecord,
    auth::Principal,
    problem::{Kind, Problem},
    scanner::OnFailure,
    state::Gateway,
};

/// What becomes of an upload that no worker could look into.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LookConfig {
    /// Without a worker it is taken, unless this says otherwise: its first job finds out.
    pub on_failure: OnFailure,
}

impl Default for LookConfig {
    fn default() -> Self {
        Self { on_failure: OnFailure::Accept }
    }
}

/// Bytes of what is kept of it; beyond, tags and chapters are left out.
const MOST: usize = 64 * 1024;

/// What stored bytes are; none if nobody could say, and that is no reason to refuse them.
///
/// # Errors
/// When they are nothing that a job could use.
pub(super) async fn look(
    gateway: &Gateway,
    principal: &Principal,
    record: &AuditRecord,
    id: UploadId,
    sha256: &str,
) -> Result<Option<Arc<Value>>, Problem> {
    let known = (principal.tenant.clone(), sha256.to_owned());
    if let Some((facts, _)) = gateway.probes.find(&known, 0, |_| true) {
        return Ok(Some(facts));
    }
    let question = LookQuestion { tenant: principal.tenant.clone(), input: Location::Upload(id) };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let answer = gateway.live.ask_about(LOOK, question, LOOK_TIMEOUT).await;
    let answer = answer.and_then(|answer| serde_json::from_slice::<LookAnswer>(&answer).ok());
    match answer {
        Some(LookAnswer::Is(facts)) => {
            let facts = Arc::new(in_short(facts));
            gateway.probes.keep(known, (Arc::clone(&facts), 0));
            Ok(Some(facts))
        }
        Some(LookAnswer::IsNot { code, message }) if is_its_doing(code) => {
            gateway.audit.note(record.of("upload.refused_media"));
            Err(Problem::field(Kind::Invalid, "#body", message))
        }
        Some(LookAnswer::IsNot { .. }) | None => {
            gateway.audit.note(record.of("upload.not_looked_into"));
            match gateway.look.on_failure {
                OnFailure::Accept => Ok(None),
                OnFailure::Refuse => {
                    let detail = "no worker can look into uploads at the moment, so none is taken";
                    Err(Problem::new(Kind::Unavailable, detail))
                }
            }
        }
    }
}

/// True if nothing but the bytes themselves kept a worker from finding out what they are.
fn is_its_doing(code: FailureCode) -> bool {
    matches!(code, FailureCode::ResourceExhausted | FailureCode::MediaStalled)
        || code.retry_hint() == RetryHint::NoRetry
}

/// What a file says of itself may be as long as it likes.
fn in_short(mut facts: Value) -> Value {
    if facts.to_string().len() > MOST
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
    facts
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
    fn a_file_does_not_choose_to_go_unseen() {
        let its = [
            FailureCode::InvalidInput,
            FailureCode::Unsupported,
            FailureCode::TimeLimitExceeded,
            FailureCode::ResourceExhausted,
            FailureCode::MediaStalled,
        ];
        assert!(its.into_iter().all(is_its_doing));
        let ours =
            [FailureCode::StorageUnavailable, FailureCode::WorkerLost, FailureCode::Internal];
        assert!(!ours.into_iter().any(is_its_doing));
        // A child that was killed from outside is no fault of the file's.
        assert!(!is_its_doing(FailureCode::MediaCrashed));
    }

    #[test]
    fn what_a_file_says_of_itself_is_kept_while_it_is_short() {
        let few = facts(&json!({ "artist": "somebody" }), 3);
        assert_eq!(in_short(few.clone()), few);
    }

    #[test]
    fn of_what_is_long_only_the_facts_are_kept() {
        let long = json!({ "comment": "x".repeat(MOST) });
        let kept = in_short(facts(&long, 1_000));
        assert!(kept.to_string().len() <= MOST);
        assert_eq!(
            (&kept["duration"], &kept["streams"][63]),
            (&json!(2), &json!({ "codec": "h264" }))
        );
        assert_eq!(kept["streams"][64], Value::Null);
    }
}
