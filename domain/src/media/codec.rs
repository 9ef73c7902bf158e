use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
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

words! {
    /// What a picture stream is coded with.
    VideoCodec {
        /// AVC.
        H264 = "h264",
        /// HEVC.
        Hevc = "hevc",
        /// No picture.
        None = "none",
    }
}

words! {
    /// What a sound stream is coded with.
    AudioCodec {
        /// AAC-LC.
        Aac = "aac",
        /// Opus.
        Opus = "opus",
        /// FLAC.
        Flac = "flac",
        /// No sound.
        None = "none",
    }
}

words! {
    /// The file around the streams.
    Container {
        /// ISO base media, index first.
        Mp4 = "mp4",
        /// QuickTime.
        Mov = "mov",
        /// Matroska.
        Mkv = "mkv",
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
    /// FFmpeg's encoder for it; none for no picture.
    pub const fn encoder(self) -> Option<&'static str> {
        match self {
            Self::H264 => Some("libx264"),
            Self::Hevc => Some("libx265"),
            Self::None => None,
        }
    }
}

impl AudioCodec {
    /// FFmpeg's encoder for it; none for no sound.
    pub const fn encoder(self) -> Option<&'static str> {
        match self {
            Self::Aac => Some("aac"),
            Self::Opus => Some("libopus"),
            Self::Flac => Some("flac"),
            Self::None => None,
        }
    }
}

impl Container {
    /// By a file name's extension.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "mp4" | "m4v" => Some(Self::Mp4),
            "mov" => Some(Self::Mov),
            "mkv" => Some(Self::Mkv),
            _ => None,
        }
    }

    /// FFmpeg's muxer for it.
    pub const fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "matroska",
        }
    }

    /// Whether players accept this sound in it.
    pub const fn holds_audio(self, codec: AudioCodec) -> bool {
        match (self, codec) {
            (Self::Mkv, _)
            | (_, AudioCodec::Aac | AudioCodec::None)
            | (Self::Mp4, AudioCodec::Opus | AudioCodec::Flac) => true,
            (Self::Mov, AudioCodec::Opus | AudioCodec::Flac) => false,
        }
    }
}
