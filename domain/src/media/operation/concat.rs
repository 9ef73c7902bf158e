use serde::{Deserialize, Serialize};

use super::{Scale, ScaleMode, scale::resize};
use crate::{
    Personal,
    location::Location,
    media::{
        MediaFacts, Micros, PlanRejection, Size, VideoFacts,
        plan::{
            AudioFilter, AudioSegment, AudioTrack, Levels, OperationPath, PlanBuilder, Segment,
            Source, VideoFilter, VideoTrack,
        },
    },
};

/// Appends other inputs to what came before, fitted to its size, frame rate and audio format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {
    /// In this order.
    pub inputs: Vec<Personal<Location>>,
}

impl Concat {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if self.inputs.is_empty() || self.inputs.len() > 20 {
            return at.refuse("inputs", "`concat` takes 1 to 20 inputs");
        }
        let numbered: Vec<(usize, Option<&MediaFacts>)> =
            self.inputs.iter().map(|_| builder.next_input()).collect();
        let known = builder.inputs.is_some();
        let Some(before) = builder.duration().or((!known).then_some(0)) else {
            return at
                .refuse("", "`concat` needs to know how long the input is, and it does not say");
        };
        // Segments have one frame rate, so that the rate does not jump at the joint.
        builder.update_video(VideoTrack::make_constant);
        let mut video_segments = Vec::new();
        let mut audio_segments = Vec::new();
        let mut after = before;
        for (index, (input, facts)) in numbered.into_iter().enumerate() {
            let field = format!("inputs/{index}");
            let video = facts.and_then(MediaFacts::video);
            if known && builder.video.is_some() && video.is_none() {
                return at.refuse(&field, "it has no video, and the input before it has");
            }
            let known_duration = facts.and_then(|facts| facts.duration);
            let Some(duration) = known_duration.or((!known).then_some(0)) else {
                return at.refuse(&field, "it does not say how long it is; convert it first");
            };
            after = after.saturating_add(duration);
            if let Some(track) = &builder.video {
                let stream = video.map_or(0, |(stream, _)| stream.index);
                let filters = video.map(|(_, video)| fit(video, track)).unwrap_or_default();
                video_segments.push(Segment { input, stream, filters, duration });
            }
            let audio_stream = facts.and_then(MediaFacts::audio).map(|(stream, _)| stream.index);
            audio_segments.push(AudioSegment { input, stream: audio_stream, duration });
        }
        builder.update_video(|track| {
            if known {
                track.filters.push(VideoFilter::Hold(before));
            }
            track.filters.push(VideoFilter::Concat(video_segments.clone()));
        });
        if builder.audio.is_some() {
            builder.update_audio(|track| {
                if known {
                    track.filters.push(AudioFilter::Fill(before));
                }
                track.filters.push(AudioFilter::Concat(audio_segments.clone()));
            });
        } else if builder.may_add_audio {
            builder.audio = begin_audio(before, &audio_segments);
        }
        builder.set_ends(known.then_some(after));
        Ok(())
    }
}

/// Audio that begins with one of the appended inputs, with silence until then; none if all of them
/// are silent. `before` is the duration of what they are appended to.
fn begin_audio(before: Micros, segments: &[AudioSegment]) -> Option<AudioTrack> {
    let first = segments.iter().position(|segment| segment.stream.is_some())?;
    let (silent, rest) = segments.split_at_checked(first)?;
    let (AudioSegment { input, stream, duration }, rest) = rest.split_first()?;
    let silent = silent.iter().map(|segment| segment.duration);
    let mut track = AudioTrack::of(Source { input: *input, stream: (*stream)? });
    track.filters.push(AudioFilter::Fill(*duration));
    track.filters.push(AudioFilter::Delay(silent.fold(before, Micros::saturating_add)));
    if !rest.is_empty() {
        track.filters.push(AudioFilter::Concat(rest.to_vec()));
    }
    Some(track)
}

/// Filters that fit a video to the one before it: scaled to its frame, with bars where necessary.
fn fit(video: &VideoFacts, to: &VideoTrack) -> Vec<VideoFilter> {
    let mut track = VideoTrack::of(video);
    if track.interlaced && !to.interlaced {
        track.deinterlace();
    }
    if to.levels == Levels::Video {
        track.normalize_levels();
    }
    if track.hdr.is_some() && to.hdr.is_none() {
        track.tonemap();
    }
    if to.levels != Levels::Rgb {
        track.convert_matrix(to.matrix);
    }
    let scale = Scale { width: Some(to.width), height: Some(to.height), mode: ScaleMode::Fit };
    let size = resize(&track, &scale);
    track.scale_to(Size { width: size.width.min(to.width), height: size.height.min(to.height) });
    let (width, height) = (track.width, track.height);
    if (width, height) != (to.width, to.height) {
        track.filters.push(VideoFilter::Pad {
            x: to.width.saturating_sub(width) / 2,
            y: to.height.saturating_sub(height) / 2,
            width: to.width,
            height: to.height,
            color: super::Paint::BLACK,
        });
    }
    if to.rate.num > 0 {
        track.filters.push(VideoFilter::Rate(to.rate));
    }
    track.filters
}
