/// What the engine encoded, to compare the output with.
pub(crate) struct Expected {
    /// Frames sent to the encoder.
    pub(crate) frames: u64,
    /// True if the file must have exactly that number of frames.
    pub(crate) counted: bool,
    /// What the packets that were written last, in microseconds.
    pub(crate) duration: u64,
}

/// What the segments of a rendition must contain.
pub(crate) struct ExpectedRendition {
    /// Frames sent to the encoder.
    pub(crate) frames: u64,
    /// Total duration of the segments, in microseconds.
    pub(crate) duration: u64,
    /// Width and height in pixels; `None` for audio.
    pub(crate) size: Option<(u32, u32)>,
}
