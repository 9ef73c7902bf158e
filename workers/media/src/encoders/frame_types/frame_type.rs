use ffmpeg_the_third::picture;

/// The type that an encoder chose for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameType {
    /// Its presentation time, in the time base of the encoder.
    pub(super) at: i64,
    pub(super) kind: picture::Type,
}

/// Whether a track has more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Further frames will be pushed: do not wait for the type of the first one.
    Continues,
    /// All frames were pushed: wait for their types.
    Ended,
}
