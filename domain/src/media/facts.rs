mod limits;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::limits::FactsLimits;
use super::Micros;

/// A rational number, as FFmpeg writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator; never 0 in facts.
    pub den: u32,
}

impl Rational {
    /// One to one.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// The ratio as a decimal; 0 if it is unknown.
    pub fn as_f64(self) -> f64 {
        if self.den == 0 { 0.0 } else { f64::from(self.num) / f64::from(self.den) }
    }

    /// A frame rate given in thousandths; NTSC rates become exact fractions.
    pub const fn from_millifps(millifps: u32) -> Self {
        match millifps {
            23_976 => Self { num: 24_000, den: 1_001 },
            29_970 => Self { num: 30_000, den: 1_001 },
            47_952 => Self { num: 48_000, den: 1_001 },
            59_940 => Self { num: 60_000, den: 1_001 },
            119_880 => Self { num: 120_000, den: 1_001 },
            whole if whole % 1_000 == 0 => Self { num: whole / 1_000, den: 1 },
            other => Self { num: other, den: 1_000 },
        }
    }
}

/// What probing found in a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// FFmpeg's demuxer name.
    pub format: String,
    /// Duration as the container states it, if it does.
    pub duration: Option<Micros>,
    /// Total bits per second, if known.
    pub bitrate: Option<u64>,
    /// The streams, in file order.
    pub streams: Vec<StreamFacts>,
    /// The chapters, in order.
    pub chapters: Vec<Chapter>,
    /// The container's tags, with lower-case keys.
    pub tags: BTreeMap<String, String>,
    /// True if it consists of several recordings, each with timestamps of its own; they follow each
    /// other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// What was left out of these facts, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What probing found about one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// Index of the stream in the file.
    pub index: u32,
    /// FFmpeg's codec name.
    pub codec: String,
    /// FFmpeg's name of the codec's profile.
    pub profile: Option<String>,
    /// ISO 639-2 language code, if given.
    pub language: Option<String>,
    /// Title as players show it.
    pub title: Option<String>,
    /// FFmpeg's dispositions: `default`, `forced`, `attached_pic`, …
    pub dispositions: Vec<String>,
    /// Identifier of the program that it belongs to, in formats that have programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
    /// Duration of this stream, if the container states it.
    pub duration: Option<Micros>,
    /// Presentation time of its first packet, relative to the start of the file.
    pub start: Option<Micros>,
    /// Bits per second, if known.
    pub bitrate: Option<u64>,
    /// Number of packets, if the container states it.
    pub packets: Option<u64>,
    /// Why it cannot be used; `None` if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Unusable>,
    /// Facts by the kind of stream.
    pub detail: StreamDetail,
}

/// Why a video or audio stream cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// Its codec is not known.
    UnknownCodec,
    /// Its codec is known, and not supported.
    UnsupportedCodec,
    /// It states no size, or no channels and sample rate.
    NoFormat,
    /// None of its first packets can be decoded.
    Undecodable,
    /// It has no packets.
    Empty,
}

/// Facts by the kind of stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamDetail {
    /// A video stream.
    Video(Box<VideoFacts>),
    /// An audio stream.
    Audio(AudioFacts),
    /// A subtitle stream.
    Subtitle {
        /// False for bitmap subtitles.
        text: bool,
    },
    /// Data and attachments.
    Other,
}

/// Facts of a video stream.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// Width in coded pixels, before rotation.
    pub width: u32,
    /// Height in coded pixels, before rotation.
    pub height: u32,
    /// Aspect ratio of a pixel; 1:1 if unknown.
    pub pixel_aspect: Rational,
    /// Average frame rate; 0 if unknown.
    pub frame_rate: Rational,
    /// True if the frame rate varies.
    pub variable_rate: bool,
    /// The lowest rate on whose grid all timestamps lie, if it is known; of interest if the frame
    /// rate varies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_rate: Option<Rational>,
    /// Rotation by a player, in degrees clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
    /// True if a player mirrors it horizontally, after rotation.
    #[serde(default)]
    pub mirrored: bool,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Bits per sample.
    pub bit_depth: u8,
    /// Chroma subsampling.
    pub chroma: Chroma,
    /// True if it has an alpha channel.
    pub alpha: bool,
    /// True if a frame consists of two fields.
    pub interlaced: bool,
    /// True if the bottom field is displayed first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bottom_first: bool,
    /// Colour space of the samples.
    pub color: Color,
    /// Maximum interval between keyframes in seconds; only set by a probe job.
    pub keyframe_interval: Option<f64>,
}

