use super::{
    AudioCodec as A, VideoCodec as V,
    codec::{AudioCodec, VideoCodec, string_enum},
};
use serde::{Deserialize, Serialize};

string_enum! {
    /// Container format of a file.
    Container {
        /// ISO base media file format (MP4), index first.
        Mp4 = "mp4",
        /// QuickTime.
        Mov = "mov",
        /// Matroska.
        Mkv = "mkv",
        /// `WebM`, the Matroska subset for the web.
        Webm = "webm",
        /// Audio Video Interleave.
        Avi = "avi",
        /// MPEG transport stream.
        Ts = "ts",
        /// Flash video.
        Flv = "flv",
        /// Animated GIF.
        Gif = "gif",
        /// Animated WebP.
        Webp = "webp",
        /// MPEG layer 3 audio.
        Mp3 = "mp3",
        /// ISO base media file format (MP4), audio only.
        M4a = "m4a",
        /// AAC in ADTS frames.
        Aac = "aac",
        /// Ogg.
        Ogg = "ogg",
        /// Ogg with Opus.
        Opus = "opus",
        /// RIFF WAVE.
        Wav = "wav",
        /// Native FLAC.
        Flac = "flac",
        /// JPEG files, one per frame.
        Jpg = "jpg",
        /// PNG files, one per frame.
        Png = "png",
    }
}

impl Container {
    /// The container with this file name extension.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "m4v" => Some(Self::Mp4),
            "jpeg" => Some(Self::Jpg),
            "m2ts" | "mts" => Some(Self::Ts),
            "oga" => Some(Self::Ogg),
            other => Self::ALL.iter().copied().find(|container| container.as_str() == other),
        }
    }

    /// FFmpeg's muxer for it.
    pub const fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "matroska",
            Self::Webm => "webm",
            Self::Avi => "avi",
            Self::Ts => "mpegts",
            Self::Flv => "flv",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Mp3 => "mp3",
            Self::M4a => "ipod",
            Self::Aac => "adts",
            Self::Ogg => "ogg",
            Self::Opus => "opus",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Jpg | Self::Png => "image2",
        }
    }

    /// True if the rotation of copied video packets is kept: a JPEG image carries it itself, that
    /// of a video is stored in the container.
    pub(super) const fn keeps_rotation(self, still: bool) -> bool {
        if still { matches!(self, Self::Jpg) } else { matches!(self, Self::Mp4 | Self::Mov) }
    }

    /// Video codecs that players accept in it, the default one first.
    pub const fn video(self) -> &'static [VideoCodec] {
        match self {
            Self::Mp4 => &[V::H264, V::Hevc, V::Av1, V::Vp9],
            Self::Mov => &[V::H264, V::Hevc, V::Prores, V::Mjpeg, V::Png],
            Self::Mkv => &[V::H264, V::Hevc, V::Av1, V::Vp9, V::Vp8, V::Prores, V::Mjpeg, V::Png],
            Self::Webm => &[V::Vp9, V::Av1, V::Vp8],
            Self::Avi => &[V::H264, V::Mjpeg, V::Vp8, V::Png],
            Self::Ts => &[V::H264, V::Hevc],
            Self::Flv => &[V::H264],
            Self::Gif => &[V::Gif],
            Self::Webp => &[V::Webp],
            Self::Jpg => &[V::Mjpeg],
            Self::Png => &[V::Png],
            Self::Mp3 | Self::M4a | Self::Aac | Self::Ogg | Self::Opus | Self::Wav | Self::Flac => {
                &[]
            }
        }
    }

    /// Audio codecs that players accept in it, the default one first.
    pub const fn audio(self) -> &'static [AudioCodec] {
        match self {
            Self::Mp4 => &[A::Aac, A::Mp3, A::Opus, A::Ac3, A::Flac],
            Self::Mov => &[A::Aac, A::Pcm, A::Ac3, A::Mp3],
            Self::Mkv => &[A::Aac, A::Opus, A::Vorbis, A::Mp3, A::Ac3, A::Flac, A::Pcm],
            Self::Webm => &[A::Opus, A::Vorbis],
            Self::Avi => &[A::Mp3, A::Ac3, A::Pcm, A::Aac],
            Self::Ts => &[A::Aac, A::Mp3, A::Ac3],
            Self::Flv => &[A::Aac, A::Mp3],
            Self::Mp3 => &[A::Mp3],
            Self::M4a | Self::Aac => &[A::Aac],
            Self::Ogg => &[A::Vorbis, A::Opus, A::Flac],
            Self::Opus => &[A::Opus],
            Self::Wav => &[A::Pcm],
            Self::Flac => &[A::Flac],
            Self::Gif | Self::Webp | Self::Jpg | Self::Png => &[],
        }
    }

    /// FFmpeg's codec for text subtitles in it; `None` if it has no subtitles.
    pub const fn subtitles(self) -> Option<&'static str> {
        match self {
            Self::Mp4 | Self::Mov => Some("mov_text"),
            Self::Mkv => Some("ass"),
            Self::Webm => Some("webvtt"),
            Self::Avi
            | Self::Ts
            | Self::Flv
            | Self::Gif
            | Self::Webp
            | Self::Mp3
            | Self::M4a
            | Self::Aac
            | Self::Ogg
            | Self::Opus
            | Self::Wav
            | Self::Flac
            | Self::Jpg
            | Self::Png => None,
        }
    }

    /// True if an edit list can hide the frames before a cut from the player, so that copied
    /// packets can start at an earlier keyframe.
    pub const fn has_edit_list(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov | Self::M4a)
    }

    /// True if it needs a constant frame rate.
    pub const fn needs_constant_rate(self) -> bool {
        matches!(self, Self::Avi | Self::Jpg | Self::Png)
    }

    /// True if every frame is a separate file.
    pub const fn is_images(self) -> bool {
        matches!(self, Self::Jpg | Self::Png)
    }

    /// True if it can hold more than one audio stream.
    pub const fn allows_multiple_audio(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov | Self::Mkv | Self::Webm | Self::Ts | Self::Avi)
    }

    /// All file name extensions, for error messages.
    pub fn extensions() -> String {
        let all: Vec<String> = Self::ALL.iter().map(|c| format!(".{}", c.as_str())).collect();
        all.join(", ")
    }
}
