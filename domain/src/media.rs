//! Media requests, the facts of their inputs, and the plan that is resolved from both.

mod capability;
mod codec;
mod container;
mod content_type;
mod effort;
mod facts;
mod footprint;
mod hardware;
mod magic;
mod numbered;
mod operation;
mod plan;
mod question;
mod request;
mod size;
#[cfg(test)]
mod tests;
mod text_head;

pub use capability::{Capabilities, Engine};
pub use codec::{AudioCodec, Preset, VideoCodec};
pub use container::Container;
pub use content_type::content_type;
pub use effort::{Effort, Estimate, Pace, Spent};
pub use facts::{
    AudioFacts, Chapter, Chroma, Color, FactsLimits, Hdr, Matrix, MediaFacts, Rational,
    StreamDetail, StreamFacts, Unusable, VideoFacts,
};
pub use footprint::{footprint_of_frames, footprint_of_plan, footprint_of_stream};
pub use hardware::{AssignedDevice, Device, Fallback, Hardware, Pool, assign_pool, pools};
pub use magic::{
    MAGIC_BYTES, Magic, foreign, has_known_extension, image_demuxers, magic, media_demuxers,
    unexpected_format,
};
pub use numbered::Numbered;
pub use operation::{
    Audio, Axis, Concat, Crop, Filter, FilterName, Flip, Fps, Operation, Pad, Paint, Pick,
    Position, Role, Rotate, Scale, ScaleMode, Speed, SubtitleMode, Subtitles, Text, Tracks,
    Transcode, Trim, Watermark,
};
pub use plan::{
    Adjust, AnalyzePlan, AudioFilter, AudioPlan, AudioSegment, CueSource, DryRun, Fields, JobPlan,
    Plan, PlanRejection, ProbePlan, RateControl, Rendition, Segment, Source, StreamPlan,
    SubtitlePlan, TimeEdit, VideoFilter, VideoPlan, Window, check_segments, plan, plan_stream,
};
pub use question::{
    PLAN, PLAN_TIMEOUT, PROBE_UPLOAD, PROBE_UPLOAD_TIMEOUT, PlanRequest, PlanResponse,
    ProbeUploadRequest, ProbeUploadResponse,
};
pub use request::{
    Analyze, Caption, Convert, ImageFormat, MAX_FILES, MAX_INPUTS, MediaRequest, Metric, Micros,
    Overwrite, Packaging, Poster, Probe, SegmentFormat, SegmentLayout, Sprite, Stream,
    ThumbnailMode, Thumbnails, ThumbnailsPlan, Variant,
};
pub use size::Size;
pub use text_head::subtitle_demuxers;
