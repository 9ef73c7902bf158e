//! Packets: their flags, and how they are written.

use ffmpeg_the_third::{self as ffmpeg, Packet, codec, ffi, format};

/// True for a packet that the demuxer knows to be incomplete.
pub(crate) fn is_incomplete(packet: &Packet) -> bool {
    packet.flags().contains(codec::packet::Flags::CORRUPT)
}

/// True for a packet whose content is encrypted, and cannot be decoded without a key.
pub(crate) fn is_encrypted(packet: &Packet) -> bool {
    packet.side_data().any(|data| data.kind() == codec::packet::side_data::Type::EncryptionInfo)
}

/// True if a packet must be decoded but its frame, or samples of it, not presented, since an edit list
/// excludes them or they are padding.
pub(crate) fn is_discarded(packet: &Packet) -> bool {
    let is_padding = |kind| kind == codec::packet::side_data::Type::SkipSamples;
    if packet.side_data().any(|data| is_padding(data.kind())) {
        return true;
    }
    let packet = ffmpeg::packet::Ref::as_ptr(packet);
    // SAFETY: the packet is borrowed for as long as the reference is used.
    let packet = unsafe { &*packet };
    packet.flags & ffi::AV_PKT_FLAG_DISCARD != 0
}

/// Writes a packet, including one that has only side data.
pub(crate) fn write_packet(
    output: &mut format::context::Output,
    packet: &mut Packet,
) -> Result<(), ffmpeg::Error> {
    use ffmpeg::packet::Mut;
    // SAFETY: the pointer is only used while we borrow the output mutably.
    let output = unsafe { output.as_mut_ptr() };
    // SAFETY: the output's header is written; the packet is ours, and FFmpeg takes its data over.
    let outcome = unsafe { ffi::av_interleaved_write_frame(output, packet.as_mut_ptr()) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// Closes the file of a finished output; a full disk is reported here at the latest.
pub(crate) fn close_file(output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
    // SAFETY: an open output that we borrow mutably; the pointer is only passed on.
    let output = unsafe { output.as_mut_ptr() };
    // SAFETY: takes the address of a field of it.
    let slot = unsafe { &raw mut (*output).pb };
    // SAFETY: closes the file and clears the pointer, so that dropping the output closes nothing.
    let outcome = unsafe { ffi::avio_closep(slot) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}
