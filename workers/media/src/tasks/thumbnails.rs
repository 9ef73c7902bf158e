mod renderer;

use std::path::Path;

use ffapi_domain::{
    job::FailureCode,
    media::{
        Convert, Effort, Fps, JobPlan, Operation, Scale, ScaleMode, ThumbnailMode, Thumbnails,
        Transcode, Trim, footprint_of_frames,
    },
};

pub(crate) use self::renderer::{CANDIDATES, ThumbnailRenderer};
use super::convert;
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{
        frame_channel::StaticFrame,
        frame_seeker::FrameSeeker,
        progress::ProgressReporter,
        scan::{self, ScanLimit},
        work::Work,
    },
    protocol::{ChildMessage, Report},
};

/// Width of an image in pixels if neither side is given.
const DEFAULT_WIDTH: u64 = 320;

/// Extracts the requested images, and verifies each file.
pub(crate) fn thumbnails(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    if request.mode == ThumbnailMode::Animated {
        return animated(request, work);
    }
    let heartbeat = Heartbeat::new(work.say);
    let (file, _) = work.primary_input()?;
    let (facts, input) = scan::probe(file, ScanLimit::Whole, &heartbeat)?;
    (work.say)(ChildMessage::Facts(Box::new(facts.clone())));
    work.check_memory(footprint_of_frames(std::slice::from_ref(&facts)))?;
    let cover = facts.cover().filter(|_| facts.video().is_none());
    let (stream, video) = facts.video().or(cover).ok_or_else(no_video)?;
    // An image is its own thumbnail, whatever its duration.
    let still = (facts.is_image() || cover.is_some()).then_some(1);
    let duration = still.or(stream.duration).or(facts.duration);
    let folder = work.output.parent().unwrap_or(Path::new("out"));
    let plan = request.plan(duration)?;
    let renderer = ThumbnailRenderer::open(request, plan, video, DEFAULT_WIDTH, folder, &heartbeat);
    let times = renderer.plan().times.clone();
    let mut extractor = ThumbnailExtractor {
        renderer,
        seeker: FrameSeeker::open(input, &facts, stream, &heartbeat)?,
    };
    let reporter = ProgressReporter::new(work.say, Some(times.len() as u64), 1);
    reporter.begin_pass(0, "making thumbnails");
    let mut cells = Vec::new();
    let mut files = Vec::new();
    for (number, time) in (1_u64..).zip(&times) {
        let Some(cell) = extractor.extract(*time)? else { continue };
        reporter.frame();
        reporter.set_position(number);
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
    reporter.report();
    Ok(Report {
        files,
        result: None,
        frames: count as u64,
        effort: Effort::of_thumbnails(request, extractor.renderer.plan()),
        plan: Some(JobPlan::Thumbnails(extractor.renderer.plan().clone())),
    })
}

fn no_video() -> MediaError {
    MediaError::new(
        FailureCode::Unsupported,
        "the input has no video or image to take a thumbnail of",
    )
}

/// An animated preview is a conversion: three seconds at ten frames per second.
fn animated(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    const DURATION: u64 = 3_000_000;
    let (file, _) = work.primary_input()?;
    let (facts, _) = scan::probe(file, ScanLimit::Whole, &Heartbeat::new(work.say))?;
    let plan = request.plan(facts.duration)?;
    let start = plan.times.first().copied().unwrap_or(0);
    let extension = request.image_format().extension();
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
            Operation::Trim(Trim { start, end: Some(start.saturating_add(DURATION)) }),
            Operation::Fps(Fps { millifps: 10_000 }),
            Operation::Scale(fit),
            Operation::Transcode(Transcode::default()),
        ],
        overwrite: request.overwrite,
    };
    let report = convert::convert(&convert, &Work { output: &output, ..*work })?;
    Ok(Report { plan: Some(JobPlan::Thumbnails(plan)), ..report })
}

/// Extracts single images by seeking.
struct ThumbnailExtractor<'a> {
    renderer: ThumbnailRenderer<'a>,
    seeker: FrameSeeker<'a>,
}

impl ThumbnailExtractor<'_> {
    /// The image at a time, scaled; if there are several candidates, one that is not blank.
    fn extract(&mut self, time: u64) -> Result<Option<StaticFrame>, MediaError> {
        let choice = self.renderer.plan().choice;
        let mut best: Option<(f64, StaticFrame)> = None;
        for candidate in 0..=CANDIDATES {
            let at = time.saturating_add(choice.saturating_mul(candidate) / CANDIDATES.max(1));
            let Some(frame) = self.seeker.at(at)? else { break };
            let cell = self.renderer.scaled(&frame)?;
            let (detail, good) = ThumbnailRenderer::detail(&cell);
            if choice == 0 || good {
                return Ok(Some(cell));
            }
            if best.as_ref().is_none_or(|(max, _)| detail > *max) {
                best = Some((detail, cell));
            }
        }
        Ok(best.map(|(_, cell)| cell))
    }
}
