use ffapi_domain::media::{Hdr, SegmentFormat, SegmentLayout};

use super::segment::{Segment, SingleFileHead, segment_file};

/// A segmented stream, with the properties that manifests state.
#[derive(Debug, Clone)]
pub(crate) struct Packaged {
    /// Its folder, relative to the manifests.
    pub(crate) folder: String,
    /// The codec string by RFC 6381.
    pub(crate) codecs: String,
    pub(crate) segments: Vec<Segment>,
    /// Bytes of a single file before its segments.
    pub(crate) head: SingleFileHead,
    pub(crate) format: SegmentFormat,
    pub(crate) layout: SegmentLayout,
    pub(crate) kind: PackagedKind,
}

#[derive(Debug, Clone)]
pub(crate) enum PackagedKind {
    Video { width: u32, height: u32, rate: f64, hdr: Option<Hdr> },
    Audio { language: Option<String>, name: String, channels: u32, sample_rate: u32 },
}

impl Packaged {
    /// The peak bitrate in bits per second: the maximum over all runs of consecutive segments that
    /// last 0.5 to 1.5 times the longest segment. Shorter runs do not matter to a player.
    pub(crate) fn peak(&self) -> u64 {
        self.peak_of(|segment| segment.size)
    }

    /// Like `peak`, counting `bytes` of each segment.
    pub(crate) fn peak_of(&self, bytes: impl Fn(&Segment) -> u64) -> u64 {
        let longest = self.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
        let mut peak = 0;
        for first in 0..self.segments.len() {
            let (mut bits, mut duration) = (0_u64, 0.0);
            for segment in self.segments.iter().skip(first) {
                bits = bits.saturating_add(bytes(segment).saturating_mul(8));
                duration += segment.duration;
                if duration > longest * 1.5 {
                    break;
                }
                if duration >= longest * 0.5 {
                    peak = peak.max(bitrate(bits, duration));
                }
            }
        }
        peak
    }

    /// The average bitrate in bits per second.
    pub(crate) fn average(&self) -> u64 {
        let bits: u64 = self.segments.iter().map(|segment| segment.size.saturating_mul(8)).sum();
        bitrate(bits, self.duration())
    }

    /// The total duration in seconds.
    pub(crate) fn duration(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// The file name of the segment `number`, which counts from 0.
    pub(crate) fn file(&self, number: usize) -> String {
        segment_file(self.format, self.layout, number)
    }

    /// True if the segments are stored in one file.
    pub(crate) fn is_single_file(&self) -> bool {
        self.layout == SegmentLayout::SingleFile
    }

    /// Width and height in pixels; `None` for audio.
    pub(crate) const fn size(&self) -> Option<(u32, u32)> {
        match self.kind {
            PackagedKind::Video { width, height, .. } => Some((width, height)),
            PackagedKind::Audio { .. } => None,
        }
    }

    pub(crate) const fn is_video(&self) -> bool {
        matches!(self.kind, PackagedKind::Video { .. })
    }
}

/// A caption track.
#[derive(Debug, Clone)]
pub(crate) struct CaptionTrack {
    pub(crate) folder: String,
    pub(crate) language: String,
    pub(crate) name: String,
}

/// Bits per second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates are shown, not counted"
)]
fn bitrate(bits: u64, seconds: f64) -> u64 {
    (bits as f64 / seconds.max(0.001)).ceil() as u64
}
