//! What packets tell without being decoded.

use ffapi_domain::media::{Analyze, MediaFacts, Metric};
use ffmpeg_the_third::{Packet, Rescale};
use serde_json::{Map, Value, json};

use super::mean;
use crate::{
    MediaError,
    engine::{MICROS, Work, convert::seconds},
    heartbeat::Heartbeat,
    open,
};

/// A day, in seconds: what lies about its times is not told a curve of.
const LONGEST: usize = 86_400;

/// More keyframes than these are not listed: the film has nothing else.
const MAX_KEYS: usize = 50_000;

/// Bits of each second, and where the keyframes are.
pub(super) fn packets(
    request: &Analyze,
    work: &Work<'_>,
    facts: &MediaFacts,
    heartbeat: &Heartbeat<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let (file, role) = work.first()?;
    let mut input = open::open(file, *role)?;
    let origin = input.start_time().unwrap_or(0);
    let bases: Vec<_> = input.context.streams().map(|stream| stream.time_base()).collect();
    let video = facts.video().and_then(|(stream, _)| usize::try_from(stream.index).ok());
    let mut each: Vec<u64> = Vec::new();
    let mut keys: Vec<f64> = Vec::new();
    let mut packet = Packet::empty();
    while packet.read(&mut input.context).is_ok() {
        heartbeat.beat();
        let base = bases.get(packet.stream()).copied().unwrap_or(MICROS);
        let at = packet.pts().or(packet.dts()).unwrap_or(0).rescale(base, MICROS);
        let at = u64::try_from(at.saturating_sub(origin)).unwrap_or(0);
        let second = usize::try_from(at / 1_000_000).unwrap_or(LONGEST);
        if second < LONGEST {
            if each.len() <= second {
                each.resize(second.saturating_add(1), 0);
            }
            if let Some(bits) = each.get_mut(second) {
                *bits = bits.saturating_add(packet.size() as u64 * 8);
            }
        }
        if Some(packet.stream()) == video && packet.is_key() && keys.len() < MAX_KEYS {
            keys.push(seconds(at));
        }
    }
    if request.metrics.contains(&Metric::Bitrate) {
        let total: f64 = each.iter().copied().map(bits).sum();
        let most = each.iter().max().copied().unwrap_or(0);
        let lasts = facts.duration.map_or(0.0, seconds);
        result.insert(
            "bitrate".to_owned(),
            json!({ "average": total / lasts.max(0.001), "max": most, "per_second": each }),
        );
    }
    if request.metrics.contains(&Metric::Keyframes) {
        let gaps: Vec<f64> = keys
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
                "count": keys.len(), "times": keys,
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
