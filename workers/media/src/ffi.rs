//! The one place that talks to C: what safe bindings lack. Every block says why it is sound.

mod device;
mod frame;
mod input;
mod log;
mod memory;
mod process;
mod strings;
mod va;
mod vmaf;

use std::ffi::{CStr, CString, c_int};

use self::strings::named;
use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, codec, ffi, filter, format};
use nix::libc;

use crate::decoders::DECODERS;

#[cfg(test)]
pub(crate) use self::process::control;
pub(crate) use self::{
    device::{HardwareDevice, HardwareFrames},
    frame::{
        bits_per_pixel, empty_frame, first_plane, lasts, picture_kind, picture_shape,
        rescale_length, samples, set_picture_kind, share, silence, sound_shape,
    },
    input::Input,
    log::capture_log,
    memory::MemoryOutput,
    process::{be_nice, close_inherited},
    strings::{ColorWords, color_words, sample_name, tags, version},
    va::ask_driver,
    vmaf::Vmaf,
};

/// True of a packet that is decoded and not shown: what an edit list leaves out, up to the next part that
/// is kept.
pub(crate) fn is_discarded(packet: &Packet) -> bool {
    let packet = ffmpeg::packet::Ref::as_ptr(packet);
    // SAFETY: it is borrowed as long as it is looked at.
    let packet = unsafe { &*packet };
    packet.flags & ffi::AV_PKT_FLAG_DISCARD != 0
}

/// What a decoder needs that the safe bindings do not pass on.
///
/// # Errors
/// When there is no memory for the list of decoders that may be opened.
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
    // SAFETY: a context begins with its class, which has this option; the text is copied.
    let outcome =
        unsafe { ffi::av_opt_set(raw.cast(), c"codec_whitelist".as_ptr(), decoders.as_ptr(), 0) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// What a picture's numbers mean.
pub(crate) enum Colors<'a> {
    /// What the source says.
    As(&'a codec::Parameters),
    /// High definition television.
    Bt709,
    /// JPEG's: the whole range.
    Jpeg,
}

/// Which pass over a film an encoder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderPass {
    Only,
    First,
    Second,
}

/// What an encoder needs that the safe bindings do not pass on.
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
            // Whatever else it was is brought to these before it is encoded.
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

/// How a pixel format stores a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelTraits {
    pub(crate) depth: u8,
    pub(crate) components: u8,
    pub(crate) halvings: (u8, u8),
    pub(crate) alpha: bool,
    /// Red, green and blue, or a palette of them.
    pub(crate) rgb: bool,
}

/// How a pixel format stores a picture; none for an unknown one.
pub(crate) fn pixel_traits(format: format::Pixel) -> Option<PixelTraits> {
    // SAFETY: answers a static description, or null.
    let description = unsafe { ffi::av_pix_fmt_desc_get(format.into()) };
    // SAFETY: a static description, if any.
    let description = unsafe { description.as_ref() }?;
    let is = |flag: u32| description.flags & u64::from(flag) != 0;
    Some(PixelTraits {
        depth: description.comp.first().map_or(8, |c| u8::try_from(c.depth).unwrap_or(8)),
        components: description.nb_components,
        halvings: (description.log2_chroma_w, description.log2_chroma_h),
        alpha: is(ffi::AV_PIX_FMT_FLAG_ALPHA as u32),
        rgb: is(ffi::AV_PIX_FMT_FLAG_RGB as u32) || is(ffi::AV_PIX_FMT_FLAG_PAL as u32),
    })
}

/// The pixel or sample format number that a stream declares; negative if it does not.
pub(crate) fn declared_format(parameters: &codec::Parameters) -> c_int {
    // SAFETY: parameters are always allocated; a plain field is read.
    unsafe { (*parameters.as_ptr()).format }
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

/// True if a stream says that its pictures are two fields each.
pub(crate) fn is_interlaced(parameters: &codec::ParametersRef<'_>) -> bool {
    // SAFETY: parameters are always allocated; a plain field is read.
    let order = unsafe { (*parameters.as_ptr()).field_order };
    order != ffi::AVFieldOrder::UNKNOWN && order != ffi::AVFieldOrder::PROGRESSIVE
}

/// True if a stream says that of two fields the lower lines are shown first. Of fields that are stored
/// one line each, files say first whose line is the upper one, whatever FFmpeg's header calls that.
pub(crate) fn is_bottom_first(parameters: &codec::ParametersRef<'_>) -> bool {
    // SAFETY: parameters are always allocated; a plain field is read.
    let order = unsafe { (*parameters.as_ptr()).field_order };
    order == ffi::AVFieldOrder::BB || order == ffi::AVFieldOrder::BT
}

/// The pictures of an encoder are two fields each.
pub(crate) fn keep_fields(context: &mut codec::Context, bottom_first: bool) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.field_order = if bottom_first { ffi::AVFieldOrder::BB } else { ffi::AVFieldOrder::TT };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_INTERLACED_DCT).unwrap_or(0);
}

