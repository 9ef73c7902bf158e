use ffmpeg_the_third::{Packet, Rational};

/// A packet on its way to a muxer.
pub(super) struct EncodedPacket {
    pub(super) packet: Packet,
    /// Index of the stream in the output.
    pub(super) stream: usize,
    pub(super) time_base: Rational,
}
