//! Metrics of packets, without decoding.

use ffapi_domain::media::{Analyze, MediaFacts, Metric};
use ffmpeg_the_third::Rescale;
use serde_json::{Map, Value, json};

use crate::{
    MediaError,
    heartbeat::Heartbeat,
    open,
    pipeline::work::Work,
    statistics::mean,
    units::{MICROS, seconds},
};

/// A day: the maximum number of seconds of a bitrate curve, since timestamps may be false.
const MAX_SECONDS: usize = 86_400;

/// Maximum number of keyframes that are listed.
const MAX_KEYFRAMES: usize = 50_000;

/// Adds the bits per second, and the times of the keyframes, to `result`.
pub(super) fn packets(
    request: &Analyze,
    work: &Work<'_>,
    facts: &MediaFacts,
    heartbeat: &Heartbeat<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let (file, role) = work.primary_input()?;
    let mut input = open::open(file, *role)?;
    let origin = input.origin();
    let bases: Vec<_> = input.context.streams().map(|stream| stream.time_base()).collect();
    let video = facts.video().and_then(|(stream, _)| usize::try_from(stream.index).ok());
    let mut per_second: Vec<u64> = Vec::new();
    let mut keyframes: Vec<f64> = Vec::new();
    while let Ok(Some(packet)) = input.packet() {
        heartbeat.beat();
        let base = bases.get(packet.stream()).copied().unwrap_or(MICROS);
        let at = packet.pts().or(packet.dts()).unwrap_or(0).rescale(base, MICROS);
        let at = u64::try_from(at.saturating_sub(origin)).unwrap_or(0);
        let second = usize::try_from(at / 1_000_000).unwrap_or(MAX_SECONDS);
        if second < MAX_SECONDS {
            if per_second.len() <= second {
                per_second.resize(second.saturating_add(1), 0);
            }
            if let Some(bits) = per_second.get_mut(second) {
                *bits = bits.saturating_add(packet.size() as u64 * 8);
            }
        }
        if Some(packet.stream()) == video && packet.is_key() && keyframes.len() < MAX_KEYFRAMES {
            keyframes.push(seconds(at));
        }
    }
    if request.metrics.contains(&Metric::Bitrate) {
        let total: f64 = per_second.iter().copied().map(bits).sum();
        let max = per_second.iter().max().copied().unwrap_or(0);
        let duration = facts.duration.map_or(0.0, seconds);
        result.insert(
            "bitrate".to_owned(),
            json!({ "average": total / duration.max(0.001), "max": max, "per_second": per_second }),
        );
    }
    if request.metrics.contains(&Metric::Keyframes) {
        let gaps: Vec<f64> = keyframes
            .windows(2)
            .map(|w| match w {
                [a, b] => b - a,
                _ => 0.0,
            })
            .collect();
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        let mean = mean(gaps.iter().copied());
        result.insert(
            "keyframes".to_owned(),
            json!({
                "count": keyframes.len(), "times": keyframes,
                "max_interval": longest, "mean_interval": mean,
            }),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
const fn bits(bits: u64) -> f64 {
    bits as f64
}
