//! The subjects of all messages, one function for each kind. Ids, tenants and names are single tokens,
//! so they have no dots; `*` in the place of one matches any.

use std::fmt::Display;

/// All decisions in the log.
pub const ALL_DECISIONS: &str = "ev.>";
/// All tasks in the work queue.
pub(crate) const ALL_TASKS: &str = "work.>";
/// The log lines of all jobs.
pub(crate) const ALL_JOB_LOGS: &str = "logs.>";
/// All idempotency keys.
pub(crate) const ALL_IDEMPOTENCY_KEYS: &str = "idem.>";
/// All counters of quotas.
pub(crate) const ALL_QUOTA_COUNTERS: &str = "quota.>";
/// All audit records that are not decisions.
pub const ALL_NOTES: &str = "audit.>";
/// The progress of all jobs.
pub const ALL_PROGRESS: &str = "live.*.job.*.progress";

/// The decisions about an aggregate. `category` is the name of its category, like `job`.
pub fn aggregate(category: &str, tenant: impl Display, id: impl Display) -> String {
    format!("ev.{category}.{tenant}.{id}")
}

/// The decisions of a process of the service, which belong to no tenant.
pub fn process(category: &str, name: impl Display) -> String {
    aggregate(category, "_", name)
}

/// All decisions of a category.
pub fn category(category: &str) -> String {
    format!("ev.{category}.>")
}

/// All decisions of a category about a tenant.
pub fn category_of_tenant(category: &str, tenant: impl Display) -> String {
    format!("ev.{category}.{tenant}.>")
}

/// All decisions about a tenant.
pub fn tenant(tenant: impl Display) -> String {
    category_of_tenant("*", tenant)
}

/// The category, tenant and id of an aggregate's subject; `None` if it has another form.
pub fn parse_aggregate(subject: &str) -> Option<(&str, &str, &str)> {
    let mut tokens = subject.split('.');
    match (tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (Some("ev"), Some(category), Some(tenant), Some(id), None) => Some((category, tenant, id)),
        _ => None,
    }
}

/// The category of a message: the second token of a subject in the log, and the first one of another
/// subject.
pub(crate) fn category_name(subject: &str) -> &str {
    let subject = subject.strip_prefix("ev.").unwrap_or(subject);
    subject.split('.').next().unwrap_or_default()
}

/// A task in the work queue.
pub(crate) fn task(pool: &str, name: &str) -> String {
    format!("work.{pool}.{name}")
}

/// All tasks of a pool.
pub(crate) fn tasks(pool: &str) -> String {
    task(pool, ">")
}

/// The log lines of a job.
pub(crate) fn job_logs(tenant: &str, job: &str) -> String {
    format!("logs.{tenant}.{job}")
}

/// The log lines of all jobs of a tenant.
pub(crate) fn tenant_logs(tenant: &str) -> String {
    job_logs(tenant, ">")
}

/// The reservation of an idempotency key, by its hash.
pub(crate) fn idempotency_key(tenant: &str, hash: &str) -> String {
    format!("idem.{tenant}.{hash}")
}

/// All idempotency keys of a tenant.
pub(crate) fn idempotency_keys(tenant: &str) -> String {
    idempotency_key(tenant, ">")
}

/// A counter of a quota. `name` consists of tokens.
pub(crate) fn quota_counter(name: &str) -> String {
    format!("quota.{name}")
}

/// An audit record. `name` consists of tokens: tenant, action, and what makes it unique.
pub(crate) fn note(name: &str) -> String {
    format!("audit.{name}")
}

/// True for a message of the audit stream.
pub fn is_note(subject: &str) -> bool {
    subject.starts_with("audit.")
}

/// An event of a job or a batch, to current subscribers. `kind` is its type, like `job.completed`.
pub fn live_event(tenant: impl Display, id: impl Display, kind: &str) -> String {
    let (resource, change) = kind.split_once('.').unwrap_or(("event", kind));
    format!("live.{tenant}.{resource}.{id}.{change}")
}

/// The progress of a job.
pub fn progress(tenant: impl Display, job: impl Display) -> String {
    live_event(tenant, job, "job.progress")
}

/// All events of a tenant that current subscribers get.
pub fn live_events(tenant: impl Display) -> String {
    format!("live.{tenant}.>")
}

/// The position of a read model.
pub fn projection_position(name: &str) -> String {
    format!("projection.{name}.position")
}

/// The heartbeats of a worker.
pub fn worker_presence(worker: impl Display) -> String {
    format!("presence.worker.{worker}")
}

/// The heartbeats of a conductor.
pub fn conductor_presence(conductor: impl Display) -> String {
    format!("presence.conductor.{conductor}")
}

/// Asks the worker that runs a job to cancel it.
pub fn cancel_job(job: impl Display) -> String {
    format!("ctl.cancel.{job}")
}

/// Asks the worker of an attempt whether it still runs.
pub fn attempt(job: impl Display, attempt: u32) -> String {
    format!("ctl.attempt.{job}.{attempt}")
}

/// Asks gateways to return the queue slots of a tenant that they do not need.
pub fn slots_wanted(tenant: impl Display) -> String {
    format!("ctl.room.{tenant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_an_aggregate_is_parsed_and_every_other_one_is_rejected() {
        let subject = aggregate("job", "acme", "job_1");
        assert_eq!(parse_aggregate(&subject), Some(("job", "acme", "job_1")));
        assert_eq!(category_name(&subject), "job");
        for subject in ["ev.job.acme", "ev.job.acme.job_1.x", "work.job.acme.job_1", ""] {
            assert_eq!(parse_aggregate(subject), None, "{subject}");
        }
        assert_eq!(category_name(&note("acme.key-refused")), "audit");
    }

    #[test]
    fn subjects_are_those_that_earlier_versions_used() {
        assert_eq!(process("dispatch", "cpu"), "ev.dispatch._.cpu");
        assert_eq!(tenant("acme"), "ev.*.acme.>");
        assert_eq!(tasks("cpu"), "work.cpu.>");
        assert_eq!(progress("acme", "job_1"), "live.acme.job.job_1.progress");
        assert_eq!(progress("*", "*"), ALL_PROGRESS);
        assert_eq!(
            live_event("acme", "bat_1", "batch.completed"),
            "live.acme.batch.bat_1.completed"
        );
        assert_eq!(slots_wanted("*"), "ctl.room.*");
        assert_eq!(worker_presence(">"), "presence.worker.>");
    }
}
