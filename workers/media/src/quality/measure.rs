//! VMAF, with its VIF features computed outside of libvmaf.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use ffapi_domain::media::Size;
use ffmpeg_the_third::frame;

use crate::{
    MediaError,
    ffi::{self, VifFeatures, Vmaf},
    vif::Vif,
};

/// Compares frames of one size and bit depth.
pub(crate) struct Measure {
    vmaf: Vmaf,
    vif: VifSource,
    compared: u32,
}

/// Where VIF (visual information fidelity) is computed.
enum VifSource {
    /// In libvmaf.
    Libvmaf,
    /// On the thread that compares.
    SameThread { vif: Box<Vif>, scores: Vec<VifScores> },
    /// On worker threads, which share one queue.
    Workers { pairs: SyncSender<Pair>, workers: Vec<JoinHandle<Vec<VifScores>>> },
}

/// A frame's number and its VIF score at each of four scales.
type VifScores = (u32, [f64; 4]);
/// A frame's number, its reference, and the distorted frame.
type Pair = (u32, frame::Frame, frame::Frame);

impl Measure {
    /// For frames of the size of `like`, of `depth` bits per sample; with `threads` additional
    /// threads.
    pub(crate) fn of(like: &frame::Frame, depth: u32, threads: u32) -> Result<Self, MediaError> {
        let (width, height, _) = ffi::frame_shape(like);
        let vif = VifSource::new(width, height, depth, threads);
        let features = match vif {
            VifSource::Libvmaf => VifFeatures::Computed,
            VifSource::SameThread { .. } | VifSource::Workers { .. } => VifFeatures::Imported,
        };
        let vmaf = Vmaf::new(Size { width, height }, depth, threads, features)?;
        Ok(Self { vmaf, vif, compared: 0 })
    }

    pub(crate) fn compare(
        &mut self,
        reference: &frame::Frame,
        distorted: &frame::Frame,
    ) -> Result<(), MediaError> {
        self.vmaf.compare(reference, distorted)?;
        let number = self.compared;
        match &mut self.vif {
            VifSource::Libvmaf => {}
            VifSource::SameThread { vif, scores } => {
                scores.push((number, vif.compare(reference, distorted)));
            }
            VifSource::Workers { pairs, .. } => {
                let pair = (number, share(reference)?, share(distorted)?);
                pairs.send(pair).map_err(|_| thread_ended())?;
            }
        }
        self.compared = number.saturating_add(1);
        Ok(())
    }

    /// The score of every pair.
    pub(crate) fn finish(mut self) -> Result<Vec<f64>, MediaError> {
        for (number, scores) in self.vif.finish()? {
            self.vmaf.import(number, scores)?;
        }
        self.vmaf.finish()
    }
}

impl VifSource {
    fn new(width: u32, height: u32, depth: u32, threads: u32) -> Self {
        let (Ok(width), Ok(height)) = (usize::try_from(width), usize::try_from(height)) else {
            return Self::Libvmaf;
        };
        let vif = || Vif::new(width, height, depth);
        if threads == 0 {
            let same_thread = |vif| Self::SameThread { vif: Box::new(vif), scores: vec![] };
            return vif().map_or(Self::Libvmaf, same_thread);
        }
        let (pairs, queue) = sync_channel(1);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads).map(|_| {
            let (mut vif, queue) = (vif()?, Arc::clone(&queue));
            Some(thread::spawn(move || compare_pairs(&mut vif, &queue)))
        });
        match workers.collect() {
            Some(workers) => Self::Workers { pairs, workers },
            None => Self::Libvmaf,
        }
    }

    fn finish(self) -> Result<Vec<VifScores>, MediaError> {
        match self {
            Self::Libvmaf => Ok(vec![]),
            Self::SameThread { scores, .. } => Ok(scores),
            Self::Workers { pairs, workers } => {
                drop(pairs);
                let scores =
                    workers.into_iter().map(|worker| worker.join().map_err(|_| thread_ended()));
                Ok(scores.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

/// Compares pairs from the queue until it is closed.
fn compare_pairs(vif: &mut Vif, pairs: &Mutex<Receiver<Pair>>) -> Vec<VifScores> {
    let mut scores = vec![];
    loop {
        let next = pairs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, reference, distorted)) = next else { return scores };
        scores.push((number, vif.compare(&reference, &distorted)));
    }
}

fn share(frame: &frame::Frame) -> Result<frame::Frame, MediaError> {
    ffi::share(frame).map_err(|error| MediaError::internal("a frame cannot be referenced", error))
}

fn thread_ended() -> MediaError {
    MediaError::internal("VMAF", "one of its threads has ended")
}
