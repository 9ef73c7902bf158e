//! The scratch disk of a worker: what its jobs are going to write is reserved before they begin.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ffapi_domain::JobId;
use ffapi_storage::NoSpace;

/// With fewer free bytes, a failure is taken for one of the disk.
const FULL: u64 = 16 * 1024 * 1024;
/// Jobs whose need was learned; the oldest ones are forgotten.
const MAX_LEARNED: usize = 1_000;

/// The disk, and what is reserved of it.
#[derive(Debug)]
pub(crate) struct ScratchDisk {
    folder: PathBuf,
    /// Bytes that stay free.
    min_free: u64,
    /// Jobs that may run at once.
    slots: u64,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    reserved: BTreeMap<u64, Reserved>,
    /// Bytes that jobs need at least, because the disk was full when they had written less.
    learned: BTreeMap<JobId, u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reserved {
    bytes: u64,
    /// Of these, what inputs from the web take on the disk already.
    fetched: u64,
    /// Of these, what the child has written.
    made: u64,
}

impl Reserved {
    const fn written(&self) -> u64 {
        self.fetched.saturating_add(self.made)
    }
}

/// What a task keeps of the disk until this is dropped: nothing, until it needs something.
#[derive(Debug)]
pub(crate) struct Reservation {
    disk: Arc<ScratchDisk>,
    /// The job whose attempt it is; none for a question.
    job: Option<JobId>,
    number: u64,
}

/// The disk has not enough space for a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotEnoughSpace {
    /// Bytes that it needs.
    pub(crate) needed: u64,
    /// Bytes that are neither used nor reserved.
    pub(crate) free: u64,
}

impl ScratchDisk {
    /// The disk of a folder, of which `min_free` bytes stay free, for a number of jobs at once.
    pub(crate) fn of(folder: PathBuf, min_free: u64, slots: usize) -> Arc<Self> {
        let slots = u64::try_from(slots).unwrap_or(u64::MAX).max(1);
        Arc::new(Self { folder, min_free, slots, ledger: Mutex::default() })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that processes of this user can still write.
    fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// True if there is space for any job at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn has_space(&self) -> io::Result<bool> {
        Ok(self.free()? >= self.min_free)
    }

    /// True if what failed may have failed because the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.free().is_ok_and(|free| free < FULL)
    }

    /// What an attempt at a job keeps of the disk.
    pub(crate) fn for_job(self: &Arc<Self>, job: JobId) -> Reservation {
        self.reservation(Some(job))
    }

    /// What a question keeps of the disk.
    pub(crate) fn for_question(self: &Arc<Self>) -> Reservation {
        self.reservation(None)
    }

    fn reservation(self: &Arc<Self>, job: Option<JobId>) -> Reservation {
        let mut ledger = self.ledger();
        let number = ledger.next;
        ledger.next = number.wrapping_add(1);
        ledger.reserved.insert(number, Reserved::default());
        Reservation { disk: Arc::clone(self), job, number }
    }

    /// Bytes that one job may keep from the others: the disk divided by the number of jobs.
    fn share(&self, ledger: &Ledger) -> io::Result<u64> {
        let written = ledger.reserved.values().map(Reserved::written);
        let usable = self.free()?.saturating_sub(self.min_free);
        let all = written.fold(usable, u64::saturating_add);
        Ok(all.checked_div(self.slots).unwrap_or(all))
    }
}

impl Reservation {
    /// Reserves space for the inputs from the web of a task, in bytes: within its share, whatever is free, so
    /// that a host cannot keep the rest from the other jobs.
    ///
    /// # Errors
    /// When that is not free, or more than its share.
    pub(crate) fn reserve_inputs(&self, bytes: u64) -> io::Result<Result<(), NoSpace>> {
        let share = self.disk.share(&self.disk.ledger())?;
        if bytes > share {
            // Before anything is written, another worker may have a larger disk.
            let is_ours = self.get().fetched > 0;
            let refused =
                if is_ours { NoSpace::Share { share } } else { NoSpace::Now { needed: bytes } };
            return Ok(Err(refused));
        }
        Ok(self.reserve(bytes)?.map_err(|NotEnoughSpace { needed, .. }| NoSpace::Now { needed }))
    }

