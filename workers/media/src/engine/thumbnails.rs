use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    time::Instant,
};

use domain::{
    job::{FailureCode, StreamSummary},
    media::{
        Convert, Fps, Operation, PictureFormat, RateControl, Rational, Scale, ScaleMode, Source,
        ThumbnailMode, Thumbnails, ThumbnailsPlan, Transcode, Trim, VideoCodec, VideoFacts,
        VideoPlan,
    },
};
use ffmpeg_the_third::{Packet, frame};

use super::{
    Work,
    analyze::mean,
    convert,
    encoder::{self, Canvas},
    filtering::{Feed, Filtering, Shape, Still},
    picker::Picker,
    tally::Tally,
};
use crate::{
    MediaError, ffi,
    ffi::EncoderPass,
    open, probe,
    protocol::{MadeFile, Report, Said},
    pulse::Pulse,
};

/// Takes the pictures that were asked for, and reads each file back.
pub(super) fn thumbnails(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    let start = Instant::now();
    if request.mode == ThumbnailMode::Animated {
        return animated(request, work);
    }
    let pulse = Pulse::new(work.say);
    let (path, role) = work.first()?;
    let input = open::open(path, *role)?;
    let facts = probe::probe_media(&input)?;
    (work.say)(Said::Facts(Box::new(facts.clone())));
    let (stream, video) = facts.video().ok_or_else(no_picture)?;
    // A still picture lasts a moment, and is its own thumbnail.
    let plan = request.plan(stream.duration.or(facts.duration)).map_err(super::refused)?;
    let mut studio = PictureStudio {
        request,
        plan: &plan,
        size: size(request, video),
        video,
        picker: Picker::open(input, stream, &pulse)?,
        pulse: &pulse,
        folder: work.output.parent().unwrap_or(Path::new("out")),
    };
    let tally = Tally::new(work.say, Some(plan.times.len() as u64), 1);
    tally.begin(0, "taking pictures");
    let mut cells = Vec::new();
    let mut files = Vec::new();
    for (number, time) in (1_u64..).zip(&plan.times) {
        let Some(cell) = studio.picture(*time)? else { continue };
        tally.frame();
        tally.reach(number);
        match request.mode {
            ThumbnailMode::Grid | ThumbnailMode::Sprite => cells.push(cell),
            ThumbnailMode::Single => files.push(studio.write("thumbnail", &cell)?),
            _ => files.push(studio.write(&format!("thumbnail-{number:04}"), &cell)?),
        }
    }
    if files.is_empty() && cells.is_empty() {
        return Err(MediaError::input("the input's video cannot be decoded"));
    }
    let count = files.len().max(cells.len());
    files.extend(studio.sheets(cells, facts.duration)?);
    tally.tell();
    Ok(Report { files, result: None, frames: count as u64, elapsed: start.elapsed().as_secs_f64() })
}

fn no_picture() -> MediaError {
    MediaError::new(FailureCode::Unsupported, "the input has no picture to take a thumbnail of")
}

/// A short moving picture is a conversion: three seconds, ten pictures each.
fn animated(request: &Thumbnails, work: &Work<'_>) -> Result<Report, MediaError> {
    const LASTS: u64 = 3_000_000;
    let (path, role) = work.first()?;
    let facts = probe::probe_media(&open::open(path, *role)?)?;
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
            .map_or(domain::Personal::Erased, domain::Personal::Clear),
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

/// The size of one picture: as asked, or 320 wide.
fn size(request: &Thumbnails, video: &VideoFacts) -> (u32, u32) {
    let (width, height) = if video.rotation.is_multiple_of(180) {
        (u64::from(video.width), u64::from(video.height))
    } else {
        (u64::from(video.height), u64::from(video.width))
    };
    let Rational { num, den } = video.pixel_aspect;
    let (num, den) = if video.rotation.is_multiple_of(180) { (num, den) } else { (den, num) };
    let shown = width.saturating_mul(u64::from(num)) / u64::from(den.max(1));
    let even = |side: u64| u32::try_from(side.clamp(16, 4096) / 2 * 2).unwrap_or(16);
    let follow = |side: u32, a: u64, b: u64| even(u64::from(side).saturating_mul(a) / b.max(1));
    match (request.width, request.height) {
        (Some(width), Some(height)) => (even(width.into()), even(height.into())),
        (Some(width), None) => (even(width.into()), follow(width, height, shown)),
        (None, Some(high)) => (follow(high, shown, height), even(high.into())),
        (None, None) => {
            let width = even(shown.min(320));
            (width, follow(width, height, shown))
        }
    }
}

struct PictureStudio<'a> {
    request: &'a Thumbnails,
    plan: &'a ThumbnailsPlan,
    size: (u32, u32),
    video: &'a VideoFacts,
    picker: Picker<'a>,
    pulse: &'a Pulse<'a>,
    folder: &'a Path,
}

