//! The only module that calls C: what the safe bindings lack. Every `unsafe` block states why it is
//! sound.

mod colors;
#[cfg(test)]
mod components;
mod device;
mod errors;
mod frame;
mod input;
mod io;
mod log;
mod memory;
mod process;
mod side_data;
mod strings;
mod va;
mod vmaf;

use std::ffi::{CStr, CString, c_int};

use self::strings::owned_string;
use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, codec, ffi, filter, format};

use crate::decoders::DECODERS;

#[cfg(test)]
pub(crate) use self::process::{control, error_of_thread_with_own_descriptors};
pub(crate) use self::{
    colors::FrameColors,
    device::{HardwareDevice, HardwareFrames},
    errors::is_eagain,
    frame::{
        assume_matrix, audio_shape, bits_per_pixel, empty_frame, first_plane, frame_shape,
        frame_type, lasts, rescale_duration, samples, set_frame_type, share, silence,
    },
    input::{Demuxer, Input},
    log::capture_log,
    memory::MemoryOutput,
    process::{close_inherited, lower_priority},
    side_data::copy_side_data,
    strings::{ColorNames, color_names, engine, sample_name, tags, version},
    va::query_driver,
    vmaf::Vmaf,
};

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

/// Sets the options of a decoder that the safe bindings lack; `threads` of 0 lets it choose.
///
/// # Errors
/// When there is no memory for the list of allowed decoders.
pub(crate) fn prepare_decoder(
    context: &mut codec::Context,
    time_base: Rational,
    threads: u16,
) -> Result<(), ffmpeg::Error> {
    const MAX_PIXELS: i64 = 8192 * 8192;
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.pkt_timebase = time_base.into();
    raw.max_pixels = MAX_PIXELS;
    raw.thread_type = c_int::try_from(ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE).unwrap_or(0);
    raw.thread_count = c_int::from(threads);
    let decoders = CString::new(DECODERS).unwrap_or_default();
    let raw: *mut ffi::AVCodecContext = raw;
    // SAFETY: a context starts with its class, which has this option; the text is copied.
    let outcome =
        unsafe { ffi::av_opt_set(raw.cast(), c"codec_whitelist".as_ptr(), decoders.as_ptr(), 0) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// The color properties of an encoder's frames.
pub(crate) enum Colors<'a> {
    /// Those of the source.
    As(&'a codec::Parameters),
    /// BT.709, as in high definition television.
    Bt709,
    /// Full range, as in JPEG.
    Jpeg,
}

/// The pass of an encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderPass {
    Only,
    First,
    Second,
}

/// Sets the options of an encoder that the safe bindings lack; `global_header` puts its headers
/// into the extradata, and `threads` of 0 lets it choose.
pub(crate) fn prepare_encoder(
    context: &mut codec::Context,
    colors: Option<&Colors<'_>>,
    global_header: bool,
    threads: u16,
    pass: EncoderPass,
) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    match colors {
        Some(Colors::As(source)) => {
            // SAFETY: parameters are always allocated; only plain fields are read.
            let source = unsafe { &*source.as_ptr() };
            raw.color_range = source.color_range;
            raw.color_primaries = source.color_primaries;
            raw.color_trc = source.color_trc;
            raw.colorspace = source.color_space;
            // RGB and full range are converted to these before encoding.
            let format = format::Pixel::from(ffi::AVPixelFormat(source.format));
            if pixel_traits(format).is_some_and(|traits| traits.rgb) {
                raw.colorspace = ffi::AVColorSpace::BT709;
                raw.color_range = ffi::AVColorRange::MPEG;
            } else if source.color_range == ffi::AVColorRange::JPEG {
                raw.color_range = ffi::AVColorRange::MPEG;
            }
            raw.chroma_sample_location = source.chroma_location;
        }
        Some(Colors::Bt709) => {
            raw.color_range = ffi::AVColorRange::MPEG;
            raw.color_primaries = ffi::AVColorPrimaries::BT709;
            raw.color_trc = ffi::AVColorTransferCharacteristic::BT709;
            raw.colorspace = ffi::AVColorSpace::BT709;
        }
        Some(Colors::Jpeg) => raw.color_range = ffi::AVColorRange::JPEG,
        None => {}
    }
    let flag = match pass {
        EncoderPass::Only => 0,
        EncoderPass::First => ffi::AV_CODEC_FLAG_PASS1,
        EncoderPass::Second => ffi::AV_CODEC_FLAG_PASS2,
    };
    raw.flags |= c_int::try_from(flag).unwrap_or(0);
    if global_header {
        raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_GLOBAL_HEADER).unwrap_or(0);
    }
    raw.thread_count = c_int::from(threads);
}

