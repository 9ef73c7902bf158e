use std::path::Path;

use ffmpeg_the_third as ffmpeg;

use crate::{MediaError, ffi::Input};

/// The file formats that are media, and none that names other files.
const MEDIA: &str =
    "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,mp3,wav,aac,flac,ogg,gif,mxf,asf,h264,hevc";

/// Opens a media file, or says in a person's words why it is none.
pub(crate) fn open(path: &Path) -> Result<Input, MediaError> {
    let size = path.metadata().map_or(0, |meta| meta.len());
    if size == 0 {
        return Err(MediaError::input("the input is empty (0 bytes)"));
    }
    Input::open(path, MEDIA).map_err(|error| {
        MediaError::input(match error {
            ffmpeg::Error::InvalidData => "the input is not a media file that can be read here; \
                it may be damaged, cut off before its index, or something else under a media name"
                .to_owned(),
            other => format!(
                "the input cannot be opened as media ({other}); playlists and other files that \
                 only point to media are not accepted"
            ),
        })
    })
}
