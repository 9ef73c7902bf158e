use serde::{Deserialize, Serialize};

use super::{AudioFilter, AudioTrack, PlanRejection, Source};
use crate::media::{AudioCodec, AudioFacts, Container, MediaFacts, StreamFacts};

/// The plan for one audio stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// The stream it comes from.
    pub source: Source,
    /// The encoder's codec, or `copy`.
    pub codec: AudioCodec,
    /// In this order.
    pub filters: Vec<AudioFilter>,
    /// Bits per second; `None` for a lossless codec.
    pub bitrate: Option<u64>,
    /// Number of channels.
    pub channels: u32,
    /// FFmpeg's name of the channel layout; the usual one for that number of channels if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Sample rate in hertz.
    pub sample_rate: u32,
    /// Bits per sample: 24 if the source has more than 16; PCM and FLAC only.
    pub bits: u8,
    /// ISO 639 language code, if given.
    pub language: Option<String>,
    /// Title as players show it.
    pub title: Option<String>,
}

/// Settings of the audio encoder.
pub(super) struct Settings {
    pub(super) at: usize,
    pub(super) container: Container,
    pub(super) codec: AudioCodec,
    pub(super) bitrate: Option<u64>,
}

/// The plans for the audio streams as they enter their encoders.
pub(super) fn finish(
    track: AudioTrack,
    inputs: Option<&[MediaFacts]>,
    settings: &Settings,
) -> Result<Vec<AudioPlan>, PlanRejection> {
    if track.sources.len() > 1 && !settings.container.allows_multiple_audio() {
        let name = settings.container.as_str();
        let detail =
            format!("{name} holds one audio stream; choose one in `tracks`, or use mp4 or mkv");
        return super::refuse("#/operations", detail);
    }
    track.sources.iter().map(|source| plan_track(*source, &track, inputs, settings)).collect()
}

fn plan_track(
    source: Source,
    track: &AudioTrack,
    inputs: Option<&[MediaFacts]>,
    settings: &Settings,
) -> Result<AudioPlan, PlanRejection> {
    let codec = settings.codec;
    let stream = inputs
        .and_then(|inputs| inputs.get(source.input))
        .and_then(|facts| facts.streams.iter().find(|stream| stream.index == source.stream));
    let facts = stream.and_then(StreamFacts::audio);
    let refuse = |field: &str, detail: String| {
        super::refuse(format!("#/operations/{}/{field}", settings.at), detail)
    };
    if let (AudioCodec::Copy, Some(stream)) = (codec, stream) {
        let fits = settings.container == Container::Mkv
            || AudioCodec::of_stream(&stream.codec)
                .is_some_and(|codec| settings.container.audio().contains(&codec));
        if !fits {
            let supported =
                super::list_codecs(settings.container.audio().iter().map(|c| c.as_str()));
            let name = settings.container.as_str();
            let detail = format!(
                "the input's {} does not go into {name} as it is; {supported}",
                stream.codec
            );
            return refuse("audio_codec", detail);
        }
    }
    let max = codec.max_channels();
    if let Some(channels) = track.channels.filter(|channels| *channels > max) {
        let detail = format!("`{}` carries at most {max} channels, not {channels}", codec.as_str());
        return refuse("audio_codec", detail);
    }
    let own = facts.map_or(2, |facts| facts.channels);
    // Stereo plays everywhere; more channels must be requested, or a lossless codec.
    let default = if codec.is_lossless() { own.min(max) } else { own.min(2) };
    let channels = match track.channels.unwrap_or(default) {
        odd @ (3 | 4 | 5 | 7) if !codec.is_lossless() => odd.min(2),
        channels => channels,
    };
    let wanted = track.sample_rate.or(facts.map(|facts| facts.sample_rate)).unwrap_or(48_000);
    let sample_rate = codec.sample_rate(wanted);
    let max_bitrate =
        max_vorbis_bitrate(sample_rate, channels).filter(|_| codec == AudioCodec::Vorbis);
    if let Some(max_bitrate) = max_bitrate
        && settings.bitrate.is_some_and(|bitrate| bitrate > max_bitrate)
    {
        let detail = format!(
            "vorbis of {channels} channels at {sample_rate} Hz takes up to {max_bitrate} bits/s"
        );
        return refuse("audio_bitrate", detail);
    }
    // Lossless codecs keep the channels that they were given.
    let keeps_channels = codec.is_lossless() && track.channels.is_none() && channels == own;
    let layout = facts.filter(|_| keeps_channels).map(|facts| facts.layout.clone());
    Ok(AudioPlan {
        source,
        codec,
        filters: track.filters.clone(),
        bitrate: (!codec.is_lossless()).then(|| {
            let default = || default_bitrate(codec, channels).min(max_bitrate.unwrap_or(u64::MAX));
            settings.bitrate.unwrap_or_else(default)
        }),
        channels,
        layout,
        sample_rate,
        bits: if facts.is_some_and(is_deep) { 24 } else { 16 },
        language: stream.and_then(|stream| stream.language.clone()),
        title: stream.and_then(|stream| stream.title.clone()),
    })
}

/// A note on the channels of the source that the output does not keep.
pub(super) fn mixed_down(plan: &AudioPlan, inputs: Option<&[MediaFacts]>) -> Option<String> {
    let streams = &inputs?.get(plan.source.input)?.streams;
    let own = streams.iter().find(|stream| stream.index == plan.source.stream)?.audio()?.channels;
    let is_mixed = plan.codec != AudioCodec::Copy && own > plan.channels;
    is_mixed.then(|| {
        format!("the input's audio has {own} channels, and is mixed down to {}", plan.channels)
    })
}

/// True if a sample has more than 16 bits.
fn is_deep(facts: &AudioFacts) -> bool {
    facts.bit_depth.is_some_and(|bits| bits > 16)
}

/// The maximum bitrate that libvorbis accepts, where it is low enough to matter.
fn max_vorbis_bitrate(sample_rate: u32, channels: u32) -> Option<u64> {
    let each = match (sample_rate, channels) {
        (..=8_999, 1) => 42_000,
        (..=8_999, _) => 32_000,
        (9_000..=14_999, 1) => 50_000,
        (9_000..=14_999, _) => 44_000,
        (15_000..=18_999, 1) => 100_000,
        (15_000..=25_999, _) => 86_000,
        _ => return None,
    };
    Some(each * u64::from(channels))
}

fn default_bitrate(codec: AudioCodec, channels: u32) -> u64 {
    let each = if codec == AudioCodec::Ac3 { 96_000 } else { 64_000 };
    each * u64::from(channels.max(2))
}