/// FFmpeg's name of a stream's profile.
pub(crate) fn profile_name(parameters: &codec::ParametersRef<'_>) -> Option<String> {
    // SAFETY: parameters are always allocated; only plain fields are read.
    let raw = unsafe { &*parameters.as_ptr() };
    let (id, profile) = (raw.codec_id, raw.profile);
    // SAFETY: answers a static text, or null.
    named(unsafe { ffi::avcodec_profile_name(id, profile) })
}

/// FFmpeg's words for what a stream is there for.
pub(crate) fn dispositions(stream: &ffmpeg::Stream<'_>) -> Vec<String> {
    // SAFETY: the stream belongs to an open context that is borrowed with it.
    let stream = unsafe { stream.as_ptr() };
    // SAFETY: reads a plain field of it.
    let set = unsafe { (*stream).disposition };
    let bits = (0..31).map(|bit| set & (1 << bit)).filter(|bit| *bit != 0);
    // SAFETY: answers a static text, or null.
    bits.filter_map(|bit| named(unsafe { ffi::av_disposition_to_string(bit) })).collect()
}

/// The time base of what comes out of a sink.
pub(crate) fn sink_time_base(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a living graph; the answer is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_time_base(sink) }.into()
}

/// The shape of the pixels that come out of a sink.
pub(crate) fn sink_pixel_aspect(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a living graph; the answer is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_sample_aspect_ratio(sink) }.into()
}

/// Sides and format of the pictures that come out of a sink.
pub(crate) fn sink_picture(sink: &filter::Context<'_>) -> (u32, u32, format::Pixel) {
    // SAFETY: a configured sink of a living graph; the answers are values.
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

/// Pictures a second that come out of a sink; 0 if they come as they like.
pub(crate) fn sink_frame_rate(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a living graph; the answer is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_frame_rate(sink) }.into()
}

/// One thread per graph: the pipeline's own threads are the parallelism.
pub(crate) fn single_threaded(graph: &mut filter::Graph) {
    // SAFETY: an allocated, unconfigured graph that we borrow mutably; a plain field is written.
    let graph = unsafe { graph.as_mut_ptr() };
    // SAFETY: writes a plain field of it.
    unsafe { (*graph).nb_threads = 1 };
}

/// Writes a packet, also one that carries side data alone.
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

/// Closes the file of a finished output; a full disk shows here at the latest.
pub(crate) fn close_file(output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
    // SAFETY: an open output that we borrow mutably; the pointer is only passed on.
    let output = unsafe { output.as_mut_ptr() };
    // SAFETY: takes the address of a field of it.
    let slot = unsafe { &raw mut (*output).pb };
    // SAFETY: closes the file and clears the pointer, so that dropping the output closes nothing.
    let outcome = unsafe { ffi::avio_closep(slot) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// A stream's parameters, as a value of our own.
pub(crate) fn own_parameters(
    stream: &ffmpeg::Stream<'_>,
) -> Result<codec::Parameters, ffmpeg::Error> {
    let mut own = codec::Parameters::new();
    // SAFETY: both are allocated; FFmpeg copies deeply.
    let outcome =
        unsafe { ffi::avcodec_parameters_copy(own.as_mut_ptr(), stream.parameters().as_ptr()) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(own) }
}

/// Bounds an encoder's rate: never above `max` for longer than twice a second's worth.
pub(crate) fn cap_rate(context: &mut codec::Context, max: u64) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.rc_max_rate = i64::try_from(max).unwrap_or(i64::MAX);
    raw.rc_buffer_size = c_int::try_from(max.saturating_mul(2)).unwrap_or(c_int::MAX);
}

/// A quality for encoders that take one number from 1 (best) to 31.
pub(crate) fn fixed_quality(context: &mut codec::Context, quality: u16) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_QSCALE).unwrap_or(0);
    raw.global_quality =
        c_int::from(quality).saturating_mul(c_int::try_from(ffi::FF_QP2LAMBDA).unwrap_or(118));
}

