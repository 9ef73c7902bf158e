use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

use super::{StorageQuotaCommand, StorageQuotaEvent};
use crate::{JobId, Tenant, Timestamp, UploadId, job::JobEvent, upload::UploadEvent};

/// A pending command for a tenant's storage quota.
#[derive(Debug)]
pub struct Due {
    /// The tenant.
    pub tenant: Tenant,
    /// The command.
    pub command: StorageQuotaCommand,
}

/// The process manager of storage: tracks which files are stored, and which holds they replace.
#[derive(Debug, Clone, Default)]
pub struct StorageQuotaTracker {
    tenants: BTreeMap<Tenant, TenantFiles>,
    /// Tenants that may have something to report.
    dirty: BTreeSet<Tenant>,
    /// Tenants with open holds.
    holding: BTreeSet<Tenant>,
}

/// The files of a tenant. Millions of them may be stored: paths are kept as hashes.
#[derive(Debug, Clone, Default)]
struct TenantFiles {
    /// Files by path: a file replaces another one at the same path.
    files: BTreeMap<PathHash, File>,
    by_thing: BTreeMap<Uuid, BTreeSet<PathHash>>,
    /// Undelivered outputs by job.
    staged: BTreeMap<JobId, Vec<StagedFile>>,
    bytes: u64,
    /// The number of bytes that was last reported.
    reported: u64,
    /// Expiry of each hold.
    held: BTreeMap<String, Timestamp>,
    /// Holds that have ended.
    closed: BTreeSet<String>,
}

/// The job or upload that a file belongs to, and the bytes that are counted for it.
#[derive(Debug, Clone, Copy)]
struct File {
    thing: Uuid,
    bytes: u64,
}

/// An undelivered output.
#[derive(Debug, Clone, Copy)]
struct StagedFile {
    /// The path under which it is counted until it is delivered.
    path: PathHash,
    /// Where it is counted after that; none if it is put at a URL.
    location: Option<PathHash>,
}

/// A hash of a path. Of two paths with the same one, the second would count instead of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathHash(u64);

