//! What containers store about a stream beside its packets, such as its rotation. FFmpeg 6.1 moved it
//! from the stream to the stream's parameters.

use ffmpeg_the_third::{self as ffmpeg, ffi, format};
use nix::libc;

/// The entries of a stream.
fn entries<'a>(stream: &'a ffmpeg::Stream<'_>) -> &'a [ffi::AVPacketSideData] {
    // SAFETY: a stream of an open input that is borrowed.
    let stream = unsafe { stream.as_ptr() };
    // SAFETY: as above; only plain fields are read.
    let stream = unsafe { &*stream };
    #[cfg(not(ffmpeg_6_1))]
    let (data, count) = (stream.side_data, stream.nb_side_data);
    #[cfg(ffmpeg_6_1)]
    let (data, count) = {
        // SAFETY: every stream has parameters, which live as long as it.
        let parameters = unsafe { &*stream.codecpar };
        (parameters.coded_side_data, parameters.nb_coded_side_data)
    };
    match usize::try_from(count) {
        // SAFETY: FFmpeg keeps that many of them there as long as the stream is not changed.
        Ok(count) if !data.is_null() => unsafe { std::slice::from_raw_parts(data, count) },
        _ => &[],
    }
}

/// A copy of the entry of one kind; none if the stream has none.
pub(super) fn of_kind(
    stream: &ffmpeg::Stream<'_>,
    kind: ffi::AVPacketSideDataType,
) -> Option<Vec<u8>> {
    let entry = entries(stream).iter().find(|entry| entry.type_ == kind)?;
    if entry.data.is_null() {
        return None;
    }
    // SAFETY: it points to `size` bytes that live as long as the stream, which is borrowed.
    Some(unsafe { std::slice::from_raw_parts(entry.data, entry.size) }.to_vec())
}

/// Copies all entries to a stream of an output that was given copies of the parameters.
#[cfg(not(ffmpeg_6_1))]
pub(crate) fn copy_side_data(
    to: &mut format::stream::StreamMut<'_>,
    from: &ffmpeg::Stream<'_>,
) -> Result<(), ffmpeg::Error> {
    // SAFETY: a stream of an open output that we borrow mutably.
    let to = unsafe { to.as_mut_ptr() };
    for entry in entries(from) {
        // SAFETY: allocates `size` bytes that belong to the output's stream.
        let copy = unsafe { ffi::av_stream_new_side_data(to, entry.type_, entry.size) };
        if copy.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        // SAFETY: both are `size` bytes long, and one is new.
        unsafe { std::ptr::copy_nonoverlapping(entry.data, copy, entry.size) };
    }
    Ok(())
}

/// Checks that all entries were copied with the parameters.
#[cfg(ffmpeg_6_1)]
pub(crate) fn copy_side_data(
    to: &mut format::stream::StreamMut<'_>,
    from: &ffmpeg::Stream<'_>,
) -> Result<(), ffmpeg::Error> {
    // SAFETY: a stream of an open output that we borrow mutably.
    let to = unsafe { to.as_mut_ptr() };
    // SAFETY: a plain field of it is read.
    let parameters = unsafe { (*to).codecpar };
    // SAFETY: every stream has parameters, which live as long as it; a plain field is read.
    let copied = unsafe { (*parameters).nb_coded_side_data };
    if usize::try_from(copied) == Ok(entries(from).len()) {
        Ok(())
    } else {
        Err(ffmpeg::Error::Other { errno: libc::ENOMEM })
    }
}
