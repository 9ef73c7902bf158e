use std::{ffi::CString, path::Path};

use ffapi_domain::media::VideoPlan;
use ffmpeg_the_third::{Rational, codec};

use crate::{
    engine::filtering::OutputTiming,
    ffi::{EncoderPass, HardwareFrames},
};

/// The settings of a video encoder that are not in its plan.
pub(in crate::engine) struct EncoderSettings<'a> {
    pub(in crate::engine) time_base: Rational,
    pub(in crate::engine) aspect: Rational,
    /// Frames per second; `None` for a variable frame rate.
    pub(in crate::engine) rate: Option<Rational>,
    pub(in crate::engine) source: &'a codec::Parameters,
    pub(in crate::engine) global_header: bool,
    pub(in crate::engine) pass: EncoderPass,
    /// The statistics of the first pass, for the second.
    pub(in crate::engine) statistics: Option<CString>,
    /// The folder for encoders that write their statistics to a file.
    pub(in crate::engine) scratch: &'a Path,
    /// 0 lets the encoder choose.
    pub(in crate::engine) threads: u16,
    /// True if keyframes are only where they are requested; decoding can start at each of them.
    pub(in crate::engine) forced_keyframes: bool,
    /// The hardware frame pool of the input; `None` if frames are in memory.
    pub(in crate::engine) frames: Option<HardwareFrames>,
}

impl<'a> EncoderSettings<'a> {
    /// The settings for a single pass over frames of a timing. `source` are the parameters of the
    /// video that is encoded again; `scratch` is the folder for the encoder's own files.
    pub(in crate::engine) fn new(
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
            global_header: false,
            pass: EncoderPass::Only,
            statistics: None,
            scratch,
            threads: 0,
            forced_keyframes: false,
            frames: None,
        }
    }
}
