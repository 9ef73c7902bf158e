use serde::{Deserialize, Serialize};

use super::{AudioFilter, PlanRejection, Sound, Source};
use crate::media::{AudioCodec, AudioFacts, Container, MediaFacts, StreamFacts};

/// What happens to one sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// Which stream it comes from.
    pub source: Source,
    /// Its encoder's codec, or `copy`.
    pub codec: AudioCodec,
    /// In this order.
    pub filters: Vec<AudioFilter>,
    /// Bits per second; none for a lossless codec.
    pub bitrate: Option<u64>,
    /// Count.
    pub channels: u32,
    /// Hertz.
    pub sample_rate: u32,
    /// 24 where 16 would lose something; PCM and FLAC only.
    pub bits: u8,
    /// ISO 639, if said.
    pub language: Option<String>,
    /// What a player shows of it.
    pub title: Option<String>,
}

/// What the sound's encoder is asked for.
pub(super) struct Settings {
    pub(super) at: usize,
    pub(super) container: Container,
    pub(super) codec: AudioCodec,
    pub(super) bitrate: Option<u64>,
}

/// The sounds as they go into their encoders.
pub(super) fn finish(
    sound: Sound,
    inputs: Option<&[MediaFacts]>,
    settings: &Settings,
) -> Result<Vec<AudioPlan>, PlanRejection> {
    if sound.sources.len() > 1 && !settings.container.holds_many() {
        let name = settings.container.as_str();
        let detail = format!("{name} holds one sound; choose one in `tracks`, or use mp4 or mkv");
        return super::refuse("#/operations", detail);
    }
    sound.sources.iter().map(|source| one(*source, &sound, inputs, settings)).collect()
}

fn one(
    source: Source,
    sound: &Sound,
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
            let could = super::words(settings.container.audio().iter().map(|c| c.as_str()));
            let name = settings.container.as_str();
            let detail =
                format!("the input's {} does not go into {name} as it is; {could}", stream.codec);
            return refuse("audio_codec", detail);
        }
    }
    let most = codec.max_channels();
    if let Some(channels) = sound.channels.filter(|channels| *channels > most) {
        let detail =
            format!("`{}` carries at most {most} channels, not {channels}", codec.as_str());
        return refuse("audio_codec", detail);
    }
    let own = facts.map_or(2, |facts| facts.channels);
    // Two play everywhere; who wants more asks for them, or for a codec that loses nothing.
    let usual = if codec.is_lossless() { own.min(8) } else { own.min(2) };
    let channels = match sound.channels.unwrap_or(usual) {
        odd @ (3 | 4 | 5 | 7) if !codec.is_lossless() => odd.min(2),
        channels => channels,
    };
    let wanted = sound.sample_rate.or(facts.map(|facts| facts.sample_rate)).unwrap_or(48_000);
    let sample_rate = codec.sample_rate(wanted);
    let most = vorbis_takes(sample_rate, channels).filter(|_| codec == AudioCodec::Vorbis);
    if let Some(most) = most
        && settings.bitrate.is_some_and(|bitrate| bitrate > most)
    {
        let detail = format!(
            "vorbis of {channels} channels at {sample_rate} Hz takes up to {most} bits a second"
        );
        return refuse("audio_bitrate", detail);
    }
    Ok(AudioPlan {
        source,
        codec,
        filters: sound.filters.clone(),
        bitrate: (!codec.is_lossless()).then(|| {
            let usual = || usual_bitrate(codec, channels).min(most.unwrap_or(u64::MAX));
            settings.bitrate.unwrap_or_else(usual)
        }),
        channels,
        sample_rate,
        bits: if facts.is_some_and(is_deep) { 24 } else { 16 },
        language: stream.and_then(|stream| stream.language.clone()),
        title: stream.and_then(|stream| stream.title.clone()),
    })
}

/// True if 16 bits a sample would lose something.
fn is_deep(facts: &AudioFacts) -> bool {
    facts.bit_depth.is_some_and(|bits| bits > 16)
}

/// The most that libvorbis opens with, where that is less than anybody would ask for.
fn vorbis_takes(sample_rate: u32, channels: u32) -> Option<u64> {
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

fn usual_bitrate(codec: AudioCodec, channels: u32) -> u64 {
    let each = if codec == AudioCodec::Ac3 { 96_000 } else { 64_000 };
    each * u64::from(channels.max(2))
}
