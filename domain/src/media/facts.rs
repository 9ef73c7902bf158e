use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Micros;

/// A ratio as FFmpeg writes it.
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

    /// As a decimal; 0 for an unknown ratio.
    pub fn as_f64(self) -> f64 {
        if self.den == 0 { 0.0 } else { f64::from(self.num) / f64::from(self.den) }
    }

    /// A frame rate given in thousandths; the television rates are meant exactly.
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

/// What opening an input told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// FFmpeg's demuxer name.
    pub format: String,
    /// As the container says; none when it does not.
    pub duration: Option<Micros>,
    /// Bits per second over all, if known.
    pub bitrate: Option<u64>,
    /// In the file's order.
    pub streams: Vec<StreamFacts>,
    /// In order.
    pub chapters: Vec<Chapter>,
    /// The container's own, keys in lower case.
    pub tags: BTreeMap<String, String>,
}

/// What is known of one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// In the file.
    pub index: u32,
    /// FFmpeg's codec name.
    pub codec: String,
    /// FFmpeg's name of the codec's profile.
    pub profile: Option<String>,
    /// ISO 639-2, if said.
    pub language: Option<String>,
    /// What a player shows of it.
    pub title: Option<String>,
    /// FFmpeg's words for what it is there for: `default`, `forced`, `attached_pic`, …
    pub dispositions: Vec<String>,
    /// Of this stream alone, if the container says.
    pub duration: Option<Micros>,
    /// When its first packet is shown, after the file's beginning.
    pub start: Option<Micros>,
    /// Bits per second, if known.
    pub bitrate: Option<u64>,
    /// Packets, if the container says.
    pub packets: Option<u64>,
    /// What it carries.
    pub detail: StreamDetail,
}

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamDetail {
    /// Pictures.
    Video(Box<VideoFacts>),
    /// Sound.
    Audio(AudioFacts),
    /// Subtitles.
    Subtitle {
        /// False for pictures of text.
        text: bool,
    },
    /// Data, attachments.
    Other,
}

/// What is known of a picture stream.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// Coded pixels, before rotation.
    pub width: u32,
    /// Coded pixels, before rotation.
    pub height: u32,
    /// Shape of a pixel; 1:1 when unknown.
    pub pixel_aspect: Rational,
    /// Average; 0 when unknown.
    pub frame_rate: Rational,
    /// True if the pictures do not come at one rate.
    pub variable_rate: bool,
    /// Clockwise degrees that a player turns it by: 0, 90, 180 or 270.
    pub rotation: u16,
    /// A player mirrors it from left to right, once it is turned.
    #[serde(default)]
    pub mirrored: bool,
    /// FFmpeg's name.
    pub pixel_format: String,
    /// Bits of a sample.
    pub bit_depth: u8,
    /// How colour is halved.
    pub chroma: Chroma,
    /// True if it can be seen through.
    pub alpha: bool,
    /// True if a picture is two fields.
    pub interlaced: bool,
    /// Of the two, the lower lines are shown first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bottom_first: bool,
    /// What the numbers mean.
    pub color: Color,
    /// Seconds between keyframes at most; filled by a probe job alone.
    pub keyframe_interval: Option<f64>,
}

/// How colour is halved against brightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    /// In both directions.
    #[serde(rename = "4:2:0")]
    Quarter,
    /// Across.
    #[serde(rename = "4:2:2")]
    Half,
    /// Not at all.
    #[serde(rename = "4:4:4")]
    Full,
    /// There is none.
    #[serde(rename = "4:0:0")]
    Gray,
}

/// What the numbers of a picture mean; FFmpeg's names, none when the file does not say.
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
    /// Of a high dynamic range; by its transfer.
    pub hdr: Option<Hdr>,
    /// Candela a square metre of the brightest mastering white, if told.
    pub mastering_peak: Option<f64>,
    /// Candela a square metre of the brightest pixel, if told.
    pub max_content_light: Option<u32>,
}

/// The kinds of high dynamic range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hdr {
    /// SMPTE 2084: HDR10 and Dolby Vision's base.
    Pq,
    /// Hybrid log-gamma.
    Hlg,
}

/// What is known of a sound stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Count.
    pub channels: u32,
    /// FFmpeg's name of their places.
    pub layout: String,
    /// Hertz.
    pub sample_rate: u32,
    /// FFmpeg's name.
    pub sample_format: String,
    /// Bits of a sample, where that means something.
    pub bit_depth: Option<u8>,
}

/// A named part of a film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// First instant.
    pub start: Micros,
    /// First instant after it.
    pub end: Micros,
    /// What a player shows.
    pub title: Option<String>,
}

impl StreamFacts {
    /// When it ends, counted from the container's first instant, if it says how long it lasts.
    pub fn end(&self) -> Option<Micros> {
        Some(self.start.unwrap_or(0).saturating_add(self.duration?))
    }

    /// Its picture; none for a cover or anything else.
    pub fn video(&self) -> Option<&VideoFacts> {
        match &self.detail {
            StreamDetail::Video(video) if !self.is("attached_pic") => Some(video),
            StreamDetail::Video(_)
            | StreamDetail::Audio(_)
            | StreamDetail::Subtitle { .. }
            | StreamDetail::Other => None,
        }
    }

    /// Its sound.
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

    /// Whether it is there for something.
    pub fn is(&self, disposition: &str) -> bool {
        self.dispositions.iter().any(|d| d == disposition)
    }
}

impl MediaFacts {
    /// True of a picture's own file format, like JPEG.
    pub fn is_a_picture(&self) -> bool {
        self.format.ends_with("_pipe")
    }

    /// The picture to take when none is chosen: the default one, then the largest.
    pub fn video(&self) -> Option<(&StreamFacts, &VideoFacts)> {
        let all = self.streams.iter().filter_map(|stream| Some((stream, stream.video()?)));
        all.reduce(|best, next| {
            let rank = |(stream, video): &(&StreamFacts, &VideoFacts)| {
                (stream.is("default"), u64::from(video.width) * u64::from(video.height))
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// The sound to take when none is chosen: the default one, then that of the most channels.
    pub fn audio(&self) -> Option<(&StreamFacts, &AudioFacts)> {
        self.sounds().reduce(|best, next| {
            let rank = |(stream, audio): &(&StreamFacts, &AudioFacts)| {
                (stream.is("default"), audio.channels)
            };
            if rank(&next) > rank(&best) { next } else { best }
        })
    }

    /// Every sound, in the file's order.
    pub fn sounds(&self) -> impl Iterator<Item = (&StreamFacts, &AudioFacts)> {
        self.streams.iter().filter_map(|stream| Some((stream, stream.audio()?)))
    }

    /// Every subtitle, in the file's order.
    pub fn subtitles(&self) -> impl Iterator<Item = &StreamFacts> {
        self.streams.iter().filter(|stream| stream.is_subtitle())
    }
}

impl MediaFacts {
    /// As users see it: times in seconds.
    pub fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::json!(self);
        if let Some(streams) = shown.get_mut("streams").and_then(|s| s.as_array_mut()) {
            for stream in streams {
                flatten(stream);
                in_seconds(stream);
            }
        }
        for chapter in
            shown.get_mut("chapters").and_then(|c| c.as_array_mut()).into_iter().flatten()
        {
            in_seconds(chapter);
        }
        in_seconds(&mut shown);
        shown
    }
}

/// A stream's kind beside its fields instead of around them.
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