/// Chroma subsampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    /// Halved in both directions.
    #[serde(rename = "4:2:0")]
    Quarter,
    /// Halved horizontally.
    #[serde(rename = "4:2:2")]
    Half,
    /// Not subsampled.
    #[serde(rename = "4:4:4")]
    Full,
    /// No chroma: greyscale.
    #[serde(rename = "4:0:0")]
    Gray,
}

/// Colour space of a video; FFmpeg's names, `None` if the file does not state it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Color {
    /// `tv` or `pc`.
    pub range: Option<String>,
    /// `bt709`, `bt2020`, …
    pub primaries: Option<String>,
    /// `bt709`, `smpte2084`, `arib-std-b67`, …
    pub transfer: Option<String>,
    /// `bt709`, `bt2020nc`, …
    pub matrix: Option<String>,
    /// Kind of high dynamic range, by the transfer characteristic.
    pub hdr: Option<Hdr>,
    /// Peak luminance of the mastering display in cd/m², if given.
    pub mastering_peak: Option<f64>,
    /// Maximum content light level in cd/m², if given.
    pub max_content_light: Option<u32>,
}

/// Kinds of high dynamic range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hdr {
    /// SMPTE ST 2084 (PQ): HDR10 and the base layer of Dolby Vision.
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

/// Facts of an audio stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Number of channels.
    pub channels: u32,
    /// FFmpeg's name of the channel layout.
    pub layout: String,
    /// Sample rate in hertz.
    pub sample_rate: u32,
    /// FFmpeg's name of the sample format.
    pub sample_format: String,
    /// Bits per sample, where applicable.
    pub bit_depth: Option<u8>,
}

/// A chapter of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// Start, inclusive.
    pub start: Micros,
    /// End, exclusive.
    pub end: Micros,
    /// Title as players show it.
    pub title: Option<String>,
}

/// The matrix between RGB and YUV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, JPEG and WebP.
    Bt601,
    /// ITU-R BT.709: high definition.
    #[default]
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

impl VideoFacts {
    /// The matrix of its samples; if the file states none, the one that players assume for its size.
    pub fn matrix(&self) -> Matrix {
        match self.color.matrix.as_deref() {
            Some("bt709" | "gbr" | "rgb") => Matrix::Bt709,
            Some("bt2020nc" | "bt2020c") => Matrix::Bt2020,
            Some("bt470bg" | "smpte170m" | "fcc" | "smpte240m") => Matrix::Bt601,
            _ if self.width >= 1_280 || self.height >= 720 => Matrix::Bt709,
            _ => Matrix::Bt601,
        }
    }
}

impl StreamFacts {
    /// When it ends, relative to the start of the container, if its duration is known.
    pub fn end(&self) -> Option<Micros> {
        Some(self.start.unwrap_or(0).saturating_add(self.duration?))
    }

    /// True for video and audio, without cover images.
    pub fn is_played(&self) -> bool {
        match self.detail {
            StreamDetail::Video(_) => !self.is("attached_pic"),
            StreamDetail::Audio(_) => true,
            StreamDetail::Subtitle { .. } | StreamDetail::Other => false,
        }
    }

    /// True for video and audio that can be decoded.
    pub fn is_usable(&self) -> bool {
        self.is_played() && self.unusable.is_none()
    }

    /// Its video facts; `None` for an attached picture and other kinds of streams.
    pub fn video(&self) -> Option<&VideoFacts> {
        match &self.detail {
            StreamDetail::Video(video) if self.is_played() => Some(video),
            StreamDetail::Video(_)
            | StreamDetail::Audio(_)
            | StreamDetail::Subtitle { .. }
            | StreamDetail::Other => None,
        }
    }

    /// Its audio facts, if it is an audio stream.
    pub const fn audio(&self) -> Option<&AudioFacts> {
        match &self.detail {
            StreamDetail::Audio(audio) => Some(audio),
            StreamDetail::Video(_) | StreamDetail::Subtitle { .. } | StreamDetail::Other => None,
        }
    }

    /// True for subtitles.
    pub const fn is_subtitle(&self) -> bool {
        matches!(self.detail, StreamDetail::Subtitle { .. })
    }

    /// True if it has this disposition.
    pub fn is(&self, disposition: &str) -> bool {
        self.dispositions.iter().any(|d| d == disposition)
    }
}

impl MediaFacts {
    /// True for image file formats, like JPEG.
    pub fn is_image(&self) -> bool {
        (self.format.ends_with("pipe") && self.format != "yuv4mpegpipe") || self.format == "ico"
    }