    /// Reserves space for what the child is going to write, in bytes, in addition to the inputs from the web.
    ///
    /// # Errors
    /// `NotEnoughSpace` if that is not free, or reserved by other jobs.
    pub(crate) fn reserve_outputs(&self, bytes: u64) -> io::Result<Result<(), NotEnoughSpace>> {
        self.reserve(self.get().fetched.saturating_add(bytes))
    }

    /// Reserves so many bytes in total; more if the disk was full before the job had written that. All of it
    /// must be free; but no job keeps more than its share from the others, whatever it asks for.
    fn reserve(&self, bytes: u64) -> io::Result<Result<(), NotEnoughSpace>> {
        let mut ledger = self.disk.ledger();
        let learned = self.job.and_then(|job| ledger.learned.get(&job).copied());
        let bytes = learned.unwrap_or(0).max(bytes);
        let share = self.disk.share(&ledger)?;
        let others = ledger.reserved.iter().filter(|(number, _)| **number != self.number);
        let open = others.map(|(_, other)| other.bytes.saturating_sub(other.written()));
        let own = ledger.reserved.get(&self.number).copied().unwrap_or_default();
        let usable = self.disk.free()?.saturating_sub(self.disk.min_free);
        let free = usable.saturating_sub(open.fold(0, u64::saturating_add));
        if bytes.saturating_sub(own.written()) > free {
            return Ok(Err(NotEnoughSpace { needed: bytes, free }));
        }
        let bytes = bytes.min(share).max(own.bytes);
        ledger.reserved.insert(self.number, Reserved { bytes, ..own });
        Ok(Ok(()))
    }

    fn get(&self) -> Reserved {
        self.disk.ledger().reserved.get(&self.number).copied().unwrap_or_default()
    }

    fn update(&self, update: impl FnOnce(&mut Reserved)) {
        if let Some(reserved) = self.disk.ledger().reserved.get_mut(&self.number) {
            update(reserved);
        }
    }

    /// Records what the child has on the disk now.
    pub(crate) fn record_made(&self, bytes: u64) {
        self.update(|reserved| reserved.made = bytes);
    }

    /// Records that inputs from the web take so many bytes of the disk.
    pub(crate) fn record_fetched(&self, bytes: u64) {
        self.update(|reserved| reserved.fetched = bytes);
    }

