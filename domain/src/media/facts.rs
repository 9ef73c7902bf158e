use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Duration of this stream, if the container states it.
    pub duration: Option<Micros>,
    /// Presentation time of its first packet, relative to the start of the file.
    pub start: Option<Micros>,
    /// Bits per second, if known.
    pub bitrate: Option<u64>,
    /// Number of packets, if the container states it.
    pub packets: Option<u64>,
    /// Facts by the kind of stream.
    pub detail: StreamDetail,
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

impl StreamFacts {
    /// When it ends, relative to the start of the container, if its duration is known.
    pub fn end(&self) -> Option<Micros> {
        Some(self.start.unwrap_or(0).saturating_add(self.duration?))
    }

    /// Its video facts; `None` for an attached picture and other kinds of streams.
    pub fn video(&self) -> Option<&VideoFacts> {
        match &self.detail {
            StreamDetail::Video(video) if !self.is("attached_pic") => Some(video),
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
        self.format.ends_with("_pipe")
    }

    /// The video stream to use by default: the one marked default, then the largest.
    pub fn video(&self) -> Option<(&StreamFacts, &VideoFacts)> {
        let all = self.streams.iter().filter_map(|stream| Some((stream, stream.video()?)));
        all.reduce(|best, next| {
            let rank = |(stream, video): &(&StreamFacts, &VideoFacts)| {
                (stream.is("default"), u64::from(video.width) * u64::from(video.height))
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// The audio stream to use by default: the one marked default, then the one with the most
    /// channels.
    pub fn audio(&self) -> Option<(&StreamFacts, &AudioFacts)> {
        self.audio_streams().reduce(|best, next| {
            let rank = |(stream, audio): &(&StreamFacts, &AudioFacts)| {
                (stream.is("default"), audio.channels)
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// Every audio stream, in file order.
    pub fn audio_streams(&self) -> impl Iterator<Item = (&StreamFacts, &AudioFacts)> {
        self.streams.iter().filter_map(|stream| Some((stream, stream.audio()?)))
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