impl PathHash {
    fn of(path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What a file counts at least: a block of the disk.
const MIN_FILE_BYTES: u64 = 4_096;

/// The id of a job or an upload in its text; none if it is neither.
fn thing_id(text: &str) -> Option<Uuid> {
    let job = text.parse().map(JobId::uuid);
    job.or_else(|_| text.parse().map(UploadId::uuid)).ok()
}

impl TenantFiles {
    fn add_file(&mut self, path: PathHash, file: File) {
        self.remove_file(path);
        self.bytes = self.bytes.saturating_add(file.bytes);
        self.by_thing.entry(file.thing).or_default().insert(path);
        self.files.insert(path, file);
    }

    fn remove_file(&mut self, path: PathHash) {
        let Some(File { thing, bytes }) = self.files.remove(&path) else { return };
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(paths) = self.by_thing.get_mut(&thing) {
            paths.remove(&path);
            if paths.is_empty() {
                self.by_thing.remove(&thing);
            }
        }
    }

    /// Moves staged outputs to their final locations; those that were put at URLs are no longer here.
    fn deliver(&mut self, job: JobId) {
        for StagedFile { path, location } in self.staged.remove(&job).unwrap_or_default() {
            let Some(file) = self.files.get(&path).copied() else { continue };
            self.remove_file(path);
            if let Some(location) = location {
                self.add_file(location, file);
            }
        }
    }

    fn remove_files_of(&mut self, thing: Uuid) {
        for path in self.by_thing.get(&thing).cloned().unwrap_or_default() {
            self.remove_file(path);
        }
    }

    /// Removes a file unless something else has replaced it.
    fn remove_file_of(&mut self, path: PathHash, thing: Uuid) {
        if self.files.get(&path).is_some_and(|file| file.thing == thing) {
            self.remove_file(path);
        }
    }

    fn close(&mut self, thing: &str) {
        if self.held.contains_key(thing) {
            self.closed.insert(thing.to_owned());
        }
    }
}

impl StorageQuotaTracker {
    /// Folds in one event of an upload.
    pub fn upload(&mut self, tenant: &Tenant, id: UploadId, event: &UploadEvent) {
        let (files, thing) = (self.mark_dirty(tenant), id.uuid());
        match event {
            UploadEvent::Completed { size, .. } => {
                let file = File { thing, bytes: (*size).max(MIN_FILE_BYTES) };
                files.add_file(PathHash::of(&id.to_string()), file);
            }
            UploadEvent::Expired {} => files.remove_files_of(thing),
        }
        files.close(&id.to_string());
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, tenant: &Tenant, id: JobId, event: &JobEvent) {
        let thing = id.uuid();
        match event {
            JobEvent::OutputsSealed { outputs, .. } => {
                let files = self.mark_dirty(tenant);
                let mut staged = Vec::new();
                for (number, output) in outputs.iter().enumerate() {
                    let path = PathHash::of(&format!("{id}/{number}"));
                    files.add_file(path, File { thing, bytes: output.size.max(MIN_FILE_BYTES) });
                    // Without its location it is counted as staged until its job's files are deleted.
                    if let Some(location) = output.location.as_ref() {
                        let location = (!output.is_put()).then(|| PathHash::of(location));
                        staged.push(StagedFile { path, location });
                    }
                }
                files.staged.insert(id, staged);
                files.close(&id.to_string());
            }
            JobEvent::Completed { .. } => self.mark_dirty(tenant).deliver(id),
            JobEvent::OutputsDeleted { only: Some(output) } => {
                let files = self.mark_dirty(tenant);
                if let Some(location) = output.location.as_ref() {
                    files.remove_file_of(PathHash::of(location), thing);
                }
            }
            JobEvent::Failed { .. }
            | JobEvent::Cancelled {}
            | JobEvent::OutputsExpired {}
            | JobEvent::OutputsDeleted { only: None } => {
                let files = self.mark_dirty(tenant);
                files.staged.remove(&id);
                files.remove_files_of(thing);
                files.close(&id.to_string());
            }
            JobEvent::Submitted { .. }
            | JobEvent::AttemptStarted { .. }
            | JobEvent::AttemptFailed { .. }
            | JobEvent::AttemptAbandoned { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::Retried { .. }
            | JobEvent::PriorityChanged { .. } => {}
        }
    }

    /// Records that all data of a tenant was deleted.
    pub fn erased(&mut self, tenant: &Tenant) {
        let files = self.mark_dirty(tenant);
        files.files.clear();
        files.by_thing.clear();
        files.staged.clear();
        files.bytes = 0;
        files.closed.extend(files.held.keys().cloned());
    }

    /// Folds in one event of a tenant's storage quota.
    pub fn storage_quota(&mut self, tenant: &Tenant, event: &StorageQuotaEvent) {
        let files = self.mark_dirty(tenant);
        match event {
            StorageQuotaEvent::Held { thing, until, .. } => {
                files.held.insert(thing.clone(), *until);
                // Counted files need no hold: this one was extended just as the file was stored.
                if thing_id(thing).is_some_and(|thing| files.by_thing.contains_key(&thing)) {
                    files.closed.insert(thing.clone());
                } else {
                    files.closed.remove(thing);
                }
            }
            StorageQuotaEvent::Released { thing } => {
                files.held.remove(thing);
                files.closed.remove(thing);
            }
            StorageQuotaEvent::Counted { bytes, closed, .. } => {
                files.reported = *bytes;
                for thing in closed {
                    files.held.remove(thing);
                    files.closed.remove(thing);
                }
            }
        }
        if files.held.is_empty() {
            self.holding.remove(tenant);
        } else {
            self.holding.insert(tenant.clone());
        }
    }

    /// The counts to report, as of the newest message that was folded in.
    pub fn due(&mut self, now: Timestamp, as_of: u64) -> Vec<Due> {
        for tenant in &self.holding {
            let Some(files) = self.tenants.get_mut(tenant) else { continue };
            let over = files.held.iter().filter(|(_, until)| **until <= now);
            files.closed.extend(over.map(|(thing, _)| thing.clone()));
            if !files.closed.is_empty() {
                self.dirty.insert(tenant.clone());
            }
        }
        let mut due = Vec::new();
        for tenant in std::mem::take(&mut self.dirty) {
            let Some(files) = self.tenants.get(&tenant) else { continue };
            if files.bytes == files.reported && files.closed.is_empty() {
                continue;
            }
            let closed = files.closed.iter().cloned().collect();
            let command = StorageQuotaCommand::Count { bytes: files.bytes, as_of, closed };
            due.push(Due { tenant, command });
        }
        due
    }

    /// Marks a report that failed, so that it is repeated.
    pub fn again(&mut self, tenant: Tenant) {
        self.dirty.insert(tenant);
    }

    fn mark_dirty(&mut self, tenant: &Tenant) -> &mut TenantFiles {
        self.dirty.insert(tenant.clone());
        self.tenants.entry(tenant.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Decider, Personal,
        job::{DeletedOutput, Failure, FailureCode, OutputFile},
        storage_quota::StorageQuota,
    };

    fn tenant() -> Tenant {
        "acme".parse().unwrap()
    }

    fn upload(n: u128) -> UploadId {
        UploadId::from_uuid(Uuid::from_u128(n))
    }

    fn job(n: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(n))
    }

    /// An upload of some blocks.
    fn completed(blocks: u64) -> UploadEvent {
        let (file_name, sha256, size) = (Personal::Erased, String::new(), blocks * MIN_FILE_BYTES);
        UploadEvent::Completed { file_name, size, sha256, media: None }
    }

    /// An output of some blocks.
    fn sealed(path: &str, blocks: u64) -> JobEvent {
        let size = blocks * MIN_FILE_BYTES;
        let output = OutputFile {
            name: Personal::Erased,
            location: Personal::Clear(path.to_owned()),
            size,
            sha256: String::new(),
            duration: None,
            streams: vec![],
        };
        JobEvent::OutputsSealed {
            attempt: 1,
            outputs: vec![output],
            result: None,
            spent: None,
            plan: None,
        }
    }

    fn deleted(path: &str) -> JobEvent {
        let (name, location) = (Personal::Erased, Personal::Clear(path.to_owned()));
        JobEvent::OutputsDeleted { only: Some(DeletedOutput { name, location }) }
    }

    fn held(thing: &str, until: u64) -> StorageQuotaEvent {
        let until = Timestamp::from_millis(until);
        StorageQuotaEvent::Held { thing: thing.to_owned(), bytes: 9, until }
    }

    /// The due report in blocks, which is then applied as the log would.
    fn report(tracker: &mut StorageQuotaTracker, now: u64) -> Option<(u64, Vec<String>)> {
        let mut due = tracker.due(Timestamp::from_millis(now), 1);
        let StorageQuotaCommand::Count { bytes, as_of, closed } = due.pop()?.command else {
            return None;
        };
        let event = StorageQuotaEvent::Counted { bytes, as_of, closed: closed.clone() };
        tracker.storage_quota(&tenant(), &event);
        assert!(tracker.due(Timestamp::from_millis(now), 2).is_empty(), "reported once");
        assert_eq!(bytes % MIN_FILE_BYTES, 0);
        Some((bytes / MIN_FILE_BYTES, closed))
    }

    #[test]
    fn a_small_file_counts_as_a_block() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let (file_name, sha256, media) = (Personal::Erased, String::new(), None);
        tracker.upload(
            &tenant,
            upload(1),
            &UploadEvent::Completed { file_name, size: 1, sha256, media },
        );
        assert_eq!(report(&mut tracker, 1), Some((1, vec![])));
    }

    #[test]
    fn outputs_that_are_put_at_urls_do_not_count() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let job = JobId::from_uuid(Uuid::from_u128(1));
        tracker.job(&tenant, job, &sealed("https://host/a.mp4?…", 5));
        tracker.job(&tenant, job, &JobEvent::Completed { attempt: 1 });
        assert_eq!(report(&mut tracker, 1), None);
    }

    #[test]
    fn uploads_and_outputs_count_while_they_are_stored() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = upload(1).to_string();
        tracker.storage_quota(&tenant, &held(&thing, 50));
        assert_eq!(report(&mut tracker, 1), None, "it is not stored yet");
        tracker.upload(&tenant, upload(1), &completed(5));
        assert_eq!(report(&mut tracker, 1), Some((5, vec![thing])));
        tracker.job(&tenant, job(1), &sealed("a", 7));
        tracker.job(&tenant, job(2), &sealed("b", 20));
        assert_eq!(report(&mut tracker, 1), Some((32, vec![])));
        tracker.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        tracker.job(&tenant, job(2), &JobEvent::Completed { attempt: 1 });
        assert_eq!(report(&mut tracker, 1), None, "delivered, they count as before");
        tracker.job(&tenant, job(1), &JobEvent::OutputsExpired {});
        tracker.upload(&tenant, upload(1), &UploadEvent::Expired {});
        assert_eq!(report(&mut tracker, 1), Some((20, vec![])));
        tracker.erased(&tenant);
        assert_eq!(report(&mut tracker, 1), Some((0, vec![])));
    }

