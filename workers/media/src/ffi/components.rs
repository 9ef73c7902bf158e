//! What the linked FFmpeg was built with.

use std::ffi::CString;

use ffapi_domain::media::{image_demuxers, media_demuxers, subtitle_demuxers};
use ffmpeg_the_third::ffi;

fn has_demuxer(name: &str) -> bool {
    let name = CString::new(name).unwrap();
    // SAFETY: the name is a C string; the result is a constant of the library, or null.
    !unsafe { ffi::av_find_input_format(name.as_ptr()) }.is_null()
}

#[cfg(engine = "bundled")]
fn protocols() -> Vec<String> {
    let mut found = Vec::new();
    for output in [0, 1] {
        let mut state = std::ptr::null_mut();
        loop {
            // SAFETY: the state is null, or what the call before has written.
            let name = unsafe { ffi::avio_enum_protocols(&raw mut state, output) };
            match super::strings::owned_string(name) {
                Some(name) => found.push(name),
                None => break,
            }
        }
    }
    found
}

#[test]
fn every_accepted_format_has_a_demuxer() {
    // Other names of a demuxer that has one.
    const ALIASES: [&str; 6] = ["mp4", "m4a", "3gp", "3g2", "mj2", "webm"];
    for list in [media_demuxers(), image_demuxers(), subtitle_demuxers()] {
        let missing: Vec<_> =
            list.split(',').filter(|name| !ALIASES.contains(name) && !has_demuxer(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[cfg(engine = "bundled")]
#[test]
fn the_bundled_engine_has_every_allowed_decoder_and_no_network() {
    // Libraries whose codecs FFmpeg decodes itself, and formats that releases since 8.0 treat as raw video.
    const OTHERS: [&str; 12] = [
        "libopenjpeg",
        "libopus",
        "libvorbis",
        "libspeex",
        "libgsm",
        "libgsm_ms",
        "libopencore_amrnb",
        "libopencore_amrwb",
        "ayuv",
        "v308",
        "v408",
        "v410",
    ];
    let missing: Vec<_> = crate::decoders::DECODERS
        .split(',')
        .filter(|name| {
            !OTHERS.contains(name) && ffmpeg_the_third::decoder::find_by_name(name).is_none()
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(protocols(), ["file", "file"]);
}
