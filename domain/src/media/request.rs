mod analyze;
mod convert;
mod probe;
mod stills;
mod stream;
mod thumbnails;

use serde::{Deserialize, Serialize};

pub(crate) use self::{analyze::check_metrics, stills::within};
pub use self::{
    analyze::{Analyze, Metric},
    convert::Convert,
    probe::Probe,
    stills::{Poster, Sprite},
    stream::{Caption, Packaging, SegmentFormat, Stream, Variant},
    thumbnails::{PictureFormat, ThumbnailMode, Thumbnails, ThumbnailsPlan},
};
use super::{Capabilities, PlanRejection, Role, plan, plan_stream};
use crate::{Personal, location::Location};

/// Media time in microseconds.
pub type Micros = u64;

/// The most files that a job leaves: what one event can list.
pub const MAX_FILES: u64 = 10_000;

/// One job's media work. Names and fields are the storage format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaRequest {
    /// One file in, one file out.
    Convert(Convert),
    /// What a file is.
    Probe(Probe),
    /// How good, loud or lively a file is.
    Analyze(Analyze),
    /// Pictures of a film.
    Thumbnails(Thumbnails),
    /// A film for adaptive streaming.
    Stream(Stream),
}

impl MediaRequest {
    /// True if media time of it is charged.
    pub const fn is_charged(&self) -> bool {
        match self {
            Self::Convert(_) | Self::Stream(_) | Self::Analyze(_) => true,
            Self::Thumbnails(_) | Self::Probe(_) => false,
        }
    }

    /// Every kind as written in JSON.
    pub const KINDS: [&'static str; 5] = ["convert", "stream", "thumbnails", "analyze", "probe"];

    /// The kind as written in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Convert(_) => "convert",
            Self::Probe(_) => "probe",
            Self::Analyze(_) => "analyze",
            Self::Thumbnails(_) => "thumbnails",
            Self::Stream(_) => "stream",
        }
    }

    /// Every file it reads, the job's own first: the plan's numbers.
    pub fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        match self {
            Self::Convert(convert) => convert.inputs(),
            Self::Probe(probe) => vec![(&probe.input, Role::Media)],
            Self::Analyze(analyze) => {
                let all = std::iter::once(&analyze.input).chain(&analyze.reference);
                all.map(|input| (input, Role::Media)).collect()
            }
            Self::Thumbnails(thumbnails) => vec![(&thumbnails.input, Role::Media)],
            Self::Stream(stream) => stream.inputs(),
        }
    }

    /// Where the bytes come from.
    pub const fn input(&self) -> &Personal<Location> {
        match self {
            Self::Convert(convert) => &convert.input,
            Self::Probe(probe) => &probe.input,
            Self::Analyze(analyze) => &analyze.input,
            Self::Thumbnails(thumbnails) => &thumbnails.input,
            Self::Stream(stream) => &stream.input,
        }
    }

    /// Where they go; none for a job that only finds something out.
    pub const fn output(&self) -> Option<&Personal<Location>> {
        match self {
            Self::Convert(convert) => Some(&convert.output),
            Self::Thumbnails(thumbnails) => Some(&thumbnails.output),
            Self::Stream(stream) => Some(&stream.output),
            Self::Probe(_) | Self::Analyze(_) => None,
        }
    }

    /// True if the output is a folder of files.
    pub const fn makes_folder(&self) -> bool {
        matches!(self, Self::Thumbnails(_) | Self::Stream(_))
    }

    /// If an output's name is taken.
    pub const fn overwrite(&self) -> Overwrite {
        match self {
            Self::Convert(convert) => convert.overwrite,
            Self::Thumbnails(thumbnails) => thumbnails.overwrite,
            Self::Stream(stream) => stream.overwrite,
            Self::Probe(_) | Self::Analyze(_) => Overwrite::Fail,
        }
    }

    /// Everything that can be known to fail before a byte is read.
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), PlanRejection> {
        match self {
            Self::Convert(convert) => plan(convert, None, capabilities).map(|_| ()),
            Self::Probe(_) => Ok(()),
            Self::Analyze(analyze) => analyze.check(),
            Self::Thumbnails(thumbnails) => thumbnails.check(),
            Self::Stream(stream) => plan_stream(stream, None, None, capabilities).map(|_| ()),
        }
    }
}

/// If the output name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// Fail, and leave what stands there.
    #[default]
    Fail,
    /// Put the new bytes in its place.
    Replace,
}