    #[test]
    fn counted_files_are_not_held_in_addition() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = upload(1).to_string();
        tracker.storage_quota(&tenant, &held(&thing, 50));
        tracker.upload(&tenant, upload(1), &completed(5));
        tracker.storage_quota(&tenant, &held(&thing, 90));
        assert_eq!(report(&mut tracker, 1), Some((5, vec![thing])));
    }

    #[test]
    fn an_output_that_replaces_another_counts_instead_of_it() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let complete = |tracker: &mut StorageQuotaTracker, n| {
            tracker.job(&tenant, job(n), &JobEvent::Completed { attempt: 1 });
        };
        tracker.job(&tenant, job(1), &sealed("a", 7));
        complete(&mut tracker, 1);
        tracker.job(&tenant, job(2), &sealed("a", 9));
        assert_eq!(report(&mut tracker, 1), Some((16, vec![])), "both are on disk");
        complete(&mut tracker, 2);
        assert_eq!(report(&mut tracker, 1), Some((9, vec![])));
        // What is the later job's now is not deleted with the earlier one's.
        tracker.job(&tenant, job(1), &deleted("a"));
        tracker.job(&tenant, job(1), &JobEvent::OutputsExpired {});
        assert_eq!(report(&mut tracker, 1), None);
    }

    #[test]
    fn an_output_that_is_deleted_by_itself_does_not_count_any_more() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        tracker.job(&tenant, job(1), &sealed("a", 7));
        tracker.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        assert_eq!(report(&mut tracker, 1), Some((7, vec![])));
        tracker.job(&tenant, job(1), &deleted("b"));
        assert_eq!(report(&mut tracker, 1), None);
        tracker.job(&tenant, job(1), &deleted("a"));
        assert_eq!(report(&mut tracker, 1), Some((0, vec![])));
    }

    #[test]
    fn undelivered_outputs_do_not_affect_existing_files() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        tracker.job(&tenant, job(1), &sealed("a", 7));
        tracker.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        tracker.job(&tenant, job(2), &sealed("a", 9));
        let message = Personal::Erased;
        let failure = Failure { code: FailureCode::OutputExists, message };
        tracker.job(&tenant, job(2), &JobEvent::Failed { failure, dead_lettered: false });
        assert_eq!(report(&mut tracker, 1), Some((7, vec![])));
        // Retried, the job makes its outputs again.
        tracker.job(&tenant, job(2), &JobEvent::Retried { next_attempt: 2, lease: None });
        tracker.job(&tenant, job(2), &sealed("b", 9));
        tracker.job(&tenant, job(2), &JobEvent::Completed { attempt: 2 });
        assert_eq!(report(&mut tracker, 1), Some((16, vec![])));
    }

    #[test]
    fn an_output_that_is_put_at_a_url_counts_until_it_is_there() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = job(1).to_string();
        let put = || sealed("https://bucket.example/a.mp4", 7);
        tracker.storage_quota(&tenant, &held(&thing, 50));
        tracker.job(&tenant, job(1), &put());
        assert_eq!(report(&mut tracker, 1), Some((7, vec![thing])));
        tracker.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        assert_eq!(report(&mut tracker, 1), Some((0, vec![])));
        let message = Personal::Erased;
        let failure = Failure { code: FailureCode::OutputUnreachable, message };
        let ends = [JobEvent::Cancelled {}, JobEvent::Failed { failure, dead_lettered: true }];
        for (n, end) in (2..).zip(ends) {
            tracker.job(&tenant, job(n), &put());
            assert_eq!(report(&mut tracker, 1), Some((7, vec![])));
            tracker.job(&tenant, job(n), &end);
            assert_eq!(report(&mut tracker, 1), Some((0, vec![])), "{end:?}");
        }
    }

    #[test]
    fn an_unused_hold_ends() {
        let (mut tracker, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = job(1).to_string();
        tracker.storage_quota(&tenant, &held(&thing, 50));
        assert_eq!(report(&mut tracker, 49), None);
        assert_eq!(report(&mut tracker, 50), Some((0, vec![thing.clone()])));
        tracker.storage_quota(&tenant, &held(&thing, 90));
        tracker.job(&tenant, job(1), &JobEvent::Cancelled {});
        assert_eq!(report(&mut tracker, 50), Some((0, vec![thing])));
        assert_eq!(StorageQuota::CATEGORY, "kept");
    }
}
