use serde::{Deserialize, Serialize};

macro_rules! string_enum {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }
    };
}
pub(crate) use string_enum;

string_enum! {
    /// Codec of a video stream.
    VideoCodec {
        /// AVC.
        H264 = "h264",
        /// HEVC.
        Hevc = "hevc",
        /// VP8.
        Vp8 = "vp8",
        /// VP9.
        Vp9 = "vp9",
        /// AV1.
        Av1 = "av1",
        /// Apple's intermediate codec.
        Prores = "prores",
        /// GIF, with its own palette.
        Gif = "gif",
        /// JPEG images.
        Mjpeg = "mjpeg",
        /// PNG images.
        Png = "png",
        /// WebP, animated or still.
        Webp = "webp",
        /// Packets copied without re-encoding.
        Copy = "copy",
        /// No video.
        None = "none",
    }
}

string_enum! {
    /// Codec of an audio stream.
    AudioCodec {
        /// AAC-LC.
        Aac = "aac",
        /// MPEG layer 3.
        Mp3 = "mp3",
        /// Opus.
        Opus = "opus",
        /// Vorbis.
        Vorbis = "vorbis",
        /// Dolby Digital.
        Ac3 = "ac3",
        /// FLAC.
        Flac = "flac",
        /// Uncompressed samples, 16 or 24 bits, little-endian.
        Pcm = "pcm",
        /// Packets copied without re-encoding.
        Copy = "copy",
        /// No audio.
        None = "none",
    }
}

string_enum! {
    /// Speed of an encoder: slower presets compress better.
    Preset {
        /// The fastest.
        Ultrafast = "ultrafast",
        /// Faster than `veryfast`.
        Superfast = "superfast",
        /// Faster than `faster`.
        Veryfast = "veryfast",
        /// Faster than `fast`.
        Faster = "faster",
        /// Slightly faster than `medium`.
        Fast = "fast",
        /// The default.
        Medium = "medium",
        /// Slower than `medium`.
        Slow = "slow",
        /// Slower than `slow`.
        Slower = "slower",
        /// The slowest.
        Veryslow = "veryslow",
    }
}

impl VideoCodec {
    /// FFmpeg's encoder for it; `None` if nothing is encoded.
    pub const fn encoder(self) -> Option<&'static str> {
        match self {
            Self::H264 => Some("libx264"),
            Self::Hevc => Some("libx265"),
            Self::Vp8 => Some("libvpx"),
            Self::Vp9 => Some("libvpx-vp9"),
            Self::Av1 => Some("libsvtav1"),
            Self::Prores => Some("prores_ks"),
            Self::Gif => Some("gif"),
            Self::Mjpeg => Some("mjpeg"),
            Self::Png => Some("png"),
            Self::Webp => Some("libwebp_anim"),
            Self::Copy | Self::None => None,
        }
    }

    /// The codec with this FFmpeg codec name.
    pub fn of_stream(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|codec| codec.encoder().is_some() && codec.as_str() == name)
    }

    /// Range of the constant rate factor, the lower the better; `None` if the codec has none.
    pub const fn crf_range(self) -> Option<(u8, u8)> {
        match self {
            Self::H264 | Self::Hevc => Some((0, 51)),
            Self::Vp8 => Some((4, 63)),
            Self::Vp9 => Some((0, 63)),
            // Its encoder treats 0 as unset.
            Self::Av1 => Some((1, 63)),
            Self::Prores
            | Self::Gif
            | Self::Mjpeg
            | Self::Png
            | Self::Webp
            | Self::Copy
            | Self::None => None,
        }
    }

    /// The default constant rate factor.
    pub const fn default_crf(self) -> u8 {
        match self {
            Self::Hevc => 28,
            Self::Vp8 => 10,
            Self::Vp9 => 32,
            Self::Av1 => 35,
            Self::H264
            | Self::Prores
            | Self::Gif
            | Self::Mjpeg
            | Self::Png
            | Self::Webp
            | Self::Copy
            | Self::None => 23,
        }
    }

    /// True if it uses inter-frame compression: it has keyframes, presets and bitrates.
    pub const fn is_inter(self) -> bool {
        self.crf_range().is_some()
    }
}

impl AudioCodec {
    /// FFmpeg's encoder for it; `None` if nothing is encoded.
    pub const fn encoder(self) -> Option<&'static str> {
        match self {
            Self::Aac => Some("aac"),
            Self::Mp3 => Some("libmp3lame"),
            Self::Opus => Some("libopus"),
            Self::Vorbis => Some("libvorbis"),
            Self::Ac3 => Some("ac3"),
            Self::Flac => Some("flac"),
            Self::Pcm => Some("pcm_s16le"),
            Self::Copy | Self::None => None,
        }
    }

    /// The codec with this FFmpeg codec name.
    pub fn of_stream(name: &str) -> Option<Self> {
        match name {
            _ if name.starts_with("pcm_") => Some(Self::Pcm),
            _ => Self::ALL.iter().copied().find(|c| c.encoder().is_some() && c.as_str() == name),
        }
    }

    /// True if it is lossless, so that no bitrate applies.
    pub const fn is_lossless(self) -> bool {
        matches!(self, Self::Flac | Self::Pcm | Self::Copy | Self::None)
    }

    /// Maximum number of channels.
    pub const fn max_channels(self) -> u32 {
        match self {
            Self::Mp3 => 2,
            Self::Ac3 => 6,
            Self::Aac | Self::Opus | Self::Vorbis | Self::Flac | Self::Copy | Self::None => 8,
            Self::Pcm => 64,
        }
    }

    /// The supported sample rate for a wanted one: the next higher, or the highest.
    pub fn sample_rate(self, wanted: u32) -> u32 {
        let rates: &[u32] = match self {
            // Opus works at 48 kHz; it resamples all other rates.
            Self::Opus => &[48_000],
            Self::Mp3 => &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000],
            Self::Ac3 => &[32_000, 44_100, 48_000],
            Self::Aac => &[
                8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000,
                88_200, 96_000,
            ],
            Self::Vorbis => return wanted.clamp(8_000, 192_000),
            Self::Flac | Self::Pcm | Self::Copy | Self::None => {
                return wanted.clamp(8_000, 384_000);
            }
        };
        let enough = rates.iter().copied().find(|rate| *rate >= wanted);
        enough.or(rates.last().copied()).unwrap_or(wanted)
    }
}
