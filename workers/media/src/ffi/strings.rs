//! Strings of files and libraries, which may be missing or not UTF-8.

use std::{
    ffi::{CStr, c_char},
    ptr,
};

use ffapi_domain::media::Engine;
use ffmpeg_the_third::{DictionaryRef, codec, ffi, format};

/// An owned copy of a C string; none if it is null.
pub(super) fn owned_string(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null; FFmpeg terminates its strings with NUL, and they outlive the copy.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The version of the linked FFmpeg, and of its libavcodec.
pub(crate) fn version() -> String {
    // SAFETY: returns a constant of the library.
    let release = unsafe { ffi::av_version_info() };
    // SAFETY: returns a number, without side effects.
    let codecs = unsafe { ffi::avcodec_version() };
    let [_, major, minor, _] = codecs.to_be_bytes();
    format!("FFmpeg {} (libavcodec {major}.{minor})", owned_string(release).unwrap_or_default())
}

/// The linked FFmpeg.
pub(crate) fn engine() -> Engine {
    // SAFETY: returns a constant of the library.
    let release = unsafe { ffi::av_version_info() };
    // SAFETY: returns a constant of the library.
    let configuration = unsafe { ffi::avcodec_configuration() };
    Engine {
        version: owned_string(release).unwrap_or_default(),
        built: built(),
        configuration: owned_string(configuration).unwrap_or_default(),
    }
}

/// When the FFmpeg of `ops/ffmpeg/setup` was built.
#[cfg(engine = "bundled")]
fn built() -> Option<String> {
    option_env!("FFAPI_ENGINE_BUILT").map(str::to_owned)
}

/// The date of the file of the system's libavcodec.
#[cfg(not(engine = "bundled"))]
fn built() -> Option<String> {
    use std::ffi::c_void;

    use nix::libc;
    let mut library = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    let function = ffi::avcodec_version as unsafe extern "C" fn() -> _;
    // SAFETY: fills the structure with strings of the loader, which live as long as the library.
    let found = unsafe { libc::dladdr(function as *const c_void, &raw mut library) };
    let path = owned_string(library.dli_fname).filter(|_| found != 0)?;
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    Some(time::OffsetDateTime::from(modified).date().to_string())
}

/// Every tag; bytes that are not UTF-8 are replaced.
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
        if let (Some(key), Some(value)) = (owned_string(entry.key), owned_string(entry.value)) {
            found.push((key, value));
        }
    }
}

/// FFmpeg's name of a sample format; empty if it is unknown.
pub(crate) fn sample_name(format: format::Sample) -> String {
    // SAFETY: returns a static string, or null.
    owned_string(unsafe { ffi::av_get_sample_fmt_name(format.into()) }).unwrap_or_default()
}

/// FFmpeg's names of a stream's color properties, as the file states them; none if unknown.
#[derive(Debug, Default)]
pub(crate) struct ColorNames {
    pub(crate) range: Option<String>,
    pub(crate) primaries: Option<String>,
    pub(crate) transfer: Option<String>,
    pub(crate) matrix: Option<String>,
}

/// The color properties that a file states, which may be any numbers.
pub(crate) fn color_names(parameters: &codec::ParametersRef<'_>) -> ColorNames {
    // SAFETY: parameters are always allocated; only plain fields are read.
    let raw = unsafe { &*parameters.as_ptr() };
    // SAFETY: returns a static string, or null for a number without a name.
    let range = unsafe { ffi::av_color_range_name(raw.color_range) };
    // SAFETY: as above.
    let primaries = unsafe { ffi::av_color_primaries_name(raw.color_primaries) };
    // SAFETY: as above.
    let transfer = unsafe { ffi::av_color_transfer_name(raw.color_trc) };
    // SAFETY: as above.
    let matrix = unsafe { ffi::av_color_space_name(raw.color_space) };
    let known =
        |name| owned_string(name).filter(|name| !matches!(name.as_str(), "unknown" | "reserved"));
    ColorNames {
        range: known(range),
        primaries: known(primaries),
        transfer: known(transfer),
        matrix: known(matrix),
    }
}
