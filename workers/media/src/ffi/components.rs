//! What the linked FFmpeg was built with, and which of it is used.

use std::{ffi::CString, fs};

use ffapi_domain::media::{image_demuxers, media_demuxers, subtitle_demuxers};
use ffmpeg_the_third::{Rational, codec, ffi};

use super::{Input, prepare_decoder, strings::owned_string};
use crate::{
    decoders::{DECODERS, is_allowed_decoder},
    file::OpenFile,
};

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
            match owned_string(name) {
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
    let missing: Vec<_> = DECODERS
        .split(',')
        .filter(|name| {
            !OTHERS.contains(name) && ffmpeg_the_third::decoder::find_by_name(name).is_none()
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(protocols(), ["file", "file"]);
}

/// A WAV file of silence.
fn wav() -> Vec<u8> {
    let mut bytes = b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend(8_000_u32.to_le_bytes());
    bytes.extend(16_000_u32.to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data\0\x10\0\0");
    bytes.resize(44 + 4_096, 0);
    bytes
}

/// FFmpeg also opens decoders itself, to find out what a file contains.
#[test]
fn only_allowed_decoders_are_opened_while_a_file_is_probed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    fs::write(&path, wav()).unwrap();
    let input = Input::open(&OpenFile::open(&path).unwrap(), &media_demuxers()).unwrap();
    // SAFETY: the pointer is only used while the input lives.
    let raw = unsafe { input.context.as_ptr() };
    // SAFETY: an open context; the text is its own, and copied.
    let allowed = owned_string(unsafe { (*raw).codec_whitelist });
    assert_eq!(allowed.as_deref(), Some(DECODERS));
}

#[test]
fn no_compiled_decoder_that_is_not_allowed_can_be_opened() {
    let mut context = codec::Context::new();
    prepare_decoder(&mut context, Rational(1, 25), 1).unwrap();
    // SAFETY: the pointer is only used while the context lives.
    let raw = unsafe { context.as_ptr() };
    // SAFETY: an allocated context; the text is its own, and copied.
    let allowed = owned_string(unsafe { (*raw).codec_whitelist });
    assert_eq!(allowed.as_deref(), Some(DECODERS));
    let mut state = std::ptr::null_mut();
    loop {
        // SAFETY: the state is null, or what the call before has written.
        let compiled = unsafe { ffi::av_codec_iterate(&raw mut state) };
        if compiled.is_null() {
            break;
        }
        // SAFETY: a constant of the library.
        let name = owned_string(unsafe { (*compiled).name }).unwrap();
        // SAFETY: as above.
        let is_decoder = unsafe { ffi::av_codec_is_decoder(compiled) } != 0;
        if !is_decoder || is_allowed_decoder(&name) {
            continue;
        }
        let mut context = codec::Context::new();
        prepare_decoder(&mut context, Rational(1, 25), 1).unwrap();
        // SAFETY: the pointer is only used while the context lives.
        let raw = unsafe { context.as_mut_ptr() };
        // SAFETY: an allocated, unopened context, and a constant of the library.
        let outcome = unsafe { ffi::avcodec_open2(raw, compiled, std::ptr::null_mut()) };
        assert!(outcome < 0, "{name}");
    }
}
