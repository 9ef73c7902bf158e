use std::{io, path::Path};

use ffapi_domain::{
    job::FailureCode,
    media::{MAGIC_BYTES, Role, foreign, image_demuxers, magic, media_demuxers, subtitle_demuxers},
};
use ffmpeg_the_third as ffmpeg;
use nix::libc;

use crate::{
    MediaError,
    ffi::{Demuxer, Input},
    file::OpenFile,
    orientation,
    stated_size::StatedSize,
    text_encoding, whole_end,
};

impl Demuxer {
    /// The demuxer of formats whose magic bytes are certain, but which FFmpeg does not always recognise.
    fn of_magic(head: &[u8]) -> Option<Self> {
        match magic(head)?.name {
            "JPEG" => Some(Self { name: c"jpeg_pipe", codec: None }),
            "Netpbm" if head.starts_with(b"P7") => Some(Self { name: c"pam_pipe", codec: None }),
            "Targa" => Some(Self { name: c"image2pipe", codec: Some(ffmpeg::codec::Id::TARGA) }),
            _ => None,
        }
    }
}

/// Bytes of a file that are read to find its format and stated size.
const HEAD_BYTES: u64 = 16 * 1024;

/// True for a WebP image with the flag of animation in its extended header.
fn is_animated_webp(head: &[u8]) -> bool {
    let is_extended = head.get(8..16) == Some(b"WEBPVP8X".as_slice());
    is_extended && head.get(20).is_some_and(|flags| flags & 0x02 != 0)
}

/// Opens an output again that was probed before, to read its packets.
pub(crate) fn reopen(output: &Path) -> Result<Input, ffmpeg::Error> {
    let failed = |error: io::Error| ffmpeg::Error::Other {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    };
    Input::reopen(&OpenFile::open(output).map_err(failed)?, &media_demuxers())
}

/// Opens an output of this process to verify it.
pub(crate) fn made(output: &Path, role: Role) -> Result<Input, MediaError> {
    let file = OpenFile::open(output);
    let mut input = open(&file.map_err(|error| MediaError::internal("the output", error))?, role)?;
    input.keep_timestamps();
    Ok(input)
}

/// Opens a file for its role in the request.
///
/// # Errors
/// With a message for the client, when the file is not of a format that its role accepts.
pub(crate) fn open(file: &OpenFile, role: Role) -> Result<Input, MediaError> {
    if file.size() == 0 {
        return Err(MediaError::input("the input is empty (0 bytes)"));
    }
    let (formats, what) = match role {
        Role::Media => (media_demuxers(), "a media file"),
        Role::Image => (image_demuxers(), "an image (PNG, JPEG, WebP, BMP, TIFF, …)"),
        Role::Subtitle => (subtitle_demuxers(), "subtitles (SRT, ASS, WebVTT, …)"),
    };
    let head = file.head(HEAD_BYTES);
    let is_text = role == Role::Subtitle && !head.starts_with(b"\x1a\x45\xdf\xa3");
    let is_text = is_text && head.get(4..8) != Some(b"ftyp".as_slice());
    let text = if is_text { text_encoding::normalized(file)? } else { None };
    let file = text.as_ref().unwrap_or(file);
    if head.starts_with(b"RIFF") && is_animated_webp(&head) {
        let detail = "animated WebP is not supported as an input; send a GIF, an APNG or a video";
        return Err(MediaError::new(FailureCode::Unsupported, detail));
    }
    let opened = match Demuxer::of_magic(head.get(..MAGIC_BYTES).unwrap_or(&head)) {
        Some(demuxer) if role != Role::Subtitle => Input::open_as(file, demuxer),
        _ => Input::open(file, &formats),
    };
    let opened = opened.map_err(|error| {
        MediaError::input(match error {
            // An engine without demuxers of playlists does not know what it is.
            ffmpeg::Error::InvalidData if foreign(&head) == Some("a playlist") => format!(
                "the input cannot be opened as {what}; playlists and other files that only refer to \
                 media are not accepted"
            ),
            ffmpeg::Error::InvalidData | ffmpeg::Error::Eof => format!(
                "the input is not {what} of a supported format; it may be damaged, cut off before \
                 its index, or another kind of file with a media file's name"
            ),
            other => format!(
                "the input cannot be opened as {what} ({other}); playlists and other files that \
                 only refer to media are not accepted"
            ),
        })
    });
    let mut input = opened?;
    input.stated_size = StatedSize::of(&head, file.size());
    let is_whole = input.stated_size.map(StatedSize::is_whole);
    input.is_whole = is_whole.or_else(|| whole_end::ends_whole(&head, file).then_some(true));
    if input.context.format().name() == "jpeg_pipe" {
        input.held = orientation::of(file);
    }
    Ok(input)
}
