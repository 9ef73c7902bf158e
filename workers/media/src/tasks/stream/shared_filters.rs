//! Filters that all renditions of a ladder start with, applied to each frame once.

use ffapi_domain::media::{MediaFacts, Rendition, VideoFilter, VideoPlan};
use ffmpeg_the_third::Rational;

use crate::{
    MediaError, ffi,
    heartbeat::Heartbeat,
    pipeline::{
        context::TaskContext,
        filtergraph::VideoGraph,
        filtering::Filtering,
        flow::Flow,
        frame_channel::{FrameReceiver, FrameSender},
        frame_format::FrameFormat,
    },
};

/// Frames that may be queued for each rendition.
const MAX_QUEUED_FRAMES: usize = 8;

/// The common prefix of the renditions' filters.
pub(super) struct SharedFilters<'env> {
    filtering: Filtering<'env>,
    shape: FrameFormat,
    /// The time base of frame durations: filters do not rescale those with the timestamps.
    source_time: Rational,
    /// The number of shared filters.
    filters: usize,
    branches: Vec<FrameSender>,
}

impl<'env> SharedFilters<'env> {
    /// `None` if the renditions have no common prefix.
    pub(super) fn of(
        renditions: &[Rendition],
        flow: &mut Flow<'env>,
        context: &TaskContext<'_>,
        facts: &'env [MediaFacts],
    ) -> Result<Option<Self>, MediaError> {
        let filters = common_prefix(renditions);
        let Some(first) = renditions.first().filter(|_| filters > 0) else { return Ok(None) };
        let graph = VideoGraph::of(&first.video, facts, context.scratch);
        let mut filtering = flow.filter(graph.prefix(filters, "null"), None)?;
        let shape = filtering.video_format()?;
        let source_time = filtering.source_time();
        Ok(Some(Self { filtering, shape, source_time, filters, branches: vec![] }))
    }

    /// The plan of a rendition without the shared filters, and the frames that they output.
    pub(super) fn branch(&mut self, video: &VideoPlan) -> (VideoPlan, FrameReceiver) {
        let filters = video.filters.get(self.filters..).unwrap_or_default().to_vec();
        let (sender, feed) = FrameReceiver::new(MAX_QUEUED_FRAMES, self.shape.clone());
        self.branches.push(sender);
        (VideoPlan { filters, ..video.clone() }, feed)
    }

    /// True if the faster scaler (zscale) supports the output frames.
    pub(super) fn is_planar(&self) -> bool {
        self.shape.is_planar()
    }

    /// Sends every frame to all branches until the video ends or all of them are closed.
    pub(super) fn run(mut self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        let time = self.shape.time_base();
        while let Some(mut frame) = self.filtering.next(heartbeat)? {
            ffi::rescale_duration(&mut frame, self.source_time, time);
            self.branches.retain(|branch| branch.send_shared(&frame));
            if self.branches.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// The number of filters that all renditions have in common at the start; 0 for a single rendition.
fn common_prefix(renditions: &[Rendition]) -> usize {
    let Some((first, rest)) = renditions.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return 0;
    };
    let same = |other: &Rendition| {
        let pairs = first.video.filters.iter().zip(&other.video.filters);
        // Filters that insert or move frames are not shared: they need the end of the video.
        let timed = |filter: &VideoFilter| {
            matches!(filter, VideoFilter::FromZero(_) | VideoFilter::Rate(_))
        };
        pairs.take_while(|(one, other)| one == other && !timed(one)).count()
    };
    rest.iter().map(same).min().unwrap_or(0)
}
