//! Completes the facts of an input by its packets, where its container does not state them.

use std::time::{Duration, Instant};

use ffapi_domain::media::{MediaFacts, Role, StreamFacts, Unusable};
use ffmpeg_the_third::{Packet, Rational, Rescale};

use crate::{
    MediaError, ffi::Input, file::OpenFile, heartbeat::Heartbeat, open, probe, units::MICROS,
};

/// Stated durations that differ less than this from what the packets cover are kept, in
/// microseconds: they exclude the padding of audio codecs.
const MAX_PADDING: u64 = 250_000;

/// Opens and probes a media file; its streams' starts, ends and packet counts are those of its
/// packets, unless its index or an accurate header states them.
///
/// # Errors
/// As `open::open` and `probe::probe_media`.
pub(crate) fn probe(
    file: &OpenFile,
    limit: ScanLimit,
    heartbeat: &Heartbeat<'_>,
) -> Result<(MediaFacts, Input), MediaError> {
    let mut input = open::open(file, Role::Media)?;
    let mut facts = probe::probe_media(&input)?;
    if is_complete(&facts, &input) {
        return Ok((facts, input));
    }
    complete(&mut facts, &mut input, limit, heartbeat);
    probe::check_usable(&facts)?;
    // Another one: not every format can be read from its start again.
    Ok((facts, open::open(file, Role::Media)?))
}

/// How much of an input may be read to complete its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanLimit {
    /// All of it.
    Whole,
    /// What is read in this time; the facts are those that are stated if that is not all.
    Time(Duration),
}

/// True for images, and for inputs with an index of every packet.
fn is_complete(facts: &MediaFacts, input: &Input) -> bool {
    let mut played = facts.streams.iter().filter(|stream| stream.is_played());
    facts.is_image() || (input.is_quicktime() && played.all(|stream| stream.packets.is_some()))
}

/// What the packets of a stream cover.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// Presentation times in microseconds.
    bounds: Option<(i64, i64)>,
    packets: u64,
    /// Duration of the packets in microseconds, if they have no timestamps.
    untimed: u64,
    /// True if packets have no duration, and none is usual.
    is_vague: bool,
}

impl Span {
    fn include(&mut self, packet: &Packet, base: Rational, frame: i64) {
        self.packets = self.packets.saturating_add(1);
        let stated = packet.duration().rescale(base, MICROS);
        let duration = if stated > 0 { stated } else { frame };
        self.untimed = self.untimed.saturating_add(duration.unsigned_abs());
        self.is_vague |= duration == 0;
        let Some(at) = packet.pts().or(packet.dts()) else { return };
        let start = at.rescale(base, MICROS);
        let end = start.saturating_add(duration);
        let (first, last) = self.bounds.unwrap_or((start, end));
        self.bounds = Some((first.min(start), last.max(end)));
    }
}

fn complete(
    facts: &mut MediaFacts,
    input: &mut Input,
    limit: ScanLimit,
    heartbeat: &Heartbeat<'_>,
) {
    let started = Instant::now();
    let timings: Vec<(Rational, i64)> = input.timings().collect();
    let mut spans = vec![Span::default(); timings.len()];
    while let Ok(Some(packet)) = input.packet() {
        heartbeat.beat();
        if matches!(limit, ScanLimit::Time(limit) if started.elapsed() > limit) {
            return;
        }
        let index = packet.stream();
        if let (Some(span), Some((base, frame))) = (spans.get_mut(index), timings.get(index)) {
            span.include(&packet, *base, *frame);
        }
    }
    facts.joined = input.joins();
    if let Some(note) = early_end(input, &spans).filter(|_| !facts.joined) {
        heartbeat.note(note);
    }
    for (stream, span) in facts.streams.iter_mut().zip(spans) {
        if !stream.is_played() {
            continue;
        }
        stream.packets = Some(span.packets);
        if span.packets == 0 {
            stream.unusable.get_or_insert(Unusable::Empty);
            continue;
        }
        let Some((first, last)) = span.bounds else {
            // Raw streams have no timestamps: their frames follow each other.
            stream.start = Some(0);
            stream.duration = stream.duration.or(Some(span.untimed));
            continue;
        };
        let from_origin = |time: i64| time.saturating_sub(input.origin()).max(0).unsigned_abs();
        let (start, end) = (from_origin(first), from_origin(last));
        let covered = end.saturating_sub(start);
        // Audio packets without a duration state only where they start.
        let is_accurate = |stated: &u64| span.is_vague || stated.abs_diff(covered) <= MAX_PADDING;
        stream.start = Some(start);
        stream.duration = Some(stream.duration.filter(is_accurate).unwrap_or(covered));
    }
    let ends = facts.streams.iter().filter(|stream| stream.is_usable());
    facts.duration = ends.filter_map(StreamFacts::end).max().or(facts.duration);
}

/// Seconds are noted that a header states, and no packet has: damage that demuxers skip in silence, or a
/// wrong header.
fn early_end(input: &Input, spans: &[Span]) -> Option<String> {
    const MIN_MISSING: i64 = 1_000_000;
    // ASF is made to be played as far as it was received.
    let is_asf = input.context.format().name() == "asf";
    if let Some(size) = input.stated_size.filter(|size| is_asf && size.lacks_media()) {
        return Some(size.cut_off());
    }
    let stated = input.header_duration()?;
    let last = spans.iter().filter_map(|span| span.bounds).map(|(_, last)| last).max()?;
    let is_vague = spans.iter().any(|span| span.is_vague);
    // Some formats count their duration from the first instant, and others from zero.
    let end = last.saturating_sub(input.origin()).max(last);
    let missing = stated.saturating_sub(end);
    let seconds = |micros: i64| Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    (!is_vague && missing >= MIN_MISSING && missing > stated / 50).then(|| {
        format!(
            "the input ends after {:.1} s, though its header states {:.1} s",
            seconds(end),
            seconds(stated)
        )
    })
}
