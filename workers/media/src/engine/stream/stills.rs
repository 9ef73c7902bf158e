//! Poster and sprite, taken from the frames that the renditions are made of.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::media::{MediaFacts, Source, StreamPlan, Thumbnails, VideoFacts};
use ffmpeg_the_third::{Rescale, frame};

use crate::{
    MediaError,
    engine::{
        MICROS,
        flow::Flow,
        frame_channel::{FrameReceiver, StaticFrame},
        thumbnails::{LOOKS, ThumbnailRenderer},
    },
    ffi,
    heartbeat::Heartbeat,
    protocol::MadeFile,
};

/// Pixels across, unless asked otherwise.
const POSTER_WIDTH: u64 = 1280;
const SPRITE_WIDTH: u64 = 160;

/// The pictures that a stream has beside its manifests.
pub(super) struct Stills<'a> {
    poster: Option<ThumbnailRenderer<'a>>,
    sprite: Option<ThumbnailRenderer<'a>>,
}

/// The files that were made, once the flow has run.
pub(super) type Taken = Arc<Mutex<Vec<MadeFile>>>;

impl<'a> Stills<'a> {
    /// For a film that has a picture wherever pictures are wanted.
    pub(super) fn prepare(
        (poster, sprite): (Option<&'a Thumbnails>, Option<&'a Thumbnails>),
        plan: &StreamPlan,
        video: Option<&'a VideoFacts>,
        folder: &'a Path,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Self {
        let room = |request: Option<&'a Thumbnails>, plan: &Option<_>, usual| {
            let (request, plan, video) = (request?, plan.clone()?, video?);
            Some(ThumbnailRenderer::open(request, plan, video, usual, folder, heartbeat))
        };
        Self {
            poster: room(poster, &plan.poster, POSTER_WIDTH),
            sprite: room(sprite, &plan.sprite, SPRITE_WIDTH),
        }
    }
}

/// Lets the photographers see the film as it passes.
pub(super) fn watch<'env>(
    flow: &mut Flow<'env>,
    own: &MediaFacts,
    stills: &'env Stills<'env>,
    heartbeat: &'env Heartbeat<'env>,
) -> Result<Taken, MediaError> {
    let taken = Taken::default();
    let Some((stream, _)) = own.video() else { return Ok(taken) };
    let source = Source { input: 0, stream: stream.index };
    let lasts = own.duration;
    if let Some(room) = &stills.poster {
        let (mut feed, taken) = (flow.decode(source)?, Arc::clone(&taken));
        flow.stage(move || {
            for still in Passing::watch(room, &mut feed, heartbeat)? {
                let file = room.write("poster", &still)?;
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            }
            Ok(())
        });
    }
    if let Some(room) = &stills.sprite {
        let (mut feed, taken) = (flow.decode(source)?, Arc::clone(&taken));
        flow.stage(move || {
            let files = room.sheets(Passing::watch(room, &mut feed, heartbeat)?, lasts)?;
            taken.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
            Ok(())
        });
    }
    Ok(taken)
}

/// Pictures taken of frames as they pass.
struct Passing<'a> {
    room: &'a ThumbnailRenderer<'a>,
    cells: Vec<StaticFrame>,
    /// How much there is to see on the only one, where there is a choice.
    worth: f64,
}

impl<'a> Passing<'a> {
    /// The picture shown at each of the plan's times, in its size; where there is a choice, one
    /// with something on it.
    fn watch(
        room: &'a ThumbnailRenderer<'a>,
        feed: &mut FrameReceiver,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Vec<StaticFrame>, MediaError> {
        let mut passing = Self { room, cells: vec![], worth: f64::MIN };
        let mut moments = moments(room).into_iter().peekable();
        let mut shown: Option<frame::Frame> = None;
        while moments.peek().is_some() {
            let Some(frame) = feed.next(heartbeat)? else { break };
            heartbeat.beat();
            let at = frame.pts().unwrap_or(0).rescale(feed.shape.time_base(), MICROS);
            while moments.next_if(|moment| *moment < at).is_some() {
                if passing.take(feed, shown.as_ref().unwrap_or(&frame))? {
                    return Ok(passing.cells);
                }
            }
            shown = Some(frame);
        }
        // The last picture stays until the end.
        if let Some(last) = &shown {
            for _ in moments {
                if passing.take(feed, last)? {
                    break;
                }
            }
        }
        Ok(passing.cells)
    }

    /// Takes a picture; true once it is good enough to look no further.
    fn take(&mut self, feed: &FrameReceiver, frame: &frame::Frame) -> Result<bool, MediaError> {
        let shape = feed.shape.of(frame);
        let frame = ffi::share(frame).map_err(|error| MediaError::internal("a frame", error))?;
        let cell = self.room.scaled(&StaticFrame { frame, shape })?;
        if self.room.plan().choice == 0 {
            self.cells.push(cell);
            return Ok(false);
        }
        let (worth, good) = ThumbnailRenderer::worth(&cell);
        if worth > self.worth {
            self.worth = worth;
            self.cells = vec![cell];
        }
        Ok(good)
    }
}

/// When to look, in microseconds.
fn moments(room: &ThumbnailRenderer<'_>) -> Vec<i64> {
    let plan = room.plan();
    let looks = if plan.choice == 0 { 0 } else { LOOKS };
    let moments = plan.times.iter().flat_map(|time| {
        (0..=looks).map(|look| time.saturating_add(plan.choice.saturating_mul(look) / LOOKS))
    });
    moments.map(|moment| i64::try_from(moment).unwrap_or(i64::MAX)).collect()
}