/// The properties of a pixel format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelTraits {
    /// Bits per component.
    pub(crate) depth: u8,
    pub(crate) components: u8,
    /// Binary logarithms of the horizontal and vertical chroma subsampling.
    pub(crate) chroma_shifts: (u8, u8),
    pub(crate) alpha: bool,
    /// True for RGB, or a palette of it.
    pub(crate) rgb: bool,
}

/// The properties of a pixel format; none for an unknown one.
pub(crate) fn pixel_traits(format: format::Pixel) -> Option<PixelTraits> {
    // SAFETY: returns a static description, or null.
    let description = unsafe { ffi::av_pix_fmt_desc_get(format.into()) };
    // SAFETY: a static description, if any.
    let description = unsafe { description.as_ref() }?;
    let is = |flag: u32| description.flags & u64::from(flag) != 0;
    Some(PixelTraits {
        depth: description.comp.first().map_or(8, |c| u8::try_from(c.depth).unwrap_or(8)),
        components: description.nb_components,
        chroma_shifts: (description.log2_chroma_w, description.log2_chroma_h),
        alpha: is(ffi::AV_PIX_FMT_FLAG_ALPHA as u32),
        rgb: is(ffi::AV_PIX_FMT_FLAG_RGB as u32) || is(ffi::AV_PIX_FMT_FLAG_PAL as u32),
    })
}

/// The pixel format that a stream declares.
pub(crate) fn pixel_format(parameters: &codec::ParametersRef<'_>) -> format::Pixel {
    // SAFETY: parameters are always allocated; a plain field is read.
    let number = unsafe { (*parameters.as_ptr()).format };
    format::Pixel::from(ffi::AVPixelFormat(number))
}

/// The sample format that a stream declares.
pub(crate) fn sample_format(parameters: &codec::ParametersRef<'_>) -> format::Sample {
    // SAFETY: parameters are always allocated; a plain field is read.
    let number = unsafe { (*parameters.as_ptr()).format };
    format::Sample::from(ffi::AVSampleFormat(number))
}

/// True if a stream declares that its frames are interlaced.
pub(crate) fn is_interlaced(parameters: &codec::ParametersRef<'_>) -> bool {
    // SAFETY: parameters are always allocated; a plain field is read.
    let order = unsafe { (*parameters.as_ptr()).field_order };
    order != ffi::AVFieldOrder::UNKNOWN && order != ffi::AVFieldOrder::PROGRESSIVE
}

/// True if a stream declares that the bottom field is displayed first. For interleaved fields, the
/// first letter of FFmpeg's constant is the field displayed first, whatever its header documents.
pub(crate) fn is_bottom_first(parameters: &codec::ParametersRef<'_>) -> bool {
    // SAFETY: parameters are always allocated; a plain field is read.
    let order = unsafe { (*parameters.as_ptr()).field_order };
    order == ffi::AVFieldOrder::BB || order == ffi::AVFieldOrder::BT
}

/// Makes an encoder encode interlaced frames with the given field order.
pub(crate) fn set_field_order(context: &mut codec::Context, bottom_first: bool) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.field_order = if bottom_first { ffi::AVFieldOrder::BB } else { ffi::AVFieldOrder::TT };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_INTERLACED_DCT).unwrap_or(0);
}

/// FFmpeg's name of a stream's profile; none if it is unknown.
pub(crate) fn profile_name(parameters: &codec::ParametersRef<'_>) -> Option<String> {
    // SAFETY: parameters are always allocated; only plain fields are read.
    let raw = unsafe { &*parameters.as_ptr() };
    let (id, profile) = (raw.codec_id, raw.profile);
    // SAFETY: returns a static string, or null.
    owned_string(unsafe { ffi::avcodec_profile_name(id, profile) })
}

