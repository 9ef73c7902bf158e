use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum $name {
            $($(#[$case_doc])* #[serde(rename = $word)] $case),+
        }

        impl $name {
            /// Every case, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$case),+];

            /// The word as written in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $word),+
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What a picture stream is coded with.
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
        /// GIF, with a palette of its own.
        Gif = "gif",
        /// JPEG pictures.
        Mjpeg = "mjpeg",
        /// PNG pictures.
        Png = "png",
        /// WebP, moving or still.
        Webp = "webp",
        /// The packets as they are.
        Copy = "copy",
        /// No picture.
        None = "none",
    }
}

words! {
    /// What a sound stream is coded with.
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
        /// Samples as they are, 16 or 24 bits, little-endian.
        Pcm = "pcm",
        /// The packets as they are.
        Copy = "copy",
        /// No sound.
        None = "none",
    }
}

words! {
    /// How much work an encoder may spend.
    Preset {
        /// Least.
        Ultrafast = "ultrafast",
        /// Less still.
        Superfast = "superfast",
        /// Much less.
        Veryfast = "veryfast",
        /// Less.
        Faster = "faster",
        /// A little less.
        Fast = "fast",
        /// The usual.
        Medium = "medium",
        /// More.
        Slow = "slow",
        /// Much more.
        Slower = "slower",
        /// Most.
        Veryslow = "veryslow",
    }
}

impl VideoCodec {
    /// FFmpeg's encoder for it; none if nothing is encoded.
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

    /// By FFmpeg's name of what a file holds.
    pub fn of_stream(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|codec| codec.encoder().is_some() && codec.as_str() == name)
    }

    /// The constant-quality scale, 0 or so being best; none if the codec has none.
    pub const fn crf_range(self) -> Option<(u8, u8)> {
        match self {
            Self::H264 | Self::Hevc => Some((0, 51)),
            Self::Vp8 => Some((4, 63)),
            Self::Vp9 => Some((0, 63)),
            // Its encoder takes 0 for nothing said.
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

    /// The constant quality taken when nothing is asked for.
    pub const fn usual_crf(self) -> u8 {
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

    /// True if it codes one picture by another: it has keyframes, presets and rates.
    pub const fn is_inter(self) -> bool {
        self.crf_range().is_some()
    }
}

impl AudioCodec {
    /// FFmpeg's encoder for it; none if nothing is encoded.
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

    /// By FFmpeg's name of what a file holds.
    pub fn of_stream(name: &str) -> Option<Self> {
        match name {
            _ if name.starts_with("pcm_") => Some(Self::Pcm),
            _ => Self::ALL.iter().copied().find(|c| c.encoder().is_some() && c.as_str() == name),
        }
    }

    /// True if nothing is lost, and no bitrate applies.
    pub const fn is_lossless(self) -> bool {
        matches!(self, Self::Flac | Self::Pcm | Self::Copy | Self::None)
    }

    /// The most channels it is asked to carry.
    pub const fn max_channels(self) -> u32 {
        match self {
            Self::Mp3 => 2,
            Self::Ac3 => 6,
            Self::Aac
            | Self::Opus
            | Self::Vorbis
            | Self::Flac
            | Self::Pcm
            | Self::Copy
            | Self::None => 8,
        }
    }

    /// The rate it takes that is nearest to a wanted one without losing more than it must.
    pub fn sample_rate(self, wanted: u32) -> u32 {
        let rates: &[u32] = match self {
            // Opus knows 48 kHz; what else it takes, it converts.
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
