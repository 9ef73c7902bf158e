mod renderer;

use std::path::Path;

use ffapi_domain::{
    job::FailureCode,
    media::{
        Convert, Effort, Fps, Operation, Scale, ScaleMode, ThumbnailMode, Thumbnails, Transcode,
        Trim, footprint_of_frames,
    },
};

pub(super) use self::renderer::{LOOKS, ThumbnailRenderer};
use super::{
    Work, convert, frame_channel::StaticFrame, frame_seeker::FrameSeeker,
    progress::ProgressReporter,
};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    open, probe,
    protocol::{ChildMessage, Report},
};

/// Pixels of a picture when neither side is given.
const USUAL_WIDTH: u64 = 320;

/// Takes the pictures that were asked for, and reads each file back.
pub(super) fn thumbnails(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    if request.mode == ThumbnailMode::Animated {
        return animated(request, work);
    }
    let heartbeat = Heartbeat::new(work.say);
    let (file, role) = work.first()?;
    let input = open::open(file, *role)?;
    let facts = probe::probe_media(&input)?;
    (work.say)(ChildMessage::Facts(Box::new(facts.clone())));
    work.holds(footprint_of_frames(std::slice::from_ref(&facts)))?;
    let (stream, video) = facts.video().ok_or_else(no_picture)?;
    // A still picture lasts a moment, and is its own thumbnail.
    let lasts = stream.duration.or(facts.duration);
    let folder = work.output.parent().unwrap_or(Path::new("out"));
    let plan = request.plan(lasts).map_err(super::refused)?;
    let renderer = ThumbnailRenderer::open(request, plan, video, USUAL_WIDTH, folder, &heartbeat);
    let times = renderer.plan().times.clone();
    let mut extractor =
        ThumbnailExtractor { renderer, picker: FrameSeeker::open(input, stream, &heartbeat)? };
    let reporter = ProgressReporter::new(work.say, Some(times.len() as u64), 1);
    reporter.begin(0, "taking pictures");
    let mut cells = Vec::new();
    let mut files = Vec::new();
    for (number, time) in (1_u64..).zip(&times) {
        let Some(cell) = extractor.picture(*time)? else { continue };
        reporter.frame();
        reporter.reach(number);
        match request.mode {
            ThumbnailMode::Grid | ThumbnailMode::Sprite => cells.push(cell),
            ThumbnailMode::Single => files.push(extractor.renderer.write("thumbnail", &cell)?),
            _ => files.push(extractor.renderer.write(&format!("thumbnail-{number:04}"), &cell)?),
        }
    }
    if files.is_empty() && cells.is_empty() {
        return Err(MediaError::input("the input's video cannot be decoded"));
    }
    let count = files.len().max(cells.len());
    files.extend(extractor.renderer.sheets(cells, facts.duration)?);
    reporter.tell();
    Ok(Report {
        files,
        result: None,
        frames: count as u64,
        effort: Effort::of_thumbnails(request, extractor.renderer.plan()),
    })
}

fn no_picture() -> MediaError {
    MediaError::new(FailureCode::Unsupported, "the input has no picture to take a thumbnail of")
}

/// A short moving picture is a conversion: three seconds, ten pictures each.
fn animated(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    const LASTS: u64 = 3_000_000;
    let (file, role) = work.first()?;
    let facts = probe::probe_media(&open::open(file, *role)?)?;
    let plan = request.plan(facts.duration).map_err(super::refused)?;
    let start = plan.times.first().copied().unwrap_or(0);
    let extension = request.picture_format().extension();
    let width = request.width.or(request.height.is_none().then_some(320));
    let output = work.output.with_file_name(format!("preview.{extension}"));
    let fit = Scale { width, height: request.height, mode: ScaleMode::Fit };
    let convert = Convert {
        input: request.input.clone(),
        output: output
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .map_or(ffapi_domain::Personal::Erased, ffapi_domain::Personal::Clear),
        operations: vec![
            Operation::Trim(Trim { start, end: Some(start.saturating_add(LASTS)) }),
            Operation::Fps(Fps { millifps: 10_000 }),
            Operation::Scale(fit),
            Operation::Transcode(Transcode::default()),
        ],
        overwrite: request.overwrite,
    };
    convert::convert(&convert, &Work { output: &output, ..*work })
}

struct ThumbnailExtractor<'a> {
    renderer: ThumbnailRenderer<'a>,
    picker: FrameSeeker<'a>,
}

impl ThumbnailExtractor<'_> {
    /// The picture at a time, in its size; where there is a choice, one with something on it.
    fn picture(&mut self, time: u64) -> Result<Option<StaticFrame>, MediaError> {
        let choice = self.renderer.plan().choice;
        let mut best: Option<(f64, StaticFrame)> = None;
        for look in 0..=LOOKS {
            let at = time.saturating_add(choice.saturating_mul(look) / LOOKS.max(1));
            let Some(frame) = self.picker.at(at)? else { break };
            let cell = self.renderer.scaled(&frame)?;
            let (worth, good) = ThumbnailRenderer::worth(&cell);
            if choice == 0 || good {
                return Ok(Some(cell));
            }
            if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                best = Some((worth, cell));
            }
        }
        Ok(best.map(|(_, cell)| cell))
    }
}
