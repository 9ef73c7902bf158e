use std::{io, path::Path};

use ffapi_domain::media::Role;
use ffmpeg_the_third as ffmpeg;
use nix::libc;

use crate::{MediaError, ffi::Input, file::OpenFile, orientation};

/// The file formats that are media, and none that names other files.
const MEDIA: &str = "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,mp3,wav,aac,flac,ogg,gif,mxf,asf,\
    h264,hevc,ac3,eac3,ivf,aiff,caf,m4v,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe";
const IMAGES: &str = "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif";
const SUBTITLES: &str = "srt,ass,webvtt,mov,mp4,matroska,webm";

/// Opens an output that was read back before once more, for its packets.
pub(crate) fn again(output: &Path) -> Result<Input, ffmpeg::Error> {
    let failed = |error: io::Error| ffmpeg::Error::Other {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    };
    Input::open_again(&OpenFile::open(output).map_err(failed)?, MEDIA)
}

/// Opens an output to read it back.
pub(crate) fn made(output: &Path, role: Role) -> Result<Input, MediaError> {
    let file = OpenFile::open(output);
    open(&file.map_err(|error| MediaError::internal("the output", error))?, role)
}

/// Opens a file for what it is to be, or says in a person's words why it cannot be that.
pub(crate) fn open(file: &OpenFile, role: Role) -> Result<Input, MediaError> {
    if file.size() == 0 {
        return Err(MediaError::input("the input is empty (0 bytes)"));
    }
    let (formats, what) = match role {
        Role::Media => (MEDIA, "a media file"),
        Role::Image => (IMAGES, "a picture (PNG, JPEG, WebP, BMP, TIFF)"),
        Role::Subtitle => (SUBTITLES, "subtitles (SRT, ASS, WebVTT)"),
    };
    let opened = Input::open(file, formats).map_err(|error| {
        MediaError::input(match error {
            ffmpeg::Error::InvalidData => format!(
                "the input is not {what} that can be read here; it may be damaged, cut off before \
                 its index, or something else under a media name"
            ),
            other => format!(
                "the input cannot be opened as {what} ({other}); playlists and other files that \
                 only point to media are not accepted"
            ),
        })
    });
    let mut input = opened?;
    if input.context.format().name() == "jpeg_pipe" {
        input.held = orientation::of(file);
    }
    Ok(input)
}
