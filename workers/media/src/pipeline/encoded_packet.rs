use ffmpeg_the_third::{Packet, Rational};

/// A packet on its way to a muxer.
pub(crate) struct EncodedPacket {
    pub(crate) packet: Packet,
    /// Index of the stream in the output.
    pub(crate) stream: usize,
    pub(crate) time_base: Rational,
}
