//! Codec parameters, and the metadata of streams.

use std::ffi::c_int;

use ffmpeg_the_third::{self as ffmpeg, codec, ffi, format};

use super::strings::owned_string;

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

/// Sets a stream's codec tag, the container's code for its codec.
pub(crate) fn set_codec_tag(parameters: &mut codec::ParametersMut<'_>, tag: [u8; 4]) {
    // SAFETY: parameters of a stream that we borrow mutably; a plain field is written.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = u32::from_le_bytes(tag) };
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