    /// True if so many bytes are reserved.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        bytes <= self.get().bytes
    }

    /// True if all that the task has written is no more than what was reserved.
    pub(crate) fn covers_written(&self) -> bool {
        self.has(self.get().written())
    }

    /// Records that the disk was full: in the next attempt the child needs twice of what it had written.
    pub(crate) fn record_full(&self) {
        let reserved = self.get();
        self.learn(reserved.made.saturating_mul(2).saturating_add(reserved.fetched));
    }

    /// Records how many bytes the job needs at least: it does not begin again before so many are free.
    pub(crate) fn learn(&self, bytes: u64) {
        let Some(job) = self.job else { return };
        let mut ledger = self.disk.ledger();
        let needed = ledger.learned.entry(job).or_default();
        *needed = bytes.max(*needed);
        // Ids are ordered by time.
        while ledger.learned.len() > MAX_LEARNED {
            ledger.learned.pop_first();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.disk.ledger().reserved.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A disk of which nothing stays free, for a number of jobs.
    fn disk(slots: usize) -> (tempfile::TempDir, Arc<ScratchDisk>) {
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), 0, slots);
        (folder, disk)
    }

    fn job(number: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_reserved_is_not_free_for_others() {
        let (_folder, disk) = disk(1);
        let most = disk.free().unwrap() / 10 * 6;
        let (first, second) = (disk.for_job(job(1)), disk.for_job(job(2)));
        first.reserve_outputs(most).unwrap().unwrap();
        let refused = second.reserve_outputs(most).unwrap().unwrap_err();
        assert!(refused.needed == most && refused.free < most, "{refused:?}");
        // What it has written is not free either way; here it is only said.
        first.record_made(most);
        second.reserve_outputs(most).unwrap().unwrap();
        drop((first, second));
        assert!(disk.ledger().reserved.is_empty());
        assert!(disk.has_space().unwrap() && !disk.is_full());
    }

    #[test]
    fn no_job_keeps_more_than_its_share_from_the_others() {
        let (_folder, disk) = disk(4);
        let most = disk.free().unwrap() / 10 * 9;
        let jobs: Vec<_> = (1..=4).map(|number| disk.for_job(job(number))).collect();
        jobs[0].reserve_outputs(most).unwrap().unwrap();
        assert!(jobs[0].has(most / 9 * 2) && !jobs[0].has(most / 9 * 3), "{:?}", jobs[0]);
        // Two more shares are free, and some of the fourth.
        jobs[1].reserve_outputs(most / 9 * 2).unwrap().unwrap();
        jobs[2].reserve_outputs(most / 9 * 2).unwrap().unwrap();
        let refused = jobs[3].reserve_outputs(most).unwrap().unwrap_err();
        assert!(refused.free < most / 9 * 5, "{refused:?}");
    }

    #[test]
    fn inputs_from_the_web_take_a_share_at_most_and_none_of_what_stays_free() {
        let (_folder, disk) = disk(4);
        let most = disk.free().unwrap() / 10 * 9;
        let first = disk.for_job(job(1));
        let refused = first.reserve_inputs(most).unwrap().unwrap_err();
        assert_eq!(refused, NoSpace::Now { needed: most }, "it has filled nothing");
        first.reserve_inputs(most / 9 * 2).unwrap().unwrap();
        first.record_fetched(most / 9);
        let refused = first.reserve_inputs(most).unwrap().unwrap_err();
        assert!(matches!(refused, NoSpace::Share { share } if share < most / 9 * 3), "{refused:?}");
        // The outputs are reserved in addition.
        assert!(first.covers_written() && !first.has(most / 9 * 2 + 1));
        first.reserve_outputs(most / 9 + 1).unwrap().unwrap();
        assert!(first.has(most / 9 * 2 + 1));
        // Others have the rest.
        let others: Vec<_> = (2..=5).map(|number| disk.for_job(job(number))).collect();
        for other in &others {
            other.reserve_inputs(most / 9 * 2).unwrap().unwrap();
        }
        let question = disk.for_question();
        let refused = question.reserve_inputs(most / 9 * 2).unwrap().unwrap_err();
        assert_eq!(refused, NoSpace::Now { needed: most / 9 * 2 });

        let folder = tempfile::tempdir().unwrap();
        let reserved = ScratchDisk::of(folder.path().to_owned(), u64::MAX, 1).for_question();
        assert_eq!(reserved.reserve_inputs(1).unwrap(), Err(NoSpace::Now { needed: 1 }));
    }

    #[test]
    fn a_job_that_filled_the_disk_needs_twice_as_much_next_time() {
        let (_folder, disk) = disk(1);
        let first = disk.for_job(job(1));
        first.record_made(u64::MAX / 2);
        first.record_full();
        drop(first);
        assert!(disk.for_job(job(1)).reserve_outputs(1).unwrap().is_err());
        assert!(disk.for_job(job(2)).reserve_outputs(1).unwrap().is_ok());
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), u64::MAX, 1);
        let refused = disk.for_job(job(2)).reserve_outputs(1).unwrap();
        assert!(refused.is_err(), "so much stays free");
        assert!(!disk.has_space().unwrap());
    }
}
