use std::{ffi::CString, path::Path};

use ffapi_domain::media::VideoPlan;
use ffmpeg_the_third::{Rational, codec};

use crate::{
    ffi::{EncoderPass, HardwareFrames, HeaderPlacement},
    pipeline::filtering::OutputTiming,
};

/// The settings of a video encoder that are not in its plan.
pub(crate) struct EncoderSettings<'a> {
    pub(crate) time_base: Rational,
    pub(crate) aspect: Rational,
    /// Frames per second; `None` for a variable frame rate.
    pub(crate) rate: Option<Rational>,
    pub(crate) source: &'a codec::Parameters,
    pub(crate) headers: HeaderPlacement,
    pub(crate) pass: EncoderPass,
    /// The statistics of the first pass, for the second.
    pub(crate) statistics: Option<CString>,
    /// The folder for encoders that write their statistics to a file.
    pub(crate) scratch: &'a Path,
    /// 0 lets the encoder choose.
    pub(crate) threads: u16,
    /// True if keyframes are only where they are requested; decoding can start at each of them.
    pub(crate) forced_keyframes: bool,
    /// The hardware frame pool of the input; `None` if frames are in memory.
    pub(crate) frames: Option<HardwareFrames>,
}

impl<'a> EncoderSettings<'a> {
    /// The settings for a single pass over frames of a timing. `source` are the parameters of the
    /// video that is encoded again; `scratch` is the folder for the encoder's own files.
    pub(crate) fn new(
        timing: OutputTiming,
        video: &VideoPlan,
        source: &'a codec::Parameters,
        scratch: &'a Path,
    ) -> Self {
        let planned = Rational(
            i32::try_from(video.rate.num).unwrap_or(0),
            i32::try_from(video.rate.den).unwrap_or(1),
        );
        let rate = if timing.rate.numerator() > 0 { timing.rate } else { planned };
        Self {
            time_base: timing.time_base,
            aspect: timing.aspect,
            rate: (rate.numerator() > 0).then_some(rate),
            source,
            headers: HeaderPlacement::InPackets,
            pass: EncoderPass::Only,
            statistics: None,
            scratch,
            threads: 0,
            forced_keyframes: false,
            frames: None,
        }
    }
}