    /// The video stream to use by default: of those that can be used, the one marked default, then
    /// the largest.
    pub fn video(&self) -> Option<(&StreamFacts, &VideoFacts)> {
        let usable = self.streams.iter().filter(|stream| stream.is_usable());
        let all = usable.filter_map(|stream| Some((stream, stream.video()?)));
        all.reduce(|best, next| {
            let rank = |(stream, video): &(&StreamFacts, &VideoFacts)| {
                (stream.is("default"), u64::from(video.width) * u64::from(video.height))
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// The audio stream to use by default: of the video's program, the one marked default, then the
    /// one with the most channels.
    pub fn audio(&self) -> Option<(&StreamFacts, &AudioFacts)> {
        let program = self.video().and_then(|(stream, _)| stream.program);
        self.audio_streams().reduce(|best, next| {
            let rank = |(stream, audio): &(&StreamFacts, &AudioFacts)| {
                (stream.program == program, stream.is("default"), audio.channels)
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// The cover image that is attached to an audio file.
    pub fn cover(&self) -> Option<(&StreamFacts, &VideoFacts)> {
        self.streams.iter().find_map(|stream| match &stream.detail {
            StreamDetail::Video(video) => {
                let is_cover = stream.unusable.is_none() && !stream.is_played();
                is_cover.then_some((stream, video.as_ref()))
            }
            StreamDetail::Audio(_) | StreamDetail::Subtitle { .. } | StreamDetail::Other => None,
        })
    }

    /// Every audio stream that can be used, in file order.
    pub fn audio_streams(&self) -> impl Iterator<Item = (&StreamFacts, &AudioFacts)> {
        let usable = self.streams.iter().filter(|stream| stream.is_usable());
        usable.filter_map(|stream| Some((stream, stream.audio()?)))
    }

    /// The video and audio streams that cannot be used, each with the reason.
    pub fn unusable_streams(&self) -> impl Iterator<Item = String> {
        self.streams.iter().filter(|stream| stream.is_played()).filter_map(|stream| {
            let kind = if stream.video().is_some() { "video" } else { "audio" };
            let reason = match stream.unusable? {
                Unusable::UnknownCodec => "its codec is unknown".to_owned(),
                Unusable::UnsupportedCodec => {
                    format!("the codec `{}` is not supported", stream.codec)
                }
                Unusable::NoFormat if kind == "video" => "it states no size".to_owned(),
                Unusable::NoFormat => "it states no channels and sample rate".to_owned(),
                Unusable::Undecodable => "it contains nothing that can be decoded".to_owned(),
                Unusable::Empty => "it is empty".to_owned(),
            };
            Some(format!("stream {} ({kind}) cannot be used: {reason}", stream.index))
        })
    }

    /// Every subtitle stream, in file order.
    pub fn subtitles(&self) -> impl Iterator<Item = &StreamFacts> {
        self.streams.iter().filter(|stream| stream.is_subtitle())
    }
}

impl MediaFacts {
    /// JSON for the API, with times in seconds.
    pub fn shown(&self) -> serde_json::Value {
        let mut json = serde_json::json!(self);
        if let Some(streams) = json.get_mut("streams").and_then(|s| s.as_array_mut()) {
            for stream in streams {
                flatten(stream);
                in_seconds(stream);
            }
        }
        for chapter in json.get_mut("chapters").and_then(|c| c.as_array_mut()).into_iter().flatten()
        {
            in_seconds(chapter);
        }
        in_seconds(&mut json);
        json
    }
}

/// Puts a stream's kind next to its fields instead of around them.
fn flatten(stream: &mut serde_json::Value) {
    let Some(fields) = stream.as_object_mut() else { return };
    let (kind, detail) = match fields.remove("detail") {
        Some(serde_json::Value::Object(detail)) => match detail.into_iter().next() {
            Some((kind, detail)) => (kind, detail),
            None => return,
        },
        Some(serde_json::Value::String(kind)) => (kind, serde_json::Value::Null),
        _ => return,
    };
    fields.insert("kind".to_owned(), serde_json::Value::String(kind));
    if let serde_json::Value::Object(detail) = detail {
        fields.extend(detail);
    }
    fields.retain(|_, value| !value.is_null());
}

#[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
fn in_seconds(value: &mut serde_json::Value) {
    let Some(fields) = value.as_object_mut() else { return };
    for name in ["duration", "start", "end"] {
        if let Some(micros) = fields.get(name).and_then(serde_json::Value::as_u64) {
            fields.insert(name.to_owned(), serde_json::json!(micros as f64 / 1_000_000.0));
        }
    }
}
