use serde::{Deserialize, Serialize};

use super::{Scale, ScaleMode, scale::resize};
use crate::{
    Personal,
    location::Location,
    media::{
        MediaFacts, PlanRejection, VideoFacts,
        plan::{
            AudioFilter, Draft, Levels, Picture, Place, Segment, SoundSegment, VideoFilter, Window,
        },
    },
};

/// Puts other films behind what came before, fitted to its size, rate and sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {
    /// In this order.
    pub inputs: Vec<Personal<Location>>,
}

impl Concat {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if self.inputs.is_empty() || self.inputs.len() > 20 {
            return at.refuse("inputs", "`concat` takes 1 to 20 inputs");
        }
        let numbered: Vec<(usize, Option<&MediaFacts>)> =
            self.inputs.iter().map(|_| draft.next_input()).collect();
        let known = draft.inputs.is_some();
        let Some(before) = draft.duration.or((!known).then_some(0)) else {
            return at
                .refuse("", "`concat` needs to know how long the input is, and it does not say");
        };
        let mut pictures = Vec::new();
        let mut sounds = Vec::new();
        let mut after = before;
        for (place, (input, facts)) in numbered.into_iter().enumerate() {
            let field = format!("inputs/{place}");
            let video = facts.and_then(MediaFacts::video);
            if known && draft.picture.is_some() && video.is_none() {
                return at.refuse(&field, "it has no picture, and the film before it has one");
            }
            let lasts = facts.and_then(|facts| facts.duration);
            let Some(duration) = lasts.or((!known).then_some(0)) else {
                return at.refuse(&field, "it does not say how long it is; convert it first");
            };
            after = after.saturating_add(duration);
            if let Some(picture) = &draft.picture {
                let stream = video.map_or(0, |(stream, _)| stream.index);
                let filters = video.map(|(_, video)| fit(video, picture)).unwrap_or_default();
                pictures.push(Segment { input, stream, filters, duration });
            }
            let sound = facts.and_then(MediaFacts::audio).map(|(stream, _)| stream.index);
            sounds.push(SoundSegment { input, stream: sound, duration });
        }
        let window = Window { start: 0, end: Some(before) };
        draft.on_picture(|picture| {
            // Segments have one rate, so that the joint is no jump in it.
            if picture.rate.num > 0 {
                picture.filters.push(VideoFilter::Rate(picture.rate));
                picture.variable_rate = false;
            }
            if known {
                picture.filters.push(VideoFilter::Hold(before));
            }
            picture.filters.push(VideoFilter::Concat(pictures.clone()));
        });
        draft.on_sound(|sound| {
            if known {
                sound.filters.push(AudioFilter::Fill(window.end.unwrap_or(0)));
            }
            sound.filters.push(AudioFilter::Concat(sounds.clone()));
        });
        draft.duration = known.then_some(after);
        Ok(())
    }
}

/// What makes a film look like the one before it: inside its picture, with bars where it must.
fn fit(video: &VideoFacts, to: &Picture) -> Vec<VideoFilter> {
    let mut picture = Picture::of(video);
    if picture.interlaced && !to.interlaced {
        picture.deinterlace();
    }
    if to.levels == Levels::Video {
        picture.level();
    }
    if picture.hdr.is_some() && to.hdr.is_none() {
        picture.tonemap();
    }
    let scale = Scale { width: Some(to.width), height: Some(to.height), mode: ScaleMode::Fit };
    let size = resize(&picture, &scale);
    picture.scale_to((size.0.min(to.width), size.1.min(to.height)));
    let (width, height) = (picture.width, picture.height);
    if (width, height) != (to.width, to.height) {
        picture.filters.push(VideoFilter::Pad {
            x: to.width.saturating_sub(width) / 2,
            y: to.height.saturating_sub(height) / 2,
            width: to.width,
            height: to.height,
            color: super::Paint::BLACK,
        });
    }
    if to.rate.num > 0 {
        picture.filters.push(VideoFilter::Rate(to.rate));
    }
    picture.filters
}
