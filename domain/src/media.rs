//! What may be asked of the media engine, what is known of an input, and the plan between them.

mod capability;
mod codec;
mod facts;
mod plan;
mod request;
#[cfg(test)]
mod tests;

pub use capability::Capabilities;
pub use codec::{AudioCodec, Container, Preset, VideoCodec};
pub use facts::{AudioFacts, MediaFacts, Rational, VideoFacts};
pub use plan::{
    AudioFilter, AudioPlan, Plan, PlanRejection, RateControl, VideoFilter, VideoPlan, plan,
};
pub use request::{
    Convert, MediaRequest, Micros, Operation, Overwrite, Scale, ScaleMode, Transcode, Trim,
};
