//! Poster and sprite, taken from the same decoded frames as the renditions.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::media::{MediaFacts, Source, StreamPlan, Thumbnails, VideoFacts};
use ffmpeg_the_third::{Rescale, frame};

use crate::{
    MediaError, ffi,
    heartbeat::Heartbeat,
    pipeline::{
        flow::Flow,
        frame_channel::{FrameReceiver, StaticFrame},
    },
    protocol::VerifiedFile,
    tasks::thumbnails::{CANDIDATES, ThumbnailRenderer},
    units::MICROS,
};

/// Default width of the poster, in pixels.
const POSTER_WIDTH: u64 = 1280;
/// Default width of a sprite's images, in pixels.
const SPRITE_WIDTH: u64 = 160;

/// The requests for the images of a stream.
#[derive(Clone, Copy)]
pub(super) struct StillRequests<'a> {
    pub(super) poster: Option<&'a Thumbnails>,
    pub(super) sprite: Option<&'a Thumbnails>,
}

/// The poster and sprite of a stream, as requested.
pub(super) struct Stills<'a> {
    poster: Option<ThumbnailRenderer<'a>>,
    sprite: Option<ThumbnailRenderer<'a>>,
}

/// The image files; filled once the flow has run.
pub(super) type StillFiles = Arc<Mutex<Vec<VerifiedFile>>>;

impl<'a> Stills<'a> {
    /// Prepares the requested images; those that the plan has no times for are omitted.
    pub(super) fn prepare(
        requests: StillRequests<'a>,
        plan: &StreamPlan,
        video: Option<&'a VideoFacts>,
        folder: &'a Path,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Self {
        let renderer = |request: Option<&'a Thumbnails>, plan: &Option<_>, default_width| {
            let (request, plan, video) = (request?, plan.clone()?, video?);
            Some(ThumbnailRenderer::open(request, plan, video, default_width, folder, heartbeat))
        };
        Self {
            poster: renderer(requests.poster, &plan.poster, POSTER_WIDTH),
            sprite: renderer(requests.sprite, &plan.sprite, SPRITE_WIDTH),
        }
    }
}

/// Adds the stages that take the images from the decoded frames.
pub(super) fn add_stages<'env>(
    flow: &mut Flow<'env>,
    primary: &MediaFacts,
    stills: &'env Stills<'env>,
    heartbeat: &'env Heartbeat<'env>,
) -> Result<StillFiles, MediaError> {
    let files = StillFiles::default();
    let Some((stream, _)) = primary.video() else { return Ok(files) };
    let source = Source { input: 0, stream: stream.index };
    let duration = primary.duration;
    if let Some(renderer) = &stills.poster {
        let (mut feed, files) = (flow.decode(source)?, Arc::clone(&files));
        flow.add_stage(move || {
            for still in StillSelector::select(renderer, &mut feed, heartbeat)? {
                let file = renderer.write("poster", &still)?;
                files.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            }
            Ok(())
        });
    }
    if let Some(renderer) = &stills.sprite {
        let (mut feed, files) = (flow.decode(source)?, Arc::clone(&files));
        flow.add_stage(move || {
            let cells = StillSelector::select(renderer, &mut feed, heartbeat)?;
            let sheets = renderer.sheets(cells, duration)?;
            files.lock().unwrap_or_else(PoisonError::into_inner).extend(sheets);
            Ok(())
        });
    }
    Ok(files)
}

/// Selects images from a sequence of frames.
struct StillSelector<'a> {
    renderer: &'a ThumbnailRenderer<'a>,
    cells: Vec<StaticFrame>,
    /// The detail of the best candidate, if one of several is chosen.
    detail: f64,
}

impl<'a> StillSelector<'a> {
    /// The frame shown at each of the plan's times, scaled; if there are several candidates, one
    /// that is not blank.
    fn select(
        renderer: &'a ThumbnailRenderer<'a>,
        feed: &mut FrameReceiver,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Vec<StaticFrame>, MediaError> {
        let mut selector = Self { renderer, cells: vec![], detail: f64::MIN };
        let mut times = candidate_times(renderer).into_iter().peekable();
        let mut shown: Option<frame::Frame> = None;
        while times.peek().is_some() {
            let Some(frame) = feed.next(heartbeat)? else { break };
            heartbeat.beat();
            let at = frame.pts().unwrap_or(0).rescale(feed.shape.time_base(), MICROS);
            while times.next_if(|time| *time < at).is_some() {
                if selector.add(feed, shown.as_ref().unwrap_or(&frame))? {
                    return Ok(selector.cells);
                }
            }
            shown = Some(frame);
        }
        // The last frame is shown until the end.
        if let Some(last) = &shown {
            for _ in times {
                if selector.add(feed, last)? {
                    break;
                }
            }
        }
        Ok(selector.cells)
    }

    /// Adds a candidate; true once it is good enough to end the search.
    fn add(&mut self, feed: &FrameReceiver, frame: &frame::Frame) -> Result<bool, MediaError> {
        let shape = feed.shape.of(frame);
        let frame = ffi::share(frame).map_err(|error| MediaError::internal("a frame", error))?;
        let cell = self.renderer.scaled(&StaticFrame { frame, shape })?;
        if self.renderer.plan().choice == 0 {
            self.cells.push(cell);
            return Ok(false);
        }
        let (detail, good) = ThumbnailRenderer::detail(&cell);
        if detail > self.detail {
            self.detail = detail;
            self.cells = vec![cell];
        }
        Ok(good)
    }
}

/// The times of the candidates, in microseconds.
fn candidate_times(renderer: &ThumbnailRenderer<'_>) -> Vec<i64> {
    let plan = renderer.plan();
    let candidates = if plan.choice == 0 { 0 } else { CANDIDATES };
    let times = plan.times.iter().flat_map(|time| {
        (0..=candidates).map(|n| time.saturating_add(plan.choice.saturating_mul(n) / CANDIDATES))
    });
    times.map(|time| i64::try_from(time).unwrap_or(i64::MAX)).collect()
}