/// What the first pass of an encoder learned, once it is flushed.
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

/// Hands the first pass' findings to the second one.
pub(crate) fn use_statistics(context: &mut codec::Context, statistics: CString) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // Never freed: FFmpeg reads it for as long as the encoder lives, and the process is short-lived.
    // SAFETY: an allocated, unopened context; FFmpeg only reads the text.
    unsafe { (*raw).stats_in = statistics.into_raw() };
}

/// Describes a stream whose packets we make ourselves.
pub(crate) fn describe_subtitles(
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

/// What a stream is there for, as a player reads it.
pub(crate) fn set_disposition(stream: &mut format::stream::StreamMut<'_>, default: bool) {
    // SAFETY: a stream of an open output that we borrow mutably.
    let stream = unsafe { stream.as_mut_ptr() };
    let flag = if default { ffi::AV_DISPOSITION_DEFAULT } else { 0 };
    // SAFETY: writes a plain field of it.
    unsafe { (*stream).disposition = c_int::try_from(flag).unwrap_or(0) };
}

/// Lets the muxer choose the tag: that of another container means nothing in this one.
pub(crate) fn forget_tag(parameters: &mut codec::ParametersMut<'_>) {
    // SAFETY: parameters of a stream that we borrow mutably; a plain field is written.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = 0 };
}

/// The header that a subtitle decoder gives to what it decodes: ASS styles.
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

/// Names a stream's coding in the container's own way.
pub(crate) fn set_tag(parameters: &mut codec::ParametersMut<'_>, tag: [u8; 4]) {
    // SAFETY: parameters of a stream that we borrow mutably; a plain field is written.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = u32::from_le_bytes(tag) };
}

/// Bits of a sample that mean something, where the sample has room for more.
pub(crate) fn set_bits(context: &mut codec::Context, bits: u8) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).bits_per_raw_sample = c_int::from(bits) };
}

/// What a container says of a stream beside its parameters, rotation above all.
pub(crate) fn copy_side_data(
    to: &mut format::stream::StreamMut<'_>,
    from: &ffmpeg::Stream<'_>,
) -> Result<(), ffmpeg::Error> {
    // SAFETY: a stream of an open input that is borrowed.
    let from = unsafe { from.as_ptr() };
    // SAFETY: as above; only plain fields are read.
    let from = unsafe { &*from };
    // SAFETY: a stream of an open output that we borrow mutably.
    let to = unsafe { to.as_mut_ptr() };
    for number in 0..usize::try_from(from.nb_side_data).unwrap_or(0) {
        // SAFETY: FFmpeg keeps `nb_side_data` of them there.
        let data = unsafe { from.side_data.add(number) };
        // SAFETY: as above.
        let data = unsafe { &*data };
        // SAFETY: allocates `size` bytes that belong to the output's stream.
        let copy = unsafe { ffi::av_stream_new_side_data(to, data.type_, data.size) };
        if copy.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        // SAFETY: both are `size` bytes long, and one is new.
        unsafe { std::ptr::copy_nonoverlapping(data.data, copy, data.size) };
    }
    Ok(())
}

/// Samples that a sound encoder takes at once; 0 if any number will do.
pub(crate) fn frame_size(encoder: &codec::Context) -> u32 {
    // SAFETY: an open encoder that we borrow.
    let raw = unsafe { encoder.as_ptr() };
    // SAFETY: reads a plain field of it.
    u32::try_from(unsafe { (*raw).frame_size }).unwrap_or(0)
}

/// What an encoder put before its first packet.
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

/// Leaves out what smooths a decoded picture: whether it decodes shows without.
pub(crate) fn skip_smoothing(context: &mut codec::Context) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context; a plain field is written.
    unsafe { (*raw).skip_loop_filter = ffi::AVDiscard::ALL };
}
