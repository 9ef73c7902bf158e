//! Visual information fidelity (Sheikh and Bovik, 2006): how much of the information in a
//! reference the distorted frame retains, at four scales. It takes most of VMAF's time, so it is
//! computed here with AVX-512, 32 pixels at once; on processors without it, libvmaf computes it.
//!
//! Every score equals libvmaf's to the last bit: the same integers, rounded at the same steps. It
//! is faster because 16-bit samples are multiplied in pairs, squares, which are longer, in two
//! halves, and because subsampling filters only the pixels that it keeps.

#![expect(clippy::indexing_slicing, reason = "hot loops over sizes that are part of the types")]

mod depth;
mod filter;
mod horizontal;
mod lanes;
mod plane;
mod statistic;
mod vertical;

use ffmpeg_the_third::frame;

use self::{
    depth::{EightBits, HighDepth, VerticalShift},
    filter::{SCALE0, SCALE1, SCALE2, SCALE3},
    horizontal::subsample,
    plane::{Line, Plane},
    statistic::VifStatistic,
};

/// The shortest side that is computed here: in smaller frames, a filter would cross both edges.
const MIN_SIDE: usize = 32;

/// Compares frames of one size and bit depth.
pub(crate) struct Vif {
    /// Reference and distorted frame by scale, each half as wide and high as the previous one.
    scales: [[Plane; 2]; 4],
    statistic: VifStatistic,
    line: Line,
    depth: u32,
}

impl Vif {
    /// None if the processor lacks the instructions, or the frames are too small.
    pub(crate) fn new(width: usize, height: usize, depth: u32) -> Option<Self> {
        if !lanes::is_supported() || width.min(height) < MIN_SIDE {
            return None;
        }
        let pair = |scale: u32| {
            let plane = || Plane::new(width >> scale, height >> scale);
            [plane(), plane()]
        };
        let scales = [pair(0), pair(1), pair(2), pair(3)];
        Some(Self { scales, statistic: VifStatistic::new(width), line: Line::new(width), depth })
    }

    /// The VIF scores of a pair of frames, from the largest scale to the smallest; 1 means that all
    /// of the reference's information is retained.
    pub(crate) fn compare(
        &mut self,
        reference: &frame::Frame,
        distorted: &frame::Frame,
    ) -> [f64; 4] {
        let [[reference_plane, distorted_plane], ..] = &mut self.scales;
        reference_plane.fill(reference, self.depth);
        distorted_plane.fill(distorted, self.depth);
        // SAFETY: a `Vif` only exists if the processor has the instructions of this function.
        unsafe { self.scores() }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
    fn scores(&mut self) -> [f64; 4] {
        let Self { scales, statistic, line, depth } = self;
        let [scale0, scale1, scale2, scale3] = scales;
        let shift = VerticalShift::for_source(*depth);
        let score0 = if *depth > 8 {
            statistic.score::<HighDepth, _>(&SCALE0, scale0, shift)
        } else {
            statistic.score::<EightBits, _>(&SCALE0, scale0, shift)
        };
        for (from, to) in scale0.iter().zip(&mut *scale1) {
            subsample(&SCALE1, from, to, shift.mean, line);
        }
        let shift = VerticalShift::SUBSAMPLED;
        let score1 = statistic.score::<HighDepth, _>(&SCALE1, scale1, shift);
        for (from, to) in scale1.iter().zip(&mut *scale2) {
            subsample(&SCALE2, from, to, shift.mean, line);
        }
        let score2 = statistic.score::<HighDepth, _>(&SCALE2, scale2, shift);
        for (from, to) in scale2.iter().zip(&mut *scale3) {
            subsample(&SCALE3, from, to, shift.mean, line);
        }
        [score0, score1, score2, statistic.score::<HighDepth, _>(&SCALE3, scale3, shift)]
    }
}
