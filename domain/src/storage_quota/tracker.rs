use std::collections::{BTreeMap, BTreeSet};

use super::{StorageQuotaCommand, StorageQuotaEvent};
use crate::{
    JobId, Tenant, Timestamp, UploadId,
    job::{JobEvent, OutputFile},
    upload::UploadEvent,
};

/// What a tenant's storage is to be told.
#[derive(Debug)]
pub struct Due {
    /// Whose.
    pub tenant: Tenant,
    /// What.
    pub command: StorageQuotaCommand,
}

/// The process manager that counts: which files are kept, and which holds are in that.
#[derive(Debug, Clone, Default)]
pub struct StorageQuotaTracker {
    tenants: BTreeMap<Tenant, Books>,
    /// Those of which something may be to be said.
    stirred: BTreeSet<Tenant>,
    /// Those that hold something.
    holding: BTreeSet<Tenant>,
}

#[derive(Debug, Clone, Default)]
struct Books {
    /// By where each file stands: what takes the place of another is kept instead of it.
    files: BTreeMap<String, File>,
    by_thing: BTreeMap<String, BTreeSet<String>>,
    /// Where the outputs of jobs are to stand once they are delivered, by where they are counted until then.
    staged: BTreeMap<JobId, BTreeMap<String, String>>,
    bytes: u64,
    /// What was said last.
    told: u64,
    /// Until when each hold counts.
    held: BTreeMap<String, Timestamp>,
    /// Holds that are over.
    closed: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct File {
    thing: String,
    bytes: u64,
}

impl Books {
    fn keep(&mut self, place: String, thing: &str, bytes: u64) {
        self.drop_file(&place);
        self.bytes = self.bytes.saturating_add(bytes);
        self.by_thing.entry(thing.to_owned()).or_default().insert(place.clone());
        self.files.insert(place, File { thing: thing.to_owned(), bytes });
    }

    fn drop_file(&mut self, place: &str) {
        let Some(File { thing, bytes }) = self.files.remove(place) else { return };
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(places) = self.by_thing.get_mut(&thing) {
            places.remove(place);
            if places.is_empty() {
                self.by_thing.remove(&thing);
            }
        }
    }

    /// What was staged stands where it belongs.
    fn deliver(&mut self, job: JobId) {
        for (place, location) in self.staged.remove(&job).unwrap_or_default() {
            let Some(File { thing, bytes }) = self.files.get(&place).cloned() else { continue };
            self.drop_file(&place);
            self.keep(location, &thing, bytes);
        }
    }

