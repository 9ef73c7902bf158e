mod analyze;
mod convert;
mod probe;
mod put;
mod stills;
mod stream;
mod thumbnails;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub(crate) use self::{analyze::check_metrics, stills::within};
pub use self::{
    analyze::{Analyze, Metric},
    convert::Convert,
    probe::Probe,
    stills::{Poster, Sprite},
    stream::{Caption, Packaging, SegmentFormat, SegmentLayout, Stream, Variant},
    thumbnails::{ImageFormat, ThumbnailMode, Thumbnails, ThumbnailsPlan},
};
use super::{Capabilities, Numbered, PlanRejection, Role, plan, plan_stream};
use crate::{JobId, Personal, location::Location};

/// Media time in microseconds.
pub type Micros = u64;

/// Maximum number of a job's output files: what one event can list.
pub const MAX_FILES: u64 = 10_000;

/// Maximum number of files that a job reads: what its media process is given at once.
pub const MAX_INPUTS: usize = 128;

/// The media work of one job. Names and fields are the storage format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaRequest {
    /// Converts a file into another.
    Convert(Convert),
    /// Returns the facts of a file.
    Probe(Probe),
    /// Measures quality, loudness or content of a file.
    Analyze(Analyze),
    /// Extracts images from a video.
    Thumbnails(Thumbnails),
    /// Prepares a video for adaptive streaming.
    Stream(Stream),
}

impl MediaRequest {
    /// True if its media time is charged.
    pub const fn is_charged(&self) -> bool {
        match self {
            Self::Convert(_) | Self::Stream(_) | Self::Analyze(_) => true,
            Self::Thumbnails(_) | Self::Probe(_) => false,
        }
    }

    /// Every kind in JSON.
    pub const KINDS: [&'static str; 5] = ["convert", "stream", "thumbnails", "analyze", "probe"];

    /// The kind in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Convert(_) => "convert",
            Self::Probe(_) => "probe",
            Self::Analyze(_) => "analyze",
            Self::Thumbnails(_) => "thumbnails",
            Self::Stream(_) => "stream",
        }
    }

    /// Every file it reads, the job's own input first, in the order in which the plan numbers them.
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

    /// The jobs whose outputs it reads.
    pub fn input_jobs(&self) -> BTreeSet<JobId> {
        let inputs = self.inputs().into_iter();
        inputs
            .filter_map(|(input, _)| match input.as_ref()? {
                Location::JobOutput { job, .. } => Some(*job),
                Location::Upload(_) | Location::Web(_) | Location::Object { .. } => None,
            })
            .collect()
    }

    /// Every location that it names, to change them.
    pub fn locations_mut(&mut self) -> Vec<&mut Personal<Location>> {
        match self {
            Self::Convert(convert) => convert.locations_mut().collect(),
            Self::Probe(probe) => vec![&mut probe.input],
            Self::Analyze(analyze) => {
                std::iter::once(&mut analyze.input).chain(&mut analyze.reference).collect()
            }
            Self::Thumbnails(thumbnails) => vec![&mut thumbnails.input, &mut thumbnails.output],
            Self::Stream(stream) => stream.locations_mut().collect(),
        }
    }

    /// Location of its input.
    pub const fn input(&self) -> &Personal<Location> {
        match self {
            Self::Convert(convert) => &convert.input,
            Self::Probe(probe) => &probe.input,
            Self::Analyze(analyze) => &analyze.input,
            Self::Thumbnails(thumbnails) => &thumbnails.input,
            Self::Stream(stream) => &stream.input,
        }
    }

    /// Location of its output; `None` for a probe or analysis.
    pub const fn output(&self) -> Option<&Personal<Location>> {
        match self {
            Self::Convert(convert) => Some(&convert.output),
            Self::Thumbnails(thumbnails) => Some(&thumbnails.output),
            Self::Stream(stream) => Some(&stream.output),
            Self::Probe(_) | Self::Analyze(_) => None,
        }
    }

    /// Files that the job writes to a store whatever its input is, as far as the request says: the output,
    /// or of a folder the files that every job of this kind has.
    pub fn certain_outputs(&self) -> Vec<Location> {
        let output = self.output().and_then(Personal::as_ref).filter(|output| !output.is_put());
        let Some(output) = output else { return vec![] };
        let children = |names: &[&str]| names.iter().map(|name| output.child(name)).collect();
        match self {
            Self::Convert(_) => {
                let numbered = output.file_name().and_then(Numbered::parse);
                vec![numbered.map_or_else(|| output.clone(), |n| output.beside(&n.name(1)))]
            }
            Self::Stream(stream) => match stream.packaging {
                Packaging::Hls => children(&["master.m3u8"]),
                Packaging::Dash => children(&["manifest.mpd"]),
                Packaging::Cmaf => children(&["master.m3u8", "manifest.mpd"]),
            },
            Self::Thumbnails(thumbnails) if thumbnails.mode == ThumbnailMode::Sprite => {
                children(&["sprite.vtt"])
            }
            Self::Thumbnails(_) | Self::Probe(_) | Self::Analyze(_) => vec![],
        }
    }

    /// True if the output is a folder of files.
    pub const fn makes_folder(&self) -> bool {
        matches!(self, Self::Thumbnails(_) | Self::Stream(_))
    }

    /// What happens if an output name is taken.
    pub const fn overwrite(&self) -> Overwrite {
        match self {
            Self::Convert(convert) => convert.overwrite,
            Self::Thumbnails(thumbnails) => thumbnails.overwrite,
            Self::Stream(stream) => stream.overwrite,
            Self::Probe(_) | Self::Analyze(_) => Overwrite::Fail,
        }
    }

    /// Checks everything that can be rejected before a byte is read.
    pub fn check(&self, capabilities: &Capabilities) -> Result<(), PlanRejection> {
        let inputs = self.inputs().len();
        if inputs > MAX_INPUTS {
            let detail = format!("a job reads at most {MAX_INPUTS} files, this one {inputs}");
            return Err(PlanRejection::at("#/input", detail));
        }
        self.check_put()?;
        match self {
            Self::Convert(convert) => plan(convert, None, capabilities).map(|_| ()),
            Self::Probe(_) => Ok(()),
            Self::Analyze(analyze) => analyze.check(),
            Self::Thumbnails(thumbnails) => thumbnails.check(),
            Self::Stream(stream) => plan_stream(stream, None, None, capabilities).map(|_| ()),
        }
    }
}

/// What happens if the output name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// Fail, and keep the existing file.
    #[default]
    Fail,
    /// Replace the existing file.
    Replace,
}
