//! Every kind of event that users are told of, and what it carries: webhooks, feeds and live subjects
//! are documented from here, and what is told is held against it by a test.

/// A kind of event.
#[derive(Debug, Clone, Copy)]
pub struct EventKind {
    /// As it is told.
    pub name: &'static str,
    /// When.
    pub says: &'static str,
    /// Of what: the field that names it, like `job_id`.
    pub of: &'static str,
    /// What its `data` holds beside that.
    pub fields: &'static [Field],
}

/// A field of an event's data.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its JSON type.
    pub kind: &'static str,
    /// True if it may be `null` or absent.
    pub optional: bool,
}

const fn field(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, optional: false }
}

const fn maybe(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, optional: true }
}

const fn job(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "job_id", fields }
}

const fn batch(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "batch_id", fields }
}

const fn key(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "key_id", fields }
}

const fn hook(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "webhook_id", fields }
}

const STATUS: Field = field("status", "string");
const ATTEMPT: Field = field("attempt", "integer");
const ENDED: &[Field] = &[STATUS, field("counts", "object")];

/// All of them.
pub const EVENTS: &[EventKind] = &[
    job(
        "job.queued",
        "A job was submitted",
        &[
            STATUS,
            field("kind", "string"),
            field("priority", "string"),
            maybe("metadata", "object"),
            maybe("batch_id", "string"),
        ],
    ),
    job(
        "job.started",
        "A worker began an attempt",
        &[
            STATUS,
            ATTEMPT,
            field("worker", "string"),
            field("pool", "string"),
            maybe("device", "string"),
        ],
    ),
    job(
        "job.progress",
        "An attempt is a quarter, a half or three quarters through",
        &[
            ATTEMPT,
            field("progress", "number"),
            maybe("stage", "string"),
            maybe("fps", "number"),
            maybe("speed", "number"),
            maybe("frames", "integer"),
            maybe("eta_seconds", "number"),
            maybe("outputs", "object"),
        ],
    ),
    job(
        "job.attempt_failed",
        "An attempt did not work; another may follow",
        &[STATUS, ATTEMPT, field("error", "object"), maybe("next_attempt_at", "string")],
    ),
    job(
        "job.attempt_abandoned",
        "A worker vanished, or went away and gave the job back",
        &[STATUS, ATTEMPT, field("reason", "string"), field("handed_back", "boolean")],
    ),
    job("job.cancel_requested", "A running job is to stop", &[STATUS, ATTEMPT]),
    job("job.cancelled", "A job was called off, and nothing of it runs", &[STATUS]),
    job(
        "job.outputs_sealed",
        "Everything is made and verified, and is being delivered",
        &[STATUS, ATTEMPT, field("outputs", "array")],
    ),
    job(
        "job.completed",
        "A job's outputs stand at their names",
        &[STATUS, ATTEMPT, maybe("metadata", "object")],
    ),
    job(
        "job.failed",
        "A job ended without outputs",
        &[
            STATUS,
            field("error", "object"),
            field("dead_lettered", "boolean"),
            maybe("metadata", "object"),
        ],
    ),
    job(
        "job.retried",
        "A job that was over is tried again",
        &[STATUS, field("next_attempt", "integer")],
    ),
    job(
        "job.outputs_expired",
        "A job's outputs were kept long enough, and are gone",
        &[STATUS, maybe("metadata", "object")],
    ),
    job(
        "job.priority_changed",
        "A job has another place in the queue",
        &[field("priority", "string")],
    ),
    batch(
        "batch.queued",
        "A batch was submitted",
        &[
            STATUS,
            maybe("name", "string"),
            field("total", "integer"),
            field("max_parallel", "integer"),
        ],
    ),
    batch("batch.cancel_requested", "A batch is called off", &[STATUS]),
    batch("batch.retried", "Jobs of a batch are tried again", &[STATUS, field("jobs", "array")]),
    batch("batch.reopened", "A job of a batch that was over is tried again", &[STATUS]),
    batch("batch.completed", "Every job of a batch is done", ENDED),
    batch("batch.partial_success", "A batch is over; some of its jobs are done", ENDED),
    batch("batch.failed", "A batch is over; none of its jobs is done", ENDED),
    batch("batch.cancelled", "A batch was called off, and nothing of it runs", ENDED),
    key("key.created", "An API key was made", &[]),
    key("key.updated", "An API key may other things", &[]),
    key("key.extended", "An API key ends at another time", &[maybe("expires_at", "string")]),
    key("key.rotation_due", "An API key's secret will be replaced soon", &[field("due", "string")]),
    key("key.rotated", "An API key has another secret", &[field("old_secret_until", "string")]),
    key("key.revoked", "An API key opens nothing any more", &[]),
    hook("webhook.created", "A webhook was made", &[]),
    hook("webhook.updated", "A webhook was changed", &[]),
    hook(
        "webhook.secret_rotated",
        "A webhook has another secret",
        &[field("old_secret_until", "string")],
    ),
    hook(
        "webhook.disabled",
        "Nothing is sent to a webhook any more",
        &[field("disabled_by", "string")],
    ),
    hook("webhook.enabled", "A webhook is sent to again", &[]),
    hook("webhook.deleted", "A webhook is gone", &[]),
    hook("webhook.test", "Somebody asked for an event that means nothing", &[]),
];

/// True if events may be asked for by this name: one of them, or a whole group like `job.*`.
pub fn is_known(name: &str) -> bool {
    let group = name.strip_suffix('*');
    EVENTS.iter().any(|event| match group {
        Some(group) => group.ends_with('.') && event.name.starts_with(group),
        None => event.name == name,
    })
}
