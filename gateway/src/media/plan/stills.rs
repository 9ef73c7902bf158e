use ffapi_domain::media;
use poem_openapi::Object;

use crate::media::value::micros_as_seconds;

/// The images that are taken of a video.
#[derive(Debug, Object)]
pub(crate) struct ThumbnailsPlan {
    /// When each is taken, in seconds.
    times: Vec<f64>,
    /// Seconds after each time in which a better frame may be found.
    choice: f64,
    /// Images in a row, if they share a file.
    columns: u32,
    /// Rows of a file, if images share one.
    rows: u32,
}

impl From<&media::ThumbnailsPlan> for ThumbnailsPlan {
    fn from(plan: &media::ThumbnailsPlan) -> Self {
        Self {
            times: plan.times.iter().copied().map(micros_as_seconds).collect(),
            choice: micros_as_seconds(plan.choice),
            columns: plan.columns,
            rows: plan.rows,
        }
    }
}
