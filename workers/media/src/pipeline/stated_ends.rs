use std::time::Duration;

use ffmpeg_the_third::{Packet, Rational, Rescale, media};

use crate::{MediaError, ffi::Input, stated_size::StatedSize, units::MICROS};

/// Where the packets of an input end according to its container, and where they were found to end.
pub(crate) enum StatedEnds {
    /// The file has every byte that its header states, or states nothing.
    Whole,
    /// The end of the longest stream, whichever that is: an incomplete file lacks the end of all.
    Container { stated: i64, reached: i64, streams: Vec<(Rational, media::Type)> },
    /// The file has fewer bytes than its header states. FFmpeg corrects the durations of these formats
    /// by what is there.
    Bytes(StatedSize),
    /// The end of each stream that is used, by an index of its packets.
    Streams(Vec<StreamEnd>),
}

pub(crate) struct StreamEnd {
    base: Rational,
    /// In microseconds; `None` if it is not stated.
    stated: Option<i64>,
    /// The end of the packets so far, in microseconds.
    reached: i64,
}

impl StatedEnds {
    pub(crate) fn of(input: &Input) -> Self {
        const CORRECTED: [&str; 4] = ["avi", "caf", "w64", "wav"];
        if input.is_quicktime() {
            let streams = input.context.streams().map(|stream| {
                let (stated, base) = (Input::index_end(&stream), stream.time_base());
                StreamEnd { base, stated: stated.map(|end| end.rescale(base, MICROS)), reached: 0 }
            });
            return Self::Streams(streams.collect());
        }
        let is_corrected = CORRECTED.contains(&input.context.format().name());
        if let Some(size) = input.stated_size.filter(|size| is_corrected && size.lacks_media()) {
            return Self::Bytes(size);
        }
        match input.header_duration().filter(|_| input.is_whole != Some(true)) {
            Some(stated) => Self::Container {
                stated,
                reached: 0,
                streams: input
                    .context
                    .streams()
                    .map(|stream| (stream.time_base(), stream.parameters().medium()))
                    .collect(),
            },
            None => Self::Whole,
        }
    }

    /// True if the packets of all streams are needed to find the end.
    pub(crate) const fn counts_all(&self) -> bool {
        matches!(self, Self::Container { .. })
    }

    pub(crate) fn record(&mut self, packet: &Packet) {
        let index = packet.stream();
        let (base, reached) = match self {
            Self::Whole | Self::Bytes(_) => return,
            Self::Container { reached, streams, .. } => match streams.get(index) {
                // Packets of some audio codecs are seconds long, and do not state it.
                Some((_, media::Type::Audio)) if packet.duration() == 0 => {
                    *reached = i64::MAX;
                    return;
                }
                Some((base, _)) => (*base, reached),
                None => return,
            },
            Self::Streams(streams) => match streams.get_mut(index) {
                Some(stream) => (stream.base, &mut stream.reached),
                None => return,
            },
        };
        let Some(at) = packet.pts().or(packet.dts()) else { return };
        let end = at.saturating_add(packet.duration()).rescale(base, MICROS);
        *reached = (*reached).max(end);
    }

    /// Checks a stream that was read to the end of the input.
    pub(crate) fn check(&self, index: usize) -> Result<(), MediaError> {
        match self {
            Self::Whole => Ok(()),
            Self::Bytes(size) => {
                Err(MediaError::input(format!("{}; send the complete file", size.cut_off())))
            }
            Self::Container { stated, reached, .. } => check_complete(*reached, *stated),
            Self::Streams(streams) => match streams.get(index) {
                Some(StreamEnd { stated: Some(stated), reached, .. }) => {
                    check_complete(*reached, *stated)
                }
                _ => Ok(()),
            },
        }
    }
}

/// Rejects inputs whose packets end long before the stated end; both times are in microseconds.
fn check_complete(end: i64, expected: i64) -> Result<(), MediaError> {
    let tolerance = (expected / 50).clamp(MIN_END_TOLERANCE, MAX_END_TOLERANCE);
    if expected.saturating_sub(end) <= tolerance {
        return Ok(());
    }
    let seconds = |micros: i64| Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    Err(MediaError::input(format!(
        "the input is cut off or damaged: it ends after {:.1} s of {:.1} s; send the complete file",
        seconds(end),
        seconds(expected)
    )))
}

/// What may be missing at the end of an intact stream, in microseconds: 2 % of it within these bounds.
const MIN_END_TOLERANCE: i64 = 250_000;
const MAX_END_TOLERANCE: i64 = 1_000_000;
