//! VMAF, and what of it is done beside libvmaf.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use ffmpeg_the_third::frame;

use crate::{
    MediaError,
    ffi::{self, Vmaf},
    vif::Vif,
};

/// Compares pictures of one size and depth.
pub(super) struct Measure {
    vmaf: Vmaf,
    fidelity: Fidelity,
    compared: u32,
}

/// How much of each picture is told by its likeness.
enum Fidelity {
    /// libvmaf looks.
    Within,
    /// Whoever compares looks.
    Here { vif: Box<Vif>, found: Vec<Found> },
    /// Others look, who take what comes next.
    Beside { pairs: SyncSender<Pair>, lookers: Vec<JoinHandle<Vec<Found>>> },
}

/// A picture's number and its figures.
type Found = (u32, [f64; 4]);
/// A picture's number, reference and likeness.
type Pair = (u32, frame::Frame, frame::Frame);

impl Measure {
    /// For pictures like this one, of `depth` bits a sample; on `threads` beside the one that
    /// compares, if any.
    pub(super) fn of(like: &frame::Frame, depth: u32, threads: u32) -> Result<Self, MediaError> {
        let (width, height, _) = ffi::picture_shape(like);
        let fidelity = Fidelity::of((width, height), depth, threads);
        let own = !matches!(fidelity, Fidelity::Within);
        let vmaf = Vmaf::new((width, height), depth, threads, own)?;
        Ok(Self { vmaf, fidelity, compared: 0 })
    }

    pub(super) fn compare(
        &mut self,
        reference: &frame::Frame,
        film: &frame::Frame,
    ) -> Result<(), MediaError> {
        self.vmaf.compare(reference, film)?;
        let number = self.compared;
        match &mut self.fidelity {
            Fidelity::Within => {}
            Fidelity::Here { vif, found } => found.push((number, vif.compare(reference, film))),
            Fidelity::Beside { pairs, .. } => {
                let pair = (number, share(reference)?, share(film)?);
                pairs.send(pair).map_err(|_| gone())?;
            }
        }
        self.compared = number.saturating_add(1);
        Ok(())
    }

    /// The score of every pair.
    pub(super) fn finish(mut self) -> Result<Vec<f64>, MediaError> {
        for (number, fidelity) in self.fidelity.finish()? {
            self.vmaf.import(number, fidelity)?;
        }
        self.vmaf.finish()
    }
}

impl Fidelity {
    fn of((width, height): (u32, u32), depth: u32, threads: u32) -> Self {
        let (Ok(width), Ok(height)) = (usize::try_from(width), usize::try_from(height)) else {
            return Self::Within;
        };
        let vif = || Vif::new(width, height, depth);
        if threads == 0 {
            let here = |vif| Self::Here { vif: Box::new(vif), found: vec![] };
            return vif().map_or(Self::Within, here);
        }
        let (pairs, waiting) = sync_channel(1);
        let waiting = Arc::new(Mutex::new(waiting));
        let lookers = (0..threads).map(|_| {
            let (mut vif, waiting) = (vif()?, Arc::clone(&waiting));
            Some(thread::spawn(move || look(&mut vif, &waiting)))
        });
        match lookers.collect() {
            Some(lookers) => Self::Beside { pairs, lookers },
            None => Self::Within,
        }
    }

    fn finish(self) -> Result<Vec<Found>, MediaError> {
        match self {
            Self::Within => Ok(vec![]),
            Self::Here { found, .. } => Ok(found),
            Self::Beside { pairs, lookers } => {
                drop(pairs);
                let found = lookers.into_iter().map(|looker| looker.join().map_err(|_| gone()));
                Ok(found.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

/// Takes one pair after the other, until no more come.
fn look(vif: &mut Vif, pairs: &Mutex<Receiver<Pair>>) -> Vec<Found> {
    let mut found = vec![];
    loop {
        let next = pairs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, reference, film)) = next else { return found };
        found.push((number, vif.compare(&reference, &film)));
    }
}

fn share(frame: &frame::Frame) -> Result<frame::Frame, MediaError> {
    ffi::share(frame).map_err(|error| MediaError::internal("a picture cannot be shared", error))
}

fn gone() -> MediaError {
    MediaError::internal("VMAF", "one of its threads is gone")
}
