//! Comparison of two videos, converted to the same size, frame rate and bit depth.

use ffapi_domain::{
    job::FailureCode,
    media::{MediaFacts, Metric, Source, StreamFacts, VideoFacts},
};

use crate::{
    MediaError,
    pipeline::{
        filtergraph::{GraphInput, rotation_filters},
        flow::Flow,
    },
    quality::vmaf::{SideBySide, core_count},
};

/// The video under test and its reference, each with its stream.
struct ComparedVideos<'a> {
    distorted: (&'a StreamFacts, &'a VideoFacts),
    reference: (&'a StreamFacts, &'a VideoFacts),
}

impl<'a> ComparedVideos<'a> {
    fn of(facts: &'a [MediaFacts]) -> Result<Self, MediaError> {
        let missing = || {
            let detail = "a comparison needs video in both inputs";
            MediaError::new(FailureCode::Unsupported, detail)
        };
        let video =
            |number: usize| facts.get(number).and_then(MediaFacts::video).ok_or_else(missing);
        Ok(Self { distorted: video(0)?, reference: video(1)? })
    }

    const fn distorted(&self) -> GraphInput {
        GraphInput::Stream(Source { input: 0, stream: self.distorted.0.index })
    }

    const fn reference(&self) -> GraphInput {
        GraphInput::Stream(Source { input: 1, stream: self.reference.0.index })
    }

    /// Bits per sample during the comparison.
    const fn depth(&self) -> u32 {
        if self.reference.1.bit_depth > 8 { 10 } else { 8 }
    }

    /// The filters that convert a video to the reference's size, frame rate and format, starting at
    /// 0.
    fn align(&self, video: &VideoFacts) -> String {
        let reference = self.reference.1;
        let (width, height) = upright(reference);
        let rotation = rotation_filters(video);
        let rate = reference.frame_rate;
        let fps = if video.frame_rate == rate || rate.num == 0 {
            String::new()
        } else {
            format!("fps={}/{},", rate.num, rate.den)
        };
        let format = if self.depth() > 8 { "yuv420p10le" } else { "yuv420p" };
        let scale = if upright(video) == (width, height) {
            String::new()
        } else {
            format!("scale={width}:{height}:flags=bicubic,")
        };
        format!("{rotation}{fps}{scale}setsar=1,format={format},settb=AVTB,setpts=PTS-STARTPTS")
    }
}

/// The maximum value of a sample during the comparison.
pub(super) fn peak(facts: &[MediaFacts]) -> Result<f64, MediaError> {
    Ok(if ComparedVideos::of(facts)?.depth() > 8 { 1023.0 } else { 255.0 })
}

/// A graph that compares both videos frame by frame, by the filters of `metrics`.
pub(super) fn comparison(
    facts: &[MediaFacts],
    metrics: &[Metric],
) -> Result<(String, Vec<GraphInput>), MediaError> {
    let videos = ComparedVideos::of(facts)?;
    let count = metrics.len();
    let copies: Vec<String> = (0..count).map(|n| format!("[r{n}]")).collect();
    let mut parts = vec![
        format!("[in0]{}[d0]", videos.align(videos.distorted.1)),
        format!("[in1]{},split={count}{}", videos.align(videos.reference.1), copies.join("")),
    ];
    for (number, metric) in metrics.iter().enumerate() {
        let to = match number.checked_add(1) {
            Some(next) if next < count => format!("[d{next}]"),
            _ => "[out]".to_owned(),
        };
        // The comparison ends with the shorter video.
        let compare = format!("{}=eof_action=endall:shortest=1", metric.as_str());
        parts.push(format!("[d{number}][r{number}]{compare}{to}"));
    }
    Ok((parts.join(";"), vec![videos.distorted(), videos.reference()]))
}

/// Each video in its own graph.
pub(super) fn side_by_side<'env>(
    flow: &mut Flow<'env>,
    facts: &[MediaFacts],
) -> Result<SideBySide<'env>, MediaError> {
    let videos = ComparedVideos::of(facts)?;
    let mut aligned = |video: &VideoFacts, input| {
        flow.filter((format!("[in0]{}[out]", videos.align(video)), vec![input]), None)
    };
    Ok(SideBySide {
        distorted: aligned(videos.distorted.1, videos.distorted())?,
        reference: aligned(videos.reference.1, videos.reference())?,
        depth: videos.depth(),
        threads: core_count(),
    })
}

/// Width and height after rotation.
const fn upright(video: &VideoFacts) -> (u32, u32) {
    if video.rotation.is_multiple_of(180) {
        (video.width, video.height)
    } else {
        (video.height, video.width)
    }
}
