/// The space on a disk that a download takes.
pub trait Space: Sync {
    /// Reserves space for a download of so many bytes.
    ///
    /// # Errors
    /// When there is not enough.
    fn reserve(&self, bytes: u64) -> Result<(), NoSpace>;

    /// Called before bytes are written, with how many of this download there are then in total.
    ///
    /// # Errors
    /// When there is not enough space for them.
    fn take(&self, bytes: u64) -> Result<(), NoSpace>;
}

/// Why a download does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSpace {
    /// It may fit later.
    #[error(
        "the inputs from the web need about {} MiB of the worker's disk, which has less for them; another worker, \
         or a later attempt, may have the space", .needed.div_ceil(MIB)
    )]
    Now {
        /// The bytes that it needs.
        needed: u64,
    },
    /// The job has taken its share.
    #[error(
        "the inputs from the web have more than {} MiB, which is a job's share of the worker's disk: upload them, \
         or name them in a store, from which they are not copied", .share / MIB
    )]
    Share {
        /// The bytes that it may take.
        share: u64,
    },
}

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;
