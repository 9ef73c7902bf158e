use std::{io, path::Path};

use ffapi_domain::media::Role;
use ffmpeg_the_third as ffmpeg;
use nix::libc;

use crate::{MediaError, ffi::Input, file::OpenFile, orientation};

/// Demuxers for media files; none of a format that refers to other files, such as a playlist.
const MEDIA: &str = "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,mp3,wav,aac,flac,ogg,gif,mxf,asf,\
    h264,hevc,ac3,eac3,ivf,aiff,caf,m4v,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe";
const IMAGES: &str = "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif";
const SUBTITLES: &str = "srt,ass,webvtt,mov,mp4,matroska,webm";

/// Opens an output again that was probed before, to read its packets.
pub(crate) fn reopen(output: &Path) -> Result<Input, ffmpeg::Error> {
    let failed = |error: io::Error| ffmpeg::Error::Other {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    };
    Input::reopen(&OpenFile::open(output).map_err(failed)?, MEDIA)
}

/// Opens an output of this process to verify it.
pub(crate) fn made(output: &Path, role: Role) -> Result<Input, MediaError> {
    let file = OpenFile::open(output);
    open(&file.map_err(|error| MediaError::internal("the output", error))?, role)
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
        Role::Media => (MEDIA, "a media file"),
        Role::Image => (IMAGES, "an image (PNG, JPEG, WebP, BMP, TIFF)"),
        Role::Subtitle => (SUBTITLES, "subtitles (SRT, ASS, WebVTT)"),
    };
    let opened = Input::open(file, formats).map_err(|error| {
        MediaError::input(match error {
            ffmpeg::Error::InvalidData => format!(
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
    if input.context.format().name() == "jpeg_pipe" {
        input.held = orientation::of(file);
    }
    Ok(input)
}
