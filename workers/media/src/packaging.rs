//! Packaging: output files, segments of encoded packets, and the manifests that list them.

mod boxes;
mod codecs;
mod dash;
mod hls;
pub(crate) mod mux;
mod packaged;
mod segment;
mod segmenter;
mod sidx;

pub(crate) use self::{
    codecs::{aac, video as video_codec},
    dash::manifest,
    hls::{KeyframePlaylists, captions_playlist, iframes, master, media},
    packaged::{CaptionTrack, Packaged, PackagedKind},
    segment::SingleFileHead,
    segmenter::{SegmentBoundaries, Segmented, Segmenter, SegmenterSettings},
};
