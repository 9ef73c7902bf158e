//! Poster and sprite, taken from the frames that the renditions are made of.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use domain::media::{MediaFacts, Source, StreamPlan, Thumbnails, VideoFacts};
use ffmpeg_the_third::{Rescale, frame};

use crate::{
    MediaError,
    engine::{
        MICROS,
        feed::{Feed, Still},
        flow::Flow,
        thumbnails::{Darkroom, LOOKS},
    },
    ffi,
    protocol::MadeFile,
    pulse::Pulse,
};

/// Pixels across, unless asked otherwise.
const POSTER_WIDTH: u64 = 1280;
const SPRITE_WIDTH: u64 = 160;

/// The pictures that a stream has beside its manifests.
pub(super) struct Stills<'a> {
    poster: Option<Darkroom<'a>>,
    sprite: Option<Darkroom<'a>>,
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
        pulse: &'a Pulse<'a>,
    ) -> Self {
        let room = |request: Option<&'a Thumbnails>, plan: &Option<_>, usual| {
            let (request, plan, video) = (request?, plan.clone()?, video?);
            Some(Darkroom::open(request, plan, video, usual, folder, pulse))
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
    pulse: &'env Pulse<'env>,
) -> Result<Taken, MediaError> {
    let taken = Taken::default();
    let Some((stream, _)) = own.video() else { return Ok(taken) };
    let source = Source { input: 0, stream: stream.index };
    let lasts = own.duration;
    if let Some(room) = &stills.poster {
        let (mut feed, taken) = (flow.decode(source)?, Arc::clone(&taken));
        flow.stage(move || {
            for still in Passing::watch(room, &mut feed, pulse)? {
                let file = room.write("poster", &still)?;
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            }
            Ok(())
        });
    }
    if let Some(room) = &stills.sprite {
        let (mut feed, taken) = (flow.decode(source)?, Arc::clone(&taken));
        flow.stage(move || {
            let files = room.sheets(Passing::watch(room, &mut feed, pulse)?, lasts)?;
            taken.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
            Ok(())
        });
    }
    Ok(taken)
}

/// Pictures taken of frames as they pass.
struct Passing<'a> {
    room: &'a Darkroom<'a>,
    cells: Vec<Still>,
    /// How much there is to see on the only one, where there is a choice.
    worth: f64,
}

impl<'a> Passing<'a> {
    /// The picture shown at each of the plan's times, in its size; where there is a choice, one
    /// with something on it.
    fn watch(
        room: &'a Darkroom<'a>,
        feed: &mut Feed,
        pulse: &Pulse<'_>,
    ) -> Result<Vec<Still>, MediaError> {
        let mut passing = Self { room, cells: vec![], worth: f64::MIN };
        let mut moments = moments(room).into_iter().peekable();
        let mut shown: Option<frame::Frame> = None;
        while moments.peek().is_some() {
            let Some(frame) = feed.next(pulse)? else { break };
            pulse.beat();
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
    fn take(&mut self, feed: &Feed, frame: &frame::Frame) -> Result<bool, MediaError> {
        let shape = feed.shape.of(frame);
        let frame = ffi::share(frame).map_err(|error| MediaError::internal("a frame", error))?;
        let cell = self.room.scaled(&Still { frame, shape })?;
        if self.room.plan().choice == 0 {
            self.cells.push(cell);
            return Ok(false);
        }
        let (worth, good) = Darkroom::worth(&cell);
        if worth > self.worth {
            self.worth = worth;
            self.cells = vec![cell];
        }
        Ok(good)
    }
}

/// When to look, in microseconds.
fn moments(room: &Darkroom<'_>) -> Vec<i64> {
    let plan = room.plan();
    let looks = if plan.choice == 0 { 0 } else { LOOKS };
    let moments = plan.times.iter().flat_map(|time| {
        (0..=looks).map(|look| time.saturating_add(plan.choice.saturating_mul(look) / LOOKS))
    });
    moments.map(|moment| i64::try_from(moment).unwrap_or(i64::MAX)).collect()
}
