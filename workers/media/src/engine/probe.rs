use ffmpeg_the_third::{Packet, Rescale};
use serde_json::json;

use super::{MICROS, Work};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    open, probe,
    protocol::{ChildMessage, Report},
};

/// Probes a file: its headers, and the keyframe interval from its packets.
pub(super) fn probe(work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let (file, role) = work.primary_input()?;
    let mut input = open::open(file, *role)?;
    let mut facts = probe::probe_media(&input)?;
    (work.say)(ChildMessage::Facts(Box::new(facts.clone())));
    let video = facts.video().map(|(stream, _)| stream.index);
    let (mut packets, mut keyframes) = (0_u64, Vec::new());
    if let Some(index) = video.and_then(|video| usize::try_from(video).ok()) {
        for other in (0..facts.streams.len()).filter(|other| *other != index) {
            input.discard(other);
        }
        let base = input.context.stream(index).map_or(MICROS, |stream| stream.time_base());
        let mut packet = Packet::empty();
        while packet.read(&mut input.context).is_ok() {
            heartbeat.beat();
            if packet.stream() == index {
                packets = packets.saturating_add(1);
                if let (true, Some(pts)) = (packet.is_key(), packet.pts()) {
                    keyframes.push(pts.rescale(base, MICROS));
                }
            }
        }
    }
    for stream in &mut facts.streams {
        if Some(stream.index) != video {
            continue;
        }
        stream.packets = Some(packets);
        if let ffapi_domain::media::StreamDetail::Video(detail) = &mut stream.detail {
            let gaps = keyframes.windows(2).filter_map(|pair| match pair {
                [a, b] => u64::try_from(b.saturating_sub(*a)).ok(),
                _ => None,
            });
            detail.keyframe_interval = gaps.max().map(super::convert::seconds);
        }
    }
    let mut result = facts.shown();
    if let Some(fields) = result.as_object_mut() {
        fields.insert("size".to_owned(), json!(file.size()));
    }
    Ok(Report {
        files: vec![],
        result: Some(result),
        frames: packets,
        effort: ffapi_domain::media::Effort::of_probe(),
    })
}