    fn drop_all_of(&mut self, thing: &str) {
        for place in self.by_thing.get(thing).cloned().unwrap_or_default() {
            self.drop_file(&place);
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
        let (books, thing) = (self.stir(tenant), id.to_string());
        match event {
            UploadEvent::Completed { size, .. } => books.keep(thing.clone(), &thing, *size),
            UploadEvent::Expired {} => books.drop_all_of(&thing),
        }
        books.close(&thing);
    }

    /// Folds in one event of a job.
    pub fn job(&mut self, tenant: &Tenant, id: JobId, event: &JobEvent) {
        match event {
            JobEvent::OutputsSealed { outputs, .. } => {
                let (books, thing) = (self.stir(tenant), id.to_string());
                let mut staged = BTreeMap::new();
                for (number, OutputFile { location, size, .. }) in outputs.iter().enumerate() {
                    let place = format!("{thing}/{number}");
                    books.keep(place.clone(), &thing, *size);
                    if let Some(location) = location.as_ref() {
                        staged.insert(place, location.clone());
                    }
                }
                books.staged.insert(id, staged);
                books.close(&thing);
            }
            JobEvent::Completed { .. } => self.stir(tenant).deliver(id),
            JobEvent::Failed { .. } | JobEvent::Cancelled {} | JobEvent::OutputsExpired {} => {
                let (books, thing) = (self.stir(tenant), id.to_string());
                books.staged.remove(&id);
                books.drop_all_of(&thing);
                books.close(&thing);
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

    /// Everything of a tenant is gone.
    pub fn erased(&mut self, tenant: &Tenant) {
        let books = self.stir(tenant);
        books.files.clear();
        books.by_thing.clear();
        books.staged.clear();
        books.bytes = 0;
        books.closed.extend(books.held.keys().cloned());
    }

    /// Folds in one event of a tenant's storage.
    pub fn kept(&mut self, tenant: &Tenant, event: &StorageQuotaEvent) {
        let books = self.stir(tenant);
        match event {
            StorageQuotaEvent::Held { thing, until, .. } => {
                books.held.insert(thing.clone(), *until);
                // What is counted is not held as well: it was held for longer just as it was stored.
                if books.by_thing.contains_key(thing) {
                    books.closed.insert(thing.clone());
                } else {
                    books.closed.remove(thing);
                }
            }
            StorageQuotaEvent::Released { thing } => {
                books.held.remove(thing);
                books.closed.remove(thing);
            }
            StorageQuotaEvent::Counted { bytes, closed, .. } => {
                books.told = *bytes;
                for thing in closed {
                    books.held.remove(thing);
                    books.closed.remove(thing);
                }
            }
        }
        if books.held.is_empty() {
            self.holding.remove(tenant);
        } else {
            self.holding.insert(tenant.clone());
        }
    }

    /// What is to be said, as of the newest message that was folded in.
    pub fn due(&mut self, now: Timestamp, as_of: u64) -> Vec<Due> {
        for tenant in &self.holding {
            let Some(books) = self.tenants.get_mut(tenant) else { continue };
            let over = books.held.iter().filter(|(_, until)| **until <= now);
            books.closed.extend(over.map(|(thing, _)| thing.clone()));
            if !books.closed.is_empty() {
                self.stirred.insert(tenant.clone());
            }
        }
        let mut due = Vec::new();
        for tenant in std::mem::take(&mut self.stirred) {
            let Some(books) = self.tenants.get(&tenant) else { continue };
            if books.bytes == books.told && books.closed.is_empty() {
                continue;
            }
            let closed = books.closed.iter().cloned().collect();
            let command = StorageQuotaCommand::Count { bytes: books.bytes, as_of, closed };
            due.push(Due { tenant, command });
        }
        due
    }

    /// It was not said, and is to be said again.
    pub fn again(&mut self, tenant: Tenant) {
        self.stirred.insert(tenant);
    }

    fn stir(&mut self, tenant: &Tenant) -> &mut Books {
        self.stirred.insert(tenant.clone());
        self.tenants.entry(tenant.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Decider, Personal,
        job::{Failure, FailureCode},
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

    fn completed(size: u64) -> UploadEvent {
        let (file_name, sha256) = (Personal::Erased, String::new());
        UploadEvent::Completed { file_name, size, sha256, media: None }
    }

    fn sealed(place: &str, size: u64) -> JobEvent {
        let output = OutputFile {
            name: Personal::Erased,
            location: Personal::Clear(place.to_owned()),
            size,
            sha256: String::new(),
            duration: None,
            streams: vec![],
        };
        JobEvent::OutputsSealed { attempt: 1, outputs: vec![output], result: None, spent: None }
    }

    fn held(thing: &str, until: u64) -> StorageQuotaEvent {
        let until = Timestamp::from_millis(until);
        StorageQuotaEvent::Held { thing: thing.to_owned(), bytes: 9, until }
    }

    /// What is said now, as it then stands in the log.
    fn said(ledger: &mut StorageQuotaTracker, now: u64) -> Option<(u64, Vec<String>)> {
        let mut due = ledger.due(Timestamp::from_millis(now), 1);
        let StorageQuotaCommand::Count { bytes, as_of, closed } = due.pop()?.command else {
            return None;
        };
        let event = StorageQuotaEvent::Counted { bytes, as_of, closed: closed.clone() };
        ledger.kept(&tenant(), &event);
        assert!(ledger.due(Timestamp::from_millis(now), 2).is_empty(), "said once");
        Some((bytes, closed))
    }

    #[test]
    fn uploads_and_outputs_count_while_they_are_there() {
        let (mut ledger, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = upload(1).to_string();
        ledger.kept(&tenant, &held(&thing, 50));
        assert_eq!(said(&mut ledger, 1), None, "it is not there yet");
        ledger.upload(&tenant, upload(1), &completed(5));
        assert_eq!(said(&mut ledger, 1), Some((5, vec![thing])));
        ledger.job(&tenant, job(1), &sealed("a", 7));
        ledger.job(&tenant, job(2), &sealed("b", 20));
        assert_eq!(said(&mut ledger, 1), Some((32, vec![])));
        ledger.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        ledger.job(&tenant, job(2), &JobEvent::Completed { attempt: 1 });
        assert_eq!(said(&mut ledger, 1), None, "delivered, they count as before");
        ledger.job(&tenant, job(1), &JobEvent::OutputsExpired {});
        ledger.upload(&tenant, upload(1), &UploadEvent::Expired {});
        assert_eq!(said(&mut ledger, 1), Some((20, vec![])));
        ledger.erased(&tenant);
        assert_eq!(said(&mut ledger, 1), Some((0, vec![])));
    }

    #[test]
    fn what_is_counted_is_not_held_as_well() {
        let (mut ledger, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = upload(1).to_string();
        ledger.kept(&tenant, &held(&thing, 50));
        ledger.upload(&tenant, upload(1), &completed(5));
        ledger.kept(&tenant, &held(&thing, 90));
        assert_eq!(said(&mut ledger, 1), Some((5, vec![thing])));
    }

    #[test]
    fn an_output_that_takes_the_place_of_another_is_kept_instead_of_it() {
        let (mut ledger, tenant) = (StorageQuotaTracker::default(), tenant());
        let complete = |ledger: &mut StorageQuotaTracker, n| {
            ledger.job(&tenant, job(n), &JobEvent::Completed { attempt: 1 });
        };
        ledger.job(&tenant, job(1), &sealed("a", 7));
        complete(&mut ledger, 1);
        ledger.job(&tenant, job(2), &sealed("a", 9));
        assert_eq!(said(&mut ledger, 1), Some((16, vec![])), "both are on the disk");
        complete(&mut ledger, 2);
        assert_eq!(said(&mut ledger, 1), Some((9, vec![])));
        ledger.job(&tenant, job(1), &JobEvent::OutputsExpired {});
        assert_eq!(said(&mut ledger, 1), None);
    }

    #[test]
    fn outputs_that_were_not_delivered_take_nothing_off_what_stands_there() {
        let (mut ledger, tenant) = (StorageQuotaTracker::default(), tenant());
        ledger.job(&tenant, job(1), &sealed("a", 7));
        ledger.job(&tenant, job(1), &JobEvent::Completed { attempt: 1 });
        ledger.job(&tenant, job(2), &sealed("a", 9));
        let message = Personal::Erased;
        let failure = Failure { code: FailureCode::OutputExists, message };
        ledger.job(&tenant, job(2), &JobEvent::Failed { failure, dead_lettered: false });
        assert_eq!(said(&mut ledger, 1), Some((7, vec![])));
        // Tried again, it makes its outputs anew.
        ledger.job(&tenant, job(2), &JobEvent::Retried { next_attempt: 2, lease: None });
        ledger.job(&tenant, job(2), &sealed("b", 9));
        ledger.job(&tenant, job(2), &JobEvent::Completed { attempt: 2 });
        assert_eq!(said(&mut ledger, 1), Some((16, vec![])));
    }

    #[test]
    fn a_hold_of_which_nothing_comes_ends() {
        let (mut ledger, tenant) = (StorageQuotaTracker::default(), tenant());
        let thing = job(1).to_string();
        ledger.kept(&tenant, &held(&thing, 50));
        assert_eq!(said(&mut ledger, 49), None);
        assert_eq!(said(&mut ledger, 50), Some((0, vec![thing.clone()])));
        ledger.kept(&tenant, &held(&thing, 90));
        ledger.job(&tenant, job(1), &JobEvent::Cancelled {});
        assert_eq!(said(&mut ledger, 50), Some((0, vec![thing])));
        assert_eq!(StorageQuota::CATEGORY, "kept");
    }
}
