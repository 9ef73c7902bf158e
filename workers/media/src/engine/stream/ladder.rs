//! What the renditions of a ladder are to each other.

use ffapi_domain::media::{Rendition, VideoCodec};

use crate::engine::quality::every_core;

/// The part of the largest picture's area in which what moves can still be seen as it sees it.
const SEEN_IN: u64 = 6;

/// Where the largest one stands: the order is the caller's.
pub(super) fn largest(renditions: &[Rendition]) -> usize {
    let sizes = renditions.iter().map(area).enumerate().rev();
    sizes.max_by_key(|(_, area)| *area).map_or(0, |(at, _)| at)
}

/// Where the one stands that decides for all what kind each picture is: the smallest that sees
/// enough looks ahead at the least cost. None where each decides for itself.
pub(super) fn leader(renditions: &[Rendition]) -> Option<usize> {
    let by_x264 =
        |one: &Rendition| one.video.codec == VideoCodec::H264 && one.video.placed.is_none();
    if !renditions.iter().all(by_x264) {
        return None;
    }
    let enough = renditions.get(largest(renditions)).map_or(0, area) / SEEN_IN;
    let sizes = renditions.iter().map(area).enumerate();
    sizes.filter(|(_, area)| *area >= enough).min_by_key(|(_, area)| *area).map(|(at, _)| at)
}

/// Whether a rendition has one thread: with fewer cores than renditions that follow a leader, those
/// but the largest keep them busy with one each.
pub(super) fn is_of_one_thread(rendition: &Rendition, renditions: &[Rendition]) -> bool {
    let largest = renditions.get(largest(renditions));
    let few = usize::try_from(every_core()).is_ok_and(|cores| cores < renditions.len());
    few && leader(renditions).is_some()
        && largest.is_some_and(|largest| largest.name != rendition.name)
}

/// In pixels.
const fn area(rendition: &Rendition) -> u64 {
    rendition.video.width as u64 * rendition.video.height as u64
}