/// FFmpeg's names of a stream's dispositions.
pub(crate) fn dispositions(stream: &ffmpeg::Stream<'_>) -> Vec<String> {
    // SAFETY: the stream belongs to an open context that is borrowed with it.
    let stream = unsafe { stream.as_ptr() };
    // SAFETY: reads a plain field of it.
    let set = unsafe { (*stream).disposition };
    let bits = (0..31).map(|bit| set & (1 << bit)).filter(|bit| *bit != 0);
    // SAFETY: returns a static string, or null.
    bits.filter_map(|bit| owned_string(unsafe { ffi::av_disposition_to_string(bit) })).collect()
}

/// The time base of a filter sink's frames.
pub(crate) fn sink_time_base(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_time_base(sink) }.into()
}

/// The pixel aspect ratio of a filter sink's frames.
pub(crate) fn sink_pixel_aspect(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_sample_aspect_ratio(sink) }.into()
}

/// Width, height and pixel format of a filter sink's frames.
pub(crate) fn sink_video_format(sink: &filter::Context<'_>) -> (u32, u32, format::Pixel) {
    // SAFETY: a configured sink of a live graph; the results are values.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    let width = unsafe { ffi::av_buffersink_get_w(sink) };
    // SAFETY: only reads it.
    let height = unsafe { ffi::av_buffersink_get_h(sink) };
    // SAFETY: only reads it.
    let format = unsafe { ffi::av_buffersink_get_format(sink) };
    let side = |side: c_int| u32::try_from(side).unwrap_or(0);
    (side(width), side(height), format::Pixel::from(ffi::AVPixelFormat(format)))
}

/// The frame rate of a filter sink; 0 if it is variable.
pub(crate) fn sink_frame_rate(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a live graph; the result is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_frame_rate(sink) }.into()
}

/// Limits a graph to one thread, since the pipeline's stages already run in parallel.
pub(crate) fn limit_to_one_thread(graph: &mut filter::Graph) {
    // SAFETY: an allocated, unconfigured graph that we borrow mutably; a plain field is written.
    let graph = unsafe { graph.as_mut_ptr() };
    // SAFETY: writes a plain field of it.
    unsafe { (*graph).nb_threads = 1 };
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

/// A deep copy of a stream's parameters.
pub(crate) fn copy_parameters(
    stream: &ffmpeg::Stream<'_>,
) -> Result<codec::Parameters, ffmpeg::Error> {
    let mut copy = codec::Parameters::new();
    // SAFETY: both are allocated; FFmpeg copies deeply.
    let outcome =
        unsafe { ffi::avcodec_parameters_copy(copy.as_mut_ptr(), stream.parameters().as_ptr()) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(copy) }
}

/// Limits an encoder's bit rate to `max` bits per second, with a buffer of two seconds.
pub(crate) fn set_max_rate(context: &mut codec::Context, max: u64) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.rc_max_rate = i64::try_from(max).unwrap_or(i64::MAX);
    raw.rc_buffer_size = c_int::try_from(max.saturating_mul(2)).unwrap_or(c_int::MAX);
}

/// Sets a constant quality, for encoders that take a number from 1 (best) to 31.
pub(crate) fn set_fixed_quality(context: &mut codec::Context, quality: u16) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_QSCALE).unwrap_or(0);
    raw.global_quality =
        c_int::from(quality).saturating_mul(c_int::try_from(ffi::FF_QP2LAMBDA).unwrap_or(118));
}

/// The statistics of an encoder's first pass, once it is flushed.
pub(crate) fn pass_statistics(encoder: &codec::Context) -> Option<CString> {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: reads a plain field of it.
    let statistics = unsafe { (*raw).stats_out };
    if statistics.is_null() {
        return None;
    }
    // SAFETY: FFmpeg ends it with NUL, and it lives as long as the encoder.
    Some(unsafe { CStr::from_ptr(statistics) }.to_owned())
}

/// Passes the statistics of the first pass to the second.
pub(crate) fn set_pass_statistics(context: &mut codec::Context, statistics: CString) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // Never freed: FFmpeg reads it for as long as the encoder lives, and the process is short-lived.
    // SAFETY: an allocated, unopened context; FFmpeg only reads the text.
    unsafe { (*raw).stats_in = statistics.into_raw() };
}

