//! The tasks of a media child, one file each: they plan, run passes over the inputs, and report.

pub(crate) mod analyze;
pub(crate) mod convert;
pub(crate) mod passes;
pub(crate) mod probe;
pub(crate) mod stream;
pub(crate) mod thumbnails;
