//! The request bodies that create jobs: one file each.

mod analyze;
mod any;
mod convert;
mod options;
mod probe;
mod stream;
mod thumbnails;

pub(super) use self::{
    analyze::AnalyzeBody, convert::ConvertBody, probe::ProbeBody, stream::StreamBody,
    thumbnails::ThumbnailsBody,
};
pub(crate) use self::{
    any::{checked_spec, spec},
    options::{Create, PriorityWord},
};
