//! Visual information fidelity (Sheikh and Bovik, 2006): what a distorted frame still shows of
//! its reference, at four scales. It is most of what VMAF costs, so it is done here, thirty-two
//! pixels at once, where the processor has AVX-512; where it has not, libvmaf does it.
//!
//! Every figure is libvmaf's to the last bit: the same whole numbers, rounded at the same places.
//! What is faster is how they are come by. Numbers of 16 bits are multiplied two by two; squares,
//! which are longer, in two halves; and the smaller frame is made of the pixels that it keeps.

#![expect(clippy::indexing_slicing, reason = "hot loops over sizes that stand in the types")]

mod filter;
mod horizontal;
mod lanes;
mod plane;
mod statistic;
mod vertical;

use ffmpeg_the_third::frame;

use self::{
    filter::{FOURTH, HALF, SMALLEST, WHOLE},
    horizontal::halve,
    plane::{Line, Plane},
    statistic::{Precision, VifStatistic},
};

/// A side shorter than this is left to libvmaf: filters would reach over both edges.
const SHORTEST: usize = 32;

/// Compares pictures of one size and depth.
pub(crate) struct Vif {
    /// Reference and distorted frame, each half as wide and high as the one before.
    scales: [[Plane; 2]; 4],
    statistic: VifStatistic,
    line: Line,
    depth: u32,
}

impl Vif {
    /// What libvmaf calls the figures of the four sizes.
    pub(crate) const FEATURES: [&'static std::ffi::CStr; 4] = [
        c"VMAF_integer_feature_vif_scale0_score",
        c"VMAF_integer_feature_vif_scale1_score",
        c"VMAF_integer_feature_vif_scale2_score",
        c"VMAF_integer_feature_vif_scale3_score",
    ];

    /// Nothing where this processor cannot, or for pictures that are too small.
    pub(crate) fn new(width: usize, height: usize, depth: u32) -> Option<Self> {
        if !lanes::are_there() || width.min(height) < SHORTEST {
            return None;
        }
        let pair = |scale: u32| {
            let plane = || Plane::new(width >> scale, height >> scale);
            [plane(), plane()]
        };
        let scales = [pair(0), pair(1), pair(2), pair(3)];
        Some(Self { scales, statistic: VifStatistic::new(width), line: Line::new(width), depth })
    }

    /// How much of the reference the distorted frame still shows, from the largest size to the smallest; 1
    /// is all of it.
    pub(crate) fn compare(
        &mut self,
        reference: &frame::Frame,
        distorted: &frame::Frame,
    ) -> [f64; 4] {
        let [[first, second], ..] = &mut self.scales;
        first.fill(reference, self.depth);
        second.fill(distorted, self.depth);
        // SAFETY: there is no `Vif` where the processor lacks what this function is made of.
        unsafe { self.look() }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
    fn look(&mut self) -> [f64; 4] {
        let Self { scales, statistic, line, depth } = self;
        let [whole, half, fourth, smallest] = scales;
        let precision = Precision::of_source(*depth);
        let score = if *depth > 8 {
            statistic.score::<_, true>(&WHOLE, whole, precision)
        } else {
            statistic.score::<_, false>(&WHOLE, whole, precision)
        };
        for (from, to) in whole.iter().zip(&mut *half) {
            halve(&HALF, from, to, precision.mean, line);
        }
        let deep = Precision::SCALED;
        let half_score = statistic.score::<_, true>(&HALF, half, deep);
        for (from, to) in half.iter().zip(&mut *fourth) {
            halve(&FOURTH, from, to, deep.mean, line);
        }
        let fourth_score = statistic.score::<_, true>(&FOURTH, fourth, deep);
        for (from, to) in fourth.iter().zip(&mut *smallest) {
            halve(&SMALLEST, from, to, deep.mean, line);
        }
        [score, half_score, fourth_score, statistic.score::<_, true>(&SMALLEST, smallest, deep)]
    }
}
