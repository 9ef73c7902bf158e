use ffapi_domain::media::{SegmentFormat, SegmentLayout};

/// A segment of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Segment {
    /// In seconds.
    pub(in crate::engine) duration: f64,
    /// Its size in bytes, as it is stored.
    pub(in crate::engine) size: u64,
    /// Where it begins in its file, in bytes.
    pub(in crate::engine) offset: u64,
    /// Bytes from its start to the end of its keyframe, if it begins with one.
    pub(in crate::engine) keyframe_size: Option<u64>,
}

/// What precedes the segments in a single file, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::engine) struct SingleFileHead {
    /// The initialization segment.
    pub(in crate::engine) init: u64,
    /// The segment index, and the space that is reserved for it.
    pub(in crate::engine) index: u64,
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
