//! Texts of files and libraries, which need be neither there nor UTF-8.

use std::{
    ffi::{CStr, c_char},
    ptr,
};

use ffmpeg_the_third::{DictionaryRef, codec, ffi, format};

/// A text that C answered, if it answered one.
pub(super) fn named(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null; FFmpeg ends its texts with a zero, and they outlive the copy.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The FFmpeg that is linked, as it names itself, and its codecs' library.
pub(crate) fn version() -> String {
    // SAFETY: answers a constant of the library.
    let release = unsafe { ffi::av_version_info() };
    // SAFETY: answers a number, and touches nothing.
    let codecs = unsafe { ffi::avcodec_version() };
    let [_, major, minor, _] = codecs.to_be_bytes();
    format!("FFmpeg {} (libavcodec {major}.{minor})", named(release).unwrap_or_default())
}

/// Every tag, its bytes made readable: files hold what they like.
pub(crate) fn tags(from: &DictionaryRef<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut last: *const ffi::AVDictionaryEntry = ptr::null();
    let all = ffi::AV_DICT_IGNORE_SUFFIX;
    loop {
        // SAFETY: the dictionary is borrowed, and `last` is null or its own.
        last = unsafe { ffi::av_dict_get(from.as_ptr(), c"".as_ptr(), last, all) };
        if last.is_null() {
            return found;
        }
        // SAFETY: an entry of a borrowed dictionary.
        let entry = unsafe { &*last };
        if let (Some(key), Some(value)) = (named(entry.key), named(entry.value)) {
            found.push((key, value));
        }
    }
}

/// FFmpeg's name of a sample format; empty for none and for those it does not know.
pub(crate) fn sample_name(format: format::Sample) -> String {
    // SAFETY: answers a static text, or null.
    named(unsafe { ffi::av_get_sample_fmt_name(format.into()) }).unwrap_or_default()
}

/// FFmpeg's names of what a picture's numbers mean, as a file claims it; none where nobody knows.
#[derive(Debug, Default)]
pub(crate) struct ColorWords {
    pub(crate) range: Option<String>,
    pub(crate) primaries: Option<String>,
    pub(crate) transfer: Option<String>,
    pub(crate) matrix: Option<String>,
}

/// What a file claims of its colours, which may be any number.
pub(crate) fn color_words(parameters: &codec::ParametersRef<'_>) -> ColorWords {
    // SAFETY: parameters are always allocated; only plain fields are read.
    let raw = unsafe { &*parameters.as_ptr() };
    // SAFETY: answers a static text, or null for a number without a name.
    let range = unsafe { ffi::av_color_range_name(raw.color_range) };
    // SAFETY: as above.
    let primaries = unsafe { ffi::av_color_primaries_name(raw.color_primaries) };
    // SAFETY: as above.
    let transfer = unsafe { ffi::av_color_transfer_name(raw.color_trc) };
    // SAFETY: as above.
    let matrix = unsafe { ffi::av_color_space_name(raw.color_space) };
    let known = |text| named(text).filter(|name| !matches!(name.as_str(), "unknown" | "reserved"));
    ColorWords {
        range: known(range),
        primaries: known(primaries),
        transfer: known(transfer),
        matrix: known(matrix),
    }
}
