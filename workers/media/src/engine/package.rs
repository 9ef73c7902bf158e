//! Packaging: segments of encoded packets, and the manifests that list them.

mod boxes;
mod codecs;
mod dash;
mod hls;
mod segmenter;
mod sidx;

use ffapi_domain::media::{Hdr, SegmentFormat, SegmentLayout};

pub(super) use self::{
    codecs::{aac, video as video_codec},
    dash::manifest,
    hls::{captions_playlist, iframes, master, media},
    segmenter::{Segment, SegmentBoundaries, Segmented, Segmenter, SegmenterSettings},
};

/// A segmented stream, with the properties that manifests state.
#[derive(Debug, Clone)]
pub(super) struct Packaged {
    /// Its folder, relative to the manifests.
    pub(super) folder: String,
    /// The codec string by RFC 6381.
    pub(super) codecs: String,
    pub(super) segments: Vec<Segment>,
    /// Bytes of a single file before its segments.
    pub(super) head: SingleFileHead,
    pub(super) format: SegmentFormat,
    pub(super) layout: SegmentLayout,
    pub(super) kind: PackagedKind,
}

#[derive(Debug, Clone)]
pub(super) enum PackagedKind {
    Video { width: u32, height: u32, rate: f64, hdr: Option<Hdr> },
    Audio { language: Option<String>, name: String, channels: u32, sample_rate: u32 },
}

impl Packaged {
    /// The peak bitrate in bits per second: the maximum over all runs of consecutive segments that
    /// last 0.5 to 1.5 times the longest segment. Shorter runs do not matter to a player.
    pub(super) fn peak(&self) -> u64 {
        self.peak_of(|segment| segment.size)
    }

    /// Like `peak`, counting `bytes` of each segment.
    pub(super) fn peak_of(&self, bytes: impl Fn(&Segment) -> u64) -> u64 {
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
                    peak = peak.max(segmenter::bitrate(bits, duration));
                }
            }
        }
        peak
    }

    /// The average bitrate in bits per second.
    pub(super) fn average(&self) -> u64 {
        let bits: u64 = self.segments.iter().map(|segment| segment.size.saturating_mul(8)).sum();
        segmenter::bitrate(bits, self.duration())
    }

    /// The total duration in seconds.
    pub(super) fn duration(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// The file name of the segment `number`, which counts from 0.
    pub(super) fn file(&self, number: usize) -> String {
        segment_file(self.format, self.layout, number)
    }

    /// True if the segments are stored in one file.
    pub(super) fn is_single_file(&self) -> bool {
        self.layout == SegmentLayout::SingleFile
    }

    /// Width and height in pixels; `None` for audio.
    pub(super) const fn size(&self) -> Option<(u32, u32)> {
        match self.kind {
            PackagedKind::Video { width, height, .. } => Some((width, height)),
            PackagedKind::Audio { .. } => None,
        }
    }

    pub(super) const fn is_video(&self) -> bool {
        matches!(self.kind, PackagedKind::Video { .. })
    }
}

/// What precedes the segments in a single file, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SingleFileHead {
    /// The initialization segment.
    pub(super) init: u64,
    /// The segment index, and the space that is reserved for it.
    pub(super) index: u64,
}

/// The file of a segment, which counts from 0.
fn segment_file(format: SegmentFormat, layout: SegmentLayout, number: usize) -> String {
    match (layout, format) {
        (SegmentLayout::SingleFile, SegmentFormat::Fmp4) => "media.mp4".to_owned(),
        (SegmentLayout::SingleFile, SegmentFormat::Ts) => "media.ts".to_owned(),
        (SegmentLayout::Files, SegmentFormat::Fmp4) => {
            format!("{:05}.m4s", number.saturating_add(1))
        }
        (SegmentLayout::Files, SegmentFormat::Ts) => format!("{:05}.ts", number.saturating_add(1)),
    }
}

/// A caption track.
#[derive(Debug, Clone)]
pub(super) struct CaptionTrack {
    pub(super) folder: String,
    pub(super) language: String,
    pub(super) name: String,
}