/// Sets the parameters of a subtitle stream whose packets are built here.
pub(crate) fn set_subtitle_parameters(
    parameters: &mut codec::ParametersMut<'_>,
    id: codec::Id,
    header: &[u8],
) {
    // SAFETY: zeroed as FFmpeg wants it, with its padding; the parameters take it over.
    let copy = unsafe { ffi::av_mallocz(header.len().saturating_add(PADDING)) }.cast::<u8>();
    if !copy.is_null() {
        // SAFETY: the copy is at least as long as the header, and they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(header.as_ptr(), copy, header.len()) };
    }
    // SAFETY: parameters of a stream that we borrow mutably.
    let raw = unsafe { &mut *parameters.as_mut_ptr() };
    raw.codec_type = ffi::AVMediaType::SUBTITLE;
    raw.codec_id = id.into();
    raw.extradata = copy;
    raw.extradata_size =
        if copy.is_null() { 0 } else { c_int::try_from(header.len()).unwrap_or(0) };
}

const PADDING: usize = 64;

/// Sets a stream's disposition: whether players select it by default.
pub(crate) fn set_disposition(stream: &mut format::stream::StreamMut<'_>, default: bool) {
    // SAFETY: a stream of an open output that we borrow mutably.
    let stream = unsafe { stream.as_mut_ptr() };
    let flag = if default { ffi::AV_DISPOSITION_DEFAULT } else { 0 };
    // SAFETY: writes a plain field of it.
    unsafe { (*stream).disposition = c_int::try_from(flag).unwrap_or(0) };
}

/// Clears the codec tag, which is specific to a container, so that the muxer chooses its own.
pub(crate) fn clear_codec_tag(parameters: &mut codec::ParametersMut<'_>) {
    // SAFETY: parameters of a stream that we borrow mutably; a plain field is written.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = 0 };
}

/// The ASS header of a subtitle decoder, with the styles of what it decodes.
pub(crate) fn subtitle_header(context: &codec::Context) -> Vec<u8> {
    // SAFETY: an open decoder that we borrow.
    let raw = unsafe { context.as_ptr() };
    // SAFETY: an open decoder; only plain fields are read.
    let raw = unsafe { &*raw };
    let (header, size) = (raw.subtitle_header, raw.subtitle_header_size);
    let Ok(size) = usize::try_from(size) else { return vec![] };
    if header.is_null() {
        return vec![];
    }
    // SAFETY: FFmpeg keeps that many bytes there as long as the decoder lives.
    unsafe { std::slice::from_raw_parts(header, size) }.to_vec()
}

/// Sets a stream's codec tag, the container's code for its codec.
pub(crate) fn set_codec_tag(parameters: &mut codec::ParametersMut<'_>, tag: [u8; 4]) {
    // SAFETY: parameters of a stream that we borrow mutably; a plain field is written.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = u32::from_le_bytes(tag) };
}

/// Sets the number of significant bits of a sample, for sample formats that have more.
pub(crate) fn set_significant_bits(context: &mut codec::Context, bits: u8) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).bits_per_raw_sample = c_int::from(bits) };
}

/// The samples per frame that an audio encoder requires; 0 if it takes any number.
pub(crate) fn frame_size(encoder: &codec::Context) -> u32 {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: reads a plain field of it.
    u32::try_from(unsafe { (*raw).frame_size }).unwrap_or(0)
}

/// The extradata of an encoder.
pub(crate) fn header(encoder: &codec::Context) -> Vec<u8> {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: only plain fields are read.
    let raw = unsafe { &*raw };
    let (data, Ok(size)) = (raw.extradata, usize::try_from(raw.extradata_size)) else {
        return vec![];
    };
    if data.is_null() {
        return vec![];
    }
    // SAFETY: FFmpeg keeps that many bytes there as long as the encoder lives.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}

/// Makes a decoder skip the loop filter, to verify faster: errors show without it as well.
pub(crate) fn skip_loop_filter(context: &mut codec::Context) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).skip_loop_filter = ffi::AVDiscard::ALL };
}

/// The bytes that a container stores beside the packets of a stream: codec headers, or an attached
/// file.
pub(crate) fn extra_data(parameters: &codec::ParametersRef<'_>) -> Vec<u8> {
    // SAFETY: parameters are always allocated; only plain fields are read.
    let raw = unsafe { &*parameters.as_ptr() };
    let Ok(size) = usize::try_from(raw.extradata_size) else { return vec![] };
    if raw.extradata.is_null() {
        return vec![];
    }
    // SAFETY: it points to `size` bytes that live as long as the parameters, which we borrow.
    unsafe { std::slice::from_raw_parts(raw.extradata, size) }.to_vec()
}
