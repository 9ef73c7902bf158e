//! Relations between the renditions of a ladder.

use ffapi_domain::media::{Rendition, VideoCodec};

use crate::quality::vmaf::core_count;

/// A rendition can lead the others if its area is at least the largest one divided by this: its
/// motion is then similar.
const MAX_LEADER_REDUCTION: u64 = 6;

/// The index of the largest rendition: they are in the order of the request.
pub(super) fn largest(renditions: &[Rendition]) -> usize {
    let sizes = renditions.iter().map(area).enumerate().rev();
    sizes.max_by_key(|(_, area)| *area).map_or(0, |(at, _)| at)
}

/// The index of the rendition that decides the frame types for all: the smallest one that is large
/// enough has the cheapest lookahead. `None` if each decides for itself.
pub(super) fn leader(renditions: &[Rendition]) -> Option<usize> {
    let by_x264 =
        |one: &Rendition| one.video.codec == VideoCodec::H264 && one.video.assigned.is_none();
    if !renditions.iter().all(by_x264) {
        return None;
    }
    let min_area = renditions.get(largest(renditions)).map_or(0, area) / MAX_LEADER_REDUCTION;
    let sizes = renditions.iter().map(area).enumerate();
    sizes.filter(|(_, area)| *area >= min_area).min_by_key(|(_, area)| *area).map(|(at, _)| at)
}

/// True if the encoder of a rendition uses one thread: with a leader and fewer cores than
/// renditions, all but the largest do, which keeps the cores busy.
pub(super) fn is_single_threaded(rendition: &Rendition, renditions: &[Rendition]) -> bool {
    let largest = renditions.get(largest(renditions));
    let few_cores = usize::try_from(core_count()).is_ok_and(|cores| cores < renditions.len());
    few_cores
        && leader(renditions).is_some()
        && largest.is_some_and(|largest| largest.name != rendition.name)
}

/// The number of pixels of a frame.
const fn area(rendition: &Rendition) -> u64 {
    rendition.video.width as u64 * rendition.video.height as u64
}
