use ffapi_domain::media::FactsLimits;
use ffmpeg_the_third::Rescale;
use serde_json::json;

use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{
        scan::{self, ScanLimit},
        work::Work,
    },
    protocol::{ChildMessage, Report},
    units::MICROS,
};

/// Probes a file: its headers, and the keyframe interval from its packets.
pub(crate) fn probe(work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let (file, _) = work.primary_input()?;
    let (mut facts, mut input) = scan::probe(file, ScanLimit::Whole, &heartbeat)?;
    (work.say)(ChildMessage::Facts(Box::new(facts.clone())));
    let video = facts.video().map(|(stream, _)| stream.index);
    let (mut packets, mut keyframes) = (0_u64, Vec::new());
    if let Some(index) = video.and_then(|video| usize::try_from(video).ok()) {
        for other in (0..facts.streams.len()).filter(|other| *other != index) {
            input.discard(other);
        }
        let base = input.context.stream(index).map_or(MICROS, |stream| stream.time_base());
        while let Ok(Some(packet)) = input.packet() {
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
            detail.keyframe_interval = gaps.max().map(crate::units::seconds);
        }
    }
    let mut result = facts.within(FactsLimits::OF_PROBE).shown();
    if let Some(fields) = result.as_object_mut() {
        fields.insert("size".to_owned(), json!(file.size()));
    }
    Ok(Report {
        files: vec![],
        result: Some(result),
        frames: packets,
        effort: ffapi_domain::media::Effort::of_probe(),
        plan: None,
    })
}
