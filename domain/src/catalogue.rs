//! Every kind of public event and its fields: webhooks, feeds and pub/sub subjects are documented
//! from this list, and a test compares published events with it.

/// A kind of public event.
#[derive(Debug, Clone, Copy)]
pub struct EventKind {
    /// The event's type, as published.
    pub name: &'static str,
    /// When it is published.
    pub says: &'static str,
    /// Name of the id field of its subject, like `job_id`.
    pub of: &'static str,
    /// Fields of its `data` in addition to that id.
    pub fields: &'static [Field],
    /// True for a step within an attempt, which is not needed to act on the result of a job: webhooks
    /// get it only if they name it.
    pub internal: bool,
}

impl EventKind {
    const fn internal(self) -> Self {
        Self { internal: true, ..self }
    }
}

/// A field of an event's `data`.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// Its JSON type.
    pub kind: &'static str,
    /// True if it may be `null` or absent.
    pub optional: bool,
}

const fn field(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, optional: true }
}

const fn job(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "job_id", fields, internal: false }
}

const fn batch(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "batch_id", fields, internal: false }
}

const fn key(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "key_id", fields, internal: false }
}

const fn webhook(name: &'static str, says: &'static str, fields: &'static [Field]) -> EventKind {
    EventKind { name, says, of: "webhook_id", fields, internal: false }
}

const STATUS: Field = field("status", "string");
const ATTEMPT: Field = field("attempt", "integer");
const ENDED: &[Field] = &[STATUS, field("counts", "object")];

/// All kinds of public events.
pub const EVENTS: &[EventKind] = &[
    job(
        "job.queued",
        "A job was submitted",
        &[
            STATUS,
            field("kind", "string"),
            field("priority", "string"),
            optional("metadata", "object"),
            optional("batch_id", "string"),
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
            optional("device", "string"),
        ],
    ),
    job(
        "job.progress",
        "An attempt is a quarter, a half or three quarters through",
        &[
            ATTEMPT,
            field("progress", "number"),
            optional("stage", "string"),
            optional("fps", "number"),
            optional("speed", "number"),
            optional("frames", "integer"),
            optional("eta_seconds", "number"),
            optional("outputs", "object"),
        ],
    ),
    job(
        "job.attempt_failed",
        "An attempt failed; another one may follow",
        &[STATUS, ATTEMPT, field("error", "object"), optional("next_attempt_at", "string")],
    )
    .internal(),
    job(
        "job.attempt_abandoned",
        "A worker disappeared, or stopped and handed the job back",
        &[STATUS, ATTEMPT, field("reason", "string"), field("handed_back", "boolean")],
    )
    .internal(),
    job("job.cancel_requested", "A running job is being cancelled", &[STATUS, ATTEMPT]),
    job(
        "job.cancelled",
        "A job was cancelled, and nothing of it runs any more",
        &[
            STATUS,
            optional("kind", "string"),
            optional("batch_id", "string"),
            optional("metadata", "object"),
        ],
    ),
    job(
        "job.outputs_sealed",
        "Every output is made and verified, and is being delivered",
        &[STATUS, ATTEMPT, field("outputs", "array")],
    )
    .internal(),
    job(
        "job.completed",
        "A job's outputs are at their final names",
        &[
            STATUS,
            ATTEMPT,
            optional("kind", "string"),
            optional("batch_id", "string"),
            optional("metadata", "object"),
            optional("outputs", "array"),
            optional("outputs_total", "integer"),
            optional("bytes", "integer"),
            optional("duration", "number"),
            optional("usage", "object"),
            optional("links", "object"),
            optional("playback_url", "string"),
            optional("dash_url", "string"),
            optional("poster_url", "string"),
            optional("sprite_url", "string"),
            optional("download_url", "string"),
        ],
    ),
    job(
        "job.failed",
        "A job ended without outputs",
        &[
            STATUS,
            field("error", "object"),
            field("dead_lettered", "boolean"),
            optional("kind", "string"),
            optional("batch_id", "string"),
            optional("metadata", "object"),
        ],
    ),
    job(
        "job.retried",
        "A job that had ended is retried",
        &[STATUS, field("next_attempt", "integer")],
    ),
    job(
        "job.outputs_expired",
        "A job's outputs were removed at the end of their retention",
        &[
            STATUS,
            optional("kind", "string"),
            optional("batch_id", "string"),
            optional("metadata", "object"),
        ],
    ),
    job(
        "job.outputs_deleted",
        "A job's outputs, or one of them, were deleted on request",
        &[
            STATUS,
            optional("output", "string"),
            optional("kind", "string"),
            optional("batch_id", "string"),
            optional("metadata", "object"),
        ],
    ),
    job("job.priority_changed", "A job's priority changed", &[field("priority", "string")]),
    batch(
        "batch.queued",
        "A batch was submitted",
        &[
            STATUS,
            optional("name", "string"),
            field("total", "integer"),
            field("max_parallel", "integer"),
        ],
    ),
    batch("batch.cancel_requested", "A batch is being cancelled", &[STATUS]),
    batch("batch.retried", "Jobs of a batch are retried", &[STATUS, field("jobs", "array")]),
    batch("batch.reopened", "A job of a batch that had ended is retried", &[STATUS]),
    batch("batch.completed", "Every job of a batch completed", ENDED),
    batch("batch.partial_success", "A batch ended; some of its jobs completed", ENDED),
    batch("batch.failed", "A batch ended; none of its jobs completed", ENDED),
    batch("batch.cancelled", "A batch was cancelled, and nothing of it runs any more", ENDED),
    key("key.created", "An API key was created", &[]),
    key("key.updated", "An API key was changed", &[]),
    key("key.extended", "An API key's expiry changed", &[optional("expires_at", "string")]),
    key("key.rotation_due", "An API key's secret will be replaced soon", &[field("due", "string")]),
    key("key.rotated", "An API key's secret was rotated", &[field("old_secret_until", "string")]),
    key(
        "key.token_revoked",
        "A token that was created with an API key was revoked",
        &[field("expires_at", "string")],
    ),
    key("key.revoked", "An API key was revoked", &[]),
    webhook("webhook.created", "A webhook was created", &[]),
    webhook("webhook.updated", "A webhook was changed", &[]),
    webhook(
        "webhook.secret_rotated",
        "A webhook's secret was rotated",
        &[field("old_secret_until", "string")],
    ),
    webhook("webhook.disabled", "A webhook was disabled", &[field("disabled_by", "string")]),
    webhook("webhook.enabled", "A webhook was enabled", &[]),
    webhook("webhook.deleted", "A webhook was deleted", &[]),
    webhook("webhook.test", "A test event, sent on request", &[]),
];

/// True if webhooks get the event only if they name it.
pub fn is_internal(name: &str) -> bool {
    EVENTS.iter().any(|event| event.internal && event.name == name)
}

/// True if this is a valid event filter: an event's name, or a whole group like `job.*`.
pub fn is_known(name: &str) -> bool {
    let group = name.strip_suffix('*');
    EVENTS.iter().any(|event| match group {
        Some(group) => group.ends_with('.') && event.name.starts_with(group),
        None => event.name == name,
    })
}
