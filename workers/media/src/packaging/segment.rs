use ffapi_domain::media::{SegmentFormat, SegmentLayout};

/// A segment of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    /// In seconds.
    pub(crate) duration: f64,
    /// Its size in bytes, as it is stored.
    pub(crate) size: u64,
    /// Where it begins in its file, in bytes.
    pub(crate) offset: u64,
    /// Bytes from its start to the end of its keyframe, if it begins with one.
    pub(crate) keyframe_size: Option<u64>,
}

/// What precedes the segments in a single file, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SingleFileHead {
    /// The initialization segment.
    pub(crate) init: u64,
    /// The segment index, and the space that is reserved for it.
    pub(crate) index: u64,
}

/// The file of a segment, which counts from 0.
pub(super) fn segment_file(format: SegmentFormat, layout: SegmentLayout, number: usize) -> String {
    match (layout, format) {
        (SegmentLayout::SingleFile, SegmentFormat::Fmp4) => "media.mp4".to_owned(),
        (SegmentLayout::SingleFile, SegmentFormat::Ts) => "media.ts".to_owned(),
        (SegmentLayout::Files, SegmentFormat::Fmp4) => {
            format!("{:05}.m4s", number.saturating_add(1))
        }
        (SegmentLayout::Files, SegmentFormat::Ts) => format!("{:05}.ts", number.saturating_add(1)),
    }
}
