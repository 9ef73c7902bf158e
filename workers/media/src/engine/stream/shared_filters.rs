//! What all renditions of a ladder have in common is done to each picture once.

use ffapi_domain::media::{MediaFacts, Rendition, VideoFilter, VideoPlan};
use ffmpeg_the_third::Rational;

use crate::{
    MediaError,
    engine::{
        TaskContext, convert,
        filtergraph::VideoGraph,
        filtering::Filtering,
        flow::Flow,
        frame_channel::{FrameReceiver, FrameSender},
        frame_format::FrameFormat,
    },
    ffi,
    heartbeat::Heartbeat,
};

/// Pictures that may wait for each rendition.
const FRAMES: usize = 8;

/// The filters with which every rendition begins, up to where they part.
pub(super) struct SharedFilters<'env> {
    filtering: Filtering<'env>,
    shape: FrameFormat,
    /// In which filters leave it how long a picture lasts, whatever they make of its time.
    source_time: Rational,
    /// How many filters of each rendition it sees to.
    filters: usize,
    branches: Vec<FrameSender>,
}

impl<'env> SharedFilters<'env> {
    /// None where each rendition goes its own way from the beginning.
    pub(super) fn of(
        renditions: &[Rendition],
        flow: &mut Flow<'env>,
        context: &TaskContext<'_>,
        facts: &'env [MediaFacts],
    ) -> Result<Option<Self>, MediaError> {
        let filters = in_common(renditions);
        let Some(first) = renditions.first().filter(|_| filters > 0) else { return Ok(None) };
        let planar = convert::is_planar(facts, &first.video);
        let look = VideoGraph { plan: &first.video, planar, scratch: context.scratch };
        let mut filtering = flow.filter(look.look(filters, "null"), None)?;
        let shape = filtering.picture()?;
        let source_time = filtering.source_time();
        Ok(Some(Self { filtering, shape, source_time, filters, branches: vec![] }))
    }

    /// What a rendition has still to do, and the pictures to do it to.
    pub(super) fn branch(&mut self, video: &VideoPlan) -> (VideoPlan, FrameReceiver) {
        let filters = video.filters.get(self.filters..).unwrap_or_default().to_vec();
        let (sender, feed) = FrameReceiver::new(FRAMES, self.shape.clone());
        self.branches.push(sender);
        (VideoPlan { filters, ..video.clone() }, feed)
    }

    /// True if its pictures are such that the faster scaler applies.
    pub(super) fn is_planar(&self) -> bool {
        self.shape.is_planar()
    }

    /// Shows every picture to all until the film ends, or nobody wants more.
    pub(super) fn run(mut self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        let time = self.shape.time_base();
        while let Some(mut frame) = self.filtering.next(heartbeat)? {
            ffi::rescale_length(&mut frame, self.source_time, time);
            self.branches.retain(|branch| branch.show(&frame));
            if self.branches.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// With how many equal filters all of them begin; none if there is only one.
fn in_common(renditions: &[Rendition]) -> usize {
    let Some((first, rest)) = renditions.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return 0;
    };
    let same = |other: &Rendition| {
        let pairs = first.video.filters.iter().zip(&other.video.filters);
        // What makes or moves pictures belongs where the end of the film is known.
        let timed = |filter: &VideoFilter| {
            matches!(filter, VideoFilter::FromZero(_) | VideoFilter::Rate(_))
        };
        pairs.take_while(|(one, other)| one == other && !timed(one)).count()
    };
    rest.iter().map(same).min().unwrap_or(0)
}
