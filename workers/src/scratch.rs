//! The scratch disk of a worker: what its jobs are going to write is reserved before they begin.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ffapi_domain::JobId;

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
    /// Bytes that jobs need at least, because the disk was full when they had written half of that.
    learned: BTreeMap<JobId, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Reserved {
    bytes: u64,
    /// Of these, what is on the disk already.
    written: u64,
}

/// Space that is reserved until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    disk: Arc<ScratchDisk>,
    number: u64,
    /// Bytes that the job may count on.
    bytes: u64,
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

    /// Reserves space for what a job is going to write, in bytes; more if the disk was full before it had
    /// written that. All of it must be free; but no job keeps more than its share from the others, whatever
    /// it asks for: the disk divided by the number of jobs.
    ///
    /// # Errors
    /// `NotEnoughSpace` if that is not free, or reserved by other jobs.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        job: JobId,
        bytes: u64,
    ) -> io::Result<Result<Reservation, NotEnoughSpace>> {
        let mut ledger = self.ledger();
        let bytes = ledger.learned.get(&job).copied().unwrap_or(0).max(bytes);
        let others = ledger.reserved.values();
        let open = others.clone().map(|other| other.bytes.saturating_sub(other.written));
        let written = others.map(|other| other.written).fold(0, u64::saturating_add);
        let usable = self.free()?.saturating_sub(self.min_free);
        let free = usable.saturating_sub(open.fold(0, u64::saturating_add));
        if bytes > free {
            return Ok(Err(NotEnoughSpace { needed: bytes, free }));
        }
        let share = usable.saturating_add(written).checked_div(self.slots).unwrap_or(usable);
        let bytes = bytes.min(share);
        let number = ledger.next;
        ledger.next = number.wrapping_add(1);
        ledger.reserved.insert(number, Reserved { bytes, written: 0 });
        Ok(Ok(Reservation { disk: Arc::clone(self), number, bytes }))
    }

    /// Records that the disk was full when a job had written so many bytes.
    pub(crate) fn learn(&self, job: JobId, written: u64) {
        let mut ledger = self.ledger();
        let needed = ledger.learned.entry(job).or_default();
        *needed = written.saturating_mul(2).max(*needed);
        // Ids are ordered by time.
        while ledger.learned.len() > MAX_LEARNED {
            ledger.learned.pop_first();
        }
    }
}

impl Reservation {
    /// True if so many bytes are no more than what was reserved.
    pub(crate) const fn covers(&self, written: u64) -> bool {
        written <= self.bytes
    }

    /// Records what the job has on the disk now.
    pub(crate) fn record_written(&self, bytes: u64) {
        if let Some(reserved) = self.disk.ledger().reserved.get_mut(&self.number) {
            reserved.written = bytes;
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

    fn job(number: u128) -> JobId {
        JobId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_reserved_is_not_free_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), 0, 1);
        let most = disk.free().unwrap() / 10 * 6;
        let first = disk.reserve(job(1), most).unwrap().unwrap();
        let refused = disk.reserve(job(2), most).unwrap().unwrap_err();
        assert!(refused.needed == most && refused.free < most, "{refused:?}");
        // What it has written is not free either way; here it is only said.
        first.record_written(most);
        let second = disk.reserve(job(2), most).unwrap().unwrap();
        drop((first, second));
        assert!(disk.ledger().reserved.is_empty());
        assert!(disk.has_space().unwrap() && !disk.is_full());
    }

    #[test]
    fn no_job_keeps_more_than_its_share_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), 0, 4);
        let most = disk.free().unwrap() / 10 * 9;
        let first = disk.reserve(job(1), most).unwrap().unwrap();
        assert!(first.covers(most / 9 * 2) && !first.covers(most / 9 * 3), "{first:?}");
        // Two more shares are free, and some of the fourth.
        let second = disk.reserve(job(2), most / 9 * 2).unwrap().unwrap();
        let third = disk.reserve(job(3), most / 9 * 2).unwrap().unwrap();
        let refused = disk.reserve(job(4), most).unwrap().unwrap_err();
        assert!(refused.free < most / 9 * 5, "{refused:?}");
        drop((first, second, third));
    }

    #[test]
    fn a_job_that_filled_the_disk_needs_twice_as_much_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::of(folder.path().to_owned(), 0, 1);
        disk.learn(job(1), u64::MAX / 2);
        assert!(disk.reserve(job(1), 1).unwrap().is_err());
        assert!(disk.reserve(job(2), 1).unwrap().is_ok());
        let disk = ScratchDisk::of(folder.path().to_owned(), u64::MAX, 1);
        assert!(disk.reserve(job(2), 1).unwrap().is_err(), "so much stays free");
        assert!(!disk.has_space().unwrap());
    }
}
