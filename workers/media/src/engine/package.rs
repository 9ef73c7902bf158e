//! Packets into segments, segments into manifests.

mod boxes;
mod codecs;
mod dash;
mod hls;
mod segmenter;

use ffapi_domain::media::Hdr;

pub(super) use self::{
    codecs::{aac, video as video_codec},
    dash::manifest,
    hls::{captions_playlist, iframes, master, media},
    segmenter::{Cut, Segment, Segmenter},
};

/// One stream in segments, as manifests tell of it.
#[derive(Debug, Clone)]
pub(super) struct Packaged {
    /// Its folder.
    pub(super) folder: String,
    /// RFC 6381.
    pub(super) codecs: String,
    pub(super) segments: Vec<Segment>,
    /// `m4s` or `ts`.
    pub(super) extension: &'static str,
    pub(super) kind: PackagedKind,
}

#[derive(Debug, Clone)]
pub(super) enum PackagedKind {
    Video { width: u32, height: u32, rate: f64, hdr: Option<Hdr> },
    Audio { language: Option<String>, name: String, channels: u32, sample_rate: u32 },
}

impl Packaged {
    /// Bits per second of the neighbours that have most, of all that last half to one and a half times
    /// as long as the longest segment: what is shorter says nothing of what a player must fetch.
    pub(super) fn peak(&self) -> u64 {
        self.peak_of(|segment| segment.size)
    }

    /// As `peak`, of so many bytes of each segment.
    pub(super) fn peak_of(&self, bytes: impl Fn(&Segment) -> u64) -> u64 {
        let longest = self.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
        let mut peak = 0;
        for first in 0..self.segments.len() {
            let (mut bits, mut lasts) = (0_u64, 0.0);
            for segment in self.segments.iter().skip(first) {
                bits = bits.saturating_add(bytes(segment).saturating_mul(8));
                lasts += segment.duration;
                if lasts > longest * 1.5 {
                    break;
                }
                if lasts >= longest * 0.5 {
                    peak = peak.max(segmenter::rate(bits, lasts));
                }
            }
        }
        peak
    }

    /// Bits per second over all.
    pub(super) fn average(&self) -> u64 {
        let bits: u64 = self.segments.iter().map(|segment| segment.size.saturating_mul(8)).sum();
        let lasts: f64 = self.segments.iter().map(|segment| segment.duration).sum();
        segmenter::rate(bits, lasts)
    }

    pub(super) fn lasts(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// A segment's file in the folder.
    pub(super) fn file(&self, number: usize) -> String {
        format!("{:05}.{}", number.saturating_add(1), self.extension)
    }

    /// Pixels, if it has a picture.
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

/// A text that a player can show.
#[derive(Debug, Clone)]
pub(super) struct Captioned {
    pub(super) folder: String,
    pub(super) language: String,
    pub(super) name: String,
}
