//! What may be asked of the media engine, what is known of an input, and the plan between them.

mod capability;
mod codec;
mod container;
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
#[cfg(test)]
mod tests;

pub use capability::Capabilities;
pub use codec::{AudioCodec, Preset, VideoCodec};
pub use container::Container;
pub use effort::{Effort, Estimate, Pace, Spent};
pub use facts::{
    AudioFacts, Chapter, Chroma, Color, Hdr, MediaFacts, Rational, StreamDetail, StreamFacts,
    VideoFacts,
};
pub use footprint::{footprint_of_frames, footprint_of_plan, footprint_of_stream};
pub use hardware::{Device, Fallback, Hardware, Placed, Pool, place, pools};
pub use magic::{EXTENSIONS, MAGIC_BYTES, Magic, magic};
pub use numbered::Numbered;
pub use operation::{
    Audio, Axis, Concat, Crop, Filter, FilterName, Flip, Fps, Operation, Pad, Paint, Pick,
    Position, Role, Rotate, Scale, ScaleMode, Speed, SubtitleMode, Subtitles, Text, Tracks,
    Transcode, Trim, Watermark,
};
pub use plan::{
    Adjust, AudioFilter, AudioPlan, CueSource, Fields, Plan, PlanRejection, RateControl, Rendition,
    Segment, SoundSegment, Source, StreamPlan, SubtitlePlan, TimeEdit, VideoFilter, VideoPlan,
    Window, plan, plan_stream,
};
pub use question::{
    LOOK, LOOK_TIMEOUT, LookAnswer, LookQuestion, PLAN, PLAN_TIMEOUT, PlanAnswer, PlanQuestion,
};
pub use request::{
    Analyze, Caption, Convert, MAX_FILES, MediaRequest, Metric, Micros, Overwrite, Packaging,
    PictureFormat, Poster, Probe, SegmentFormat, Sprite, Stream, ThumbnailMode, Thumbnails,
    ThumbnailsPlan, Variant,
};
