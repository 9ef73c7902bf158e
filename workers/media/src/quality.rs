//! How good an encoded video is, and which settings reach a quality.

pub(crate) mod crf_sampling;
pub(crate) mod measure;
pub(crate) mod meter;
pub(crate) mod target;
pub(crate) mod vmaf;
