use super::{MediaRequest, Numbered};
use crate::{Personal, media::PlanRejection};

impl MediaRequest {
    /// Checks that a job whose output is put at a URL makes as many files as there are URLs.
    pub(super) fn check_put(&self) -> Result<(), PlanRejection> {
        let output = self.output().and_then(Personal::as_ref).filter(|output| output.is_put());
        let Some(output) = output else { return Ok(()) };
        let refuse = |detail: &str| Err(PlanRejection::at("#/output", detail.to_owned()));
        if self.makes_folder() && !output.is_put_template() {
            return refuse(
                "the job makes a folder of files: put them at URLs of their own with `put_template`, like \
                 `https://host/{name}`",
            );
        }
        if !self.makes_folder() && output.is_put_template() {
            return refuse("the job makes one file: name its URL with `put`");
        }
        let is_numbered = output.file_name().and_then(Numbered::parse).is_some();
        let has_sidecar = match self {
            Self::Convert(convert) => convert.has_sidecar(),
            Self::Stream(_) | Self::Thumbnails(_) | Self::Probe(_) | Self::Analyze(_) => false,
        };
        if is_numbered || has_sidecar {
            return refuse(
                "the job makes several files, and `put` is the URL of one: choose a location in a store",
            );
        }
        Ok(())
    }
}