/// Less spread of brightness than this is a picture of nothing.
const BLANK: f64 = 12.0;
/// Looks at a better picture this often before taking the best of what was seen.
const LOOKS: u64 = 8;

impl PictureStudio<'_> {
    /// The picture at a time, in its size; where there is a choice, one with something on it.
    fn picture(&mut self, time: u64) -> Result<Option<Still>, MediaError> {
        let mut best: Option<(f64, Still)> = None;
        for look in 0..=LOOKS {
            let at = time.saturating_add(self.plan.choice.saturating_mul(look) / LOOKS.max(1));
            let Some(frame) = self.picker.at(at)? else { break };
            let cell = self.scaled(frame)?;
            if self.plan.choice == 0 {
                return Ok(Some(cell));
            }
            let spread = spread(&cell.frame);
            if spread >= BLANK {
                return Ok(Some(cell));
            }
            if best.as_ref().is_none_or(|(most, _)| spread > *most) {
                best = Some((spread, cell));
            }
        }
        Ok(best.map(|(_, cell)| cell))
    }

    fn scaled(&self, still: Still) -> Result<Still, MediaError> {
        let (width, height) = self.size;
        let turn = match self.video.rotation {
            90 => "transpose=clock,",
            180 => "hflip,vflip,",
            270 => "transpose=cclock,",
            _ => "",
        };
        let field = if self.video.interlaced { "bwdif=mode=send_frame:deint=all," } else { "" };
        let light = match self.video.color.hdr {
            Some(hdr) => format!("{},", super::script::tonemap(hdr, 1_000.0)),
            None => String::new(),
        };
        let text = format!(
            "[in0]{field}{turn}{light}scale={width}:{height}:flags=bicubic,setsar=1,\
             format={}[out]",
            self.pixel_format()
        );
        let mut filtering = Filtering::build(&text, vec![still.feed()?])?;
        let frame = filtering.next(self.pulse)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "gave no picture"))?;
        let shape = still.shape.of(&frame);
        Ok(Still { frame, shape })
    }

    fn pixel_format(&self) -> &'static str {
        match self.request.picture_format() {
            PictureFormat::Jpeg => "yuvj420p",
            PictureFormat::Png if self.video.alpha => "rgba",
            PictureFormat::Png => "rgb24",
            PictureFormat::Webp | PictureFormat::Gif => "yuv420p",
        }
    }

    /// Puts pictures that share files on them, and says what is where.
    fn sheets(
        &self,
        cells: Vec<Still>,
        duration: Option<u64>,
    ) -> Result<Vec<MadeFile>, MediaError> {
        let Some(first) = cells.first() else { return Ok(vec![]) };
        let shape = first.shape.clone();
        let (columns, rows) = (self.plan.columns.max(1), self.plan.rows.max(1));
        let on_sheet = usize::try_from(columns.saturating_mul(rows)).unwrap_or(1);
        let count = cells.len();
        let mut files = Vec::new();
        let mut cells = cells.into_iter();
        loop {
            let some: Vec<frame::Frame> =
                cells.by_ref().take(on_sheet).map(|cell| cell.frame).collect();
            if some.is_empty() {
                break;
            }
            let sheet = self.tile(some, &shape, (columns, rows))?;
            let name = match self.request.mode {
                ThumbnailMode::Grid => "grid".to_owned(),
                _ => format!("sprite-{}", files.len().saturating_add(1)),
            };
            files.push(self.write(&name, &sheet)?);
        }
        if self.request.mode == ThumbnailMode::Sprite {
            let path = self.folder.join("sprite.vtt");
            let text = self.webvtt(count, on_sheet, duration);
            fs::write(&path, text).map_err(|e| MediaError::internal("the sprite's text", e))?;
            files.push(MadeFile::plain(&path, duration.map(convert::seconds)));
        }
        Ok(files)
    }

    fn tile(
        &self,
        cells: Vec<frame::Frame>,
        shape: &Shape,
        (columns, rows): (u32, u32),
    ) -> Result<Still, MediaError> {
        let (send, frames) = sync_channel(cells.len().max(1));
        for (number, mut cell) in (0_i64..).zip(cells) {
            cell.set_pts(Some(number));
            let _ = send.send(cell);
        }
        drop(send);
        let format = self.pixel_format();
        let text = format!("[in0]tile={columns}x{rows},format={format}[out]");
        let feed = Feed { frames, shape: shape.clone() };
        let frame = Filtering::build(&text, vec![feed])?.next(self.pulse)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "gave no sheet"))?;
        let shape = shape.of(&frame);
        Ok(Still { frame, shape })
    }

    /// For players: what is shown while the pointer is over the time line.
    fn webvtt(&self, count: usize, on_sheet: usize, duration: Option<u64>) -> String {
        let clock = |micros: u64| {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000 / 1_000);
            format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
        let extension = self.request.picture_format().extension();
        let (width, height) = self.size;
        let columns = usize::try_from(self.plan.columns.max(1)).unwrap_or(1);
        let mut text = String::from("WEBVTT\n");
        for place in 0..count {
            let start = self.plan.times.get(place).copied().unwrap_or(0);
            let next = self.plan.times.get(place.saturating_add(1)).copied();
            let end = next.or(duration).unwrap_or(start).max(start.saturating_add(1_000));
            let (sheet, cell) = (place / on_sheet, place % on_sheet);
            let across = u32::try_from(cell % columns).unwrap_or(0).saturating_mul(width);
            let down = u32::try_from(cell / columns).unwrap_or(0).saturating_mul(height);
            let _ = write!(
                text,
                "\n{} --> {}\nsprite-{}.{extension}#xywh={across},{down},{width},{height}\n",
                clock(start),
                clock(end),
                sheet.saturating_add(1)
            );
        }
        text
    }

    /// Encodes a picture into a file of its own, and decodes it again.
    fn write(&self, name: &str, picture: &Still) -> Result<MadeFile, MediaError> {
        let (width, height, _) = ffi::picture_shape(&picture.frame);
        let format = self.request.picture_format();
        let codec = match format {
            PictureFormat::Jpeg => VideoCodec::Mjpeg,
            PictureFormat::Png => VideoCodec::Png,
            PictureFormat::Webp | PictureFormat::Gif => VideoCodec::Webp,
        };
        let one = Rational::ONE;
        let plan = VideoPlan {
            source: Source { input: 0, stream: 0 },
            codec,
            filters: vec![],
            width,
            height,
            pixel_format: self.pixel_format().to_owned(),
            rate: one,
            constant_rate: true,
            quality: RateControl::default(),
            preset: domain::media::Preset::Medium,
            profile: None,
            keyframe_interval: None,
            tonemapped: false,
        };
        let unit = ffmpeg_the_third::Rational(1, 1);
        let parameters = ffmpeg_the_third::codec::Parameters::new();
        let mut encoder = encoder::open_picture(
            &plan,
            Canvas {
                time_base: unit,
                aspect: unit,
                rate: Some(unit),
                source: &parameters,
                global_header: false,
                pass: EncoderPass::Only,
                statistics: None,
                scratch: self.folder,
                threads: 1,
                keys_on_demand: false,
            },
        )?;
        let failed = |error| MediaError::internal("a picture cannot be encoded", error);
        let mut frame = ffi::share(&picture.frame).map_err(failed)?;
        frame.set_pts(Some(0));
        ffi::set_picture_kind(&mut frame, ffmpeg_the_third::picture::Type::None);
        encoder.send_frame(&frame).map_err(failed)?;
        encoder.send_eof().map_err(failed)?;
        let mut bytes = Vec::new();
        let mut packet = Packet::empty();
        while encoder.receive_packet(&mut packet).is_ok() {
            bytes.extend_from_slice(packet.data().unwrap_or_default());
        }
        let path: PathBuf = self.folder.join(format!("{name}.{}", format.extension()));
        fs::write(&path, bytes).map_err(|e| MediaError::internal("a picture's file", e))?;
        crate::verify::picture(&path, (width, height))?;
        Ok(MadeFile {
            streams: vec![StreamSummary {
                kind: "video".to_owned(),
                codec: codec.as_str().to_owned(),
                width: Some(width),
                height: Some(height),
                fps: None,
                channels: None,
                sample_rate: None,
            }],
            ..MadeFile::plain(&path, None)
        })
    }
}

/// How far brightness is spread over a picture: its standard deviation, of 255.
fn spread(frame: &frame::Frame) -> f64 {
    let bytes = || ffi::first_plane(frame).flatten().map(|byte| f64::from(*byte));
    let middle = mean(bytes());
    mean(bytes().map(|byte| (byte - middle).powi(2))).sqrt()
}
