use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    packaging::{Packaged, Segmented},
    quality::meter::Scores,
};

/// One encoded stream.
pub(super) struct EncodedOutput {
    pub(super) packaged: Packaged,
    /// All segments in one unencrypted file, for verification.
    pub(super) clear_copy: PathBuf,
    pub(super) frames: u64,
    /// VMAF of each frame, if it was requested.
    pub(super) scores: Option<Vec<f64>>,
}

/// A stream whose flow has not run yet.
pub(super) struct PendingOutput {
    pub(super) packaged: Packaged,
    pub(super) clear_copy: PathBuf,
    pub(super) sent: Arc<AtomicU64>,
    pub(super) segmented: Arc<Mutex<Option<Segmented>>>,
    pub(super) scores: Option<Scores>,
}

impl PendingOutput {
    /// The output, once the flow has run.
    pub(super) fn finish(self) -> EncodedOutput {
        let segmented = self.segmented.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (segments, head) =
            segmented.map_or_else(Default::default, |made| (made.segments, made.head));
        let scores = self.scores.map(|scores| {
            std::mem::take(&mut *scores.lock().unwrap_or_else(PoisonError::into_inner))
        });
        EncodedOutput {
            packaged: Packaged { segments, head, ..self.packaged },
            clear_copy: self.clear_copy,
            frames: self.sent.load(Ordering::Relaxed),
            scores,
        }
    }
}
