//! Renders frames to image files.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use ffapi_domain::{
    job::StreamSummary,
    media::{
        ImageFormat, Rational, Size, Source, ThumbnailMode, Thumbnails, ThumbnailsPlan, VideoCodec,
        VideoFacts, VideoPlan,
    },
};
use ffmpeg_the_third::{Packet, frame};

use crate::{
    MediaError,
    encoders::{self, EncoderSettings},
    ffi,
    heartbeat::Heartbeat,
    pipeline::{
        filtergraph::{rotation_filters, tonemap},
        filtering::{Filtering, OutputTiming},
        frame_channel::{FrameReceiver, StaticFrame},
        frame_format::FrameFormat,
    },
    protocol::VerifiedFile,
    statistics::mean,
    units,
};

/// A frame whose brightness has a lower standard deviation (of 255) counts as blank.
const BLANK_DEVIATION: f64 = 12.0;

/// The number of further candidates that are tried for an image, until one is not blank.
pub(crate) const CANDIDATES: u64 = 8;

/// How images are arranged in one file.
struct Grid {
    columns: u32,
    rows: u32,
}

/// Renders frames of a video to the requested image files.
pub(crate) struct ThumbnailRenderer<'a> {
    request: &'a Thumbnails,
    plan: ThumbnailsPlan,
    size: (u32, u32),
    video: &'a VideoFacts,
    heartbeat: &'a Heartbeat<'a>,
    folder: &'a Path,
}

impl<'a> ThumbnailRenderer<'a> {
    /// Images are `default_width` pixels wide unless the request states a size.
    pub(crate) fn open(
        request: &'a Thumbnails,
        plan: ThumbnailsPlan,
        video: &'a VideoFacts,
        default_width: u64,
        folder: &'a Path,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Self {
        Self { request, plan, size: size(request, video, default_width), video, heartbeat, folder }
    }

    /// The plan with the times of the images.
    pub(crate) const fn plan(&self) -> &ThumbnailsPlan {
        &self.plan
    }

    /// The detail of a frame (the standard deviation of its brightness); false if it is blank.
    pub(crate) fn detail(cell: &StaticFrame) -> (f64, bool) {
        let deviation = brightness_deviation(&cell.frame);
        (deviation, deviation >= BLANK_DEVIATION)
    }

    /// A frame in the size and pixel format of the images, with rotation and tone mapping applied.
    pub(crate) fn scaled(&self, still: &StaticFrame) -> Result<StaticFrame, MediaError> {
        let (width, height) = self.size;
        let rotation = rotation_filters(self.video);
        let deinterlace =
            if self.video.interlaced { "bwdif=mode=send_frame:deint=all," } else { "" };
        let tonemap = match self.video.color.hdr {
            Some(hdr) => format!("{},", tonemap(hdr, 1_000.0)),
            None => String::new(),
        };
        // Viewers assume this matrix of JPEG and WebP; PNG has none.
        let text = format!(
            "[in0]{deinterlace}{rotation}{tonemap}scale={width}:{height}:flags=bicubic:\
             out_color_matrix=bt601,setsar=1,format={}[out]",
            self.pixel_format()
        );
        let mut filtering = Filtering::build(&text, vec![still.feed()])?;
        let frame = filtering.next(self.heartbeat)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "output no frame"))?;
        let shape = still.shape.of(&frame);
        Ok(StaticFrame { frame, shape })
    }

    fn pixel_format(&self) -> &'static str {
        match self.request.image_format() {
            ImageFormat::Jpeg => "yuvj420p",
            ImageFormat::Png if self.video.alpha => "rgba",
            ImageFormat::Png => "rgb24",
            ImageFormat::Webp | ImageFormat::Gif => "yuv420p",
        }
    }

    /// Combines images to grid or sprite files; for sprites also writes the WebVTT index.
    pub(crate) fn sheets(
        &self,
        cells: Vec<StaticFrame>,
        duration: Option<u64>,
    ) -> Result<Vec<VerifiedFile>, MediaError> {
        let Some(first) = cells.first() else { return Ok(vec![]) };
        let shape = first.shape.clone();
        let Grid { columns, rows } = self.grid();
        let per_sheet = usize::try_from(columns.saturating_mul(rows)).unwrap_or(1);
        let count = cells.len();
        let mut files = Vec::new();
        let mut cells = cells.into_iter();
        loop {
            let batch: Vec<frame::Frame> =
                cells.by_ref().take(per_sheet).map(|cell| cell.frame).collect();
            if batch.is_empty() {
                break;
            }
            let sheet = self.tile(batch, &shape)?;
            let name = match self.request.mode {
                ThumbnailMode::Grid => "grid".to_owned(),
                _ => format!("sprite-{}", files.len().saturating_add(1)),
            };
            files.push(self.write(&name, &sheet)?);
        }
        if self.request.mode == ThumbnailMode::Sprite {
            let path = self.folder.join("sprite.vtt");
            let text = self.webvtt(count, per_sheet, duration);
            fs::write(&path, text).map_err(|e| MediaError::internal("the sprite's index", e))?;
            files.push(VerifiedFile::at_path(&path, duration.map(units::seconds)));
        }
        Ok(files)
    }

    /// How many images are next to each other in one file.
    fn grid(&self) -> Grid {
        Grid { columns: self.plan.columns.max(1), rows: self.plan.rows.max(1) }
    }

    fn tile(
        &self,
        cells: Vec<frame::Frame>,
        shape: &FrameFormat,
    ) -> Result<StaticFrame, MediaError> {
        let Grid { columns, rows } = self.grid();
        let (sender, feed) = FrameReceiver::new(cells.len(), shape.clone());
        for (number, mut cell) in (0_i64..).zip(cells) {
            cell.set_pts(Some(number));
            sender.send(cell);
        }
        drop(sender);
        let format = self.pixel_format();
        let text = format!("[in0]tile={columns}x{rows},format={format}[out]");
        let frame = Filtering::build(&text, vec![feed])?.next(self.heartbeat)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "output no frame"))?;
        let shape = shape.of(&frame);
        Ok(StaticFrame { frame, shape })
    }

    /// The WebVTT index of a sprite: the area that a player shows for each part of the timeline.
    fn webvtt(&self, count: usize, per_sheet: usize, duration: Option<u64>) -> String {
        let clock = |micros: u64| {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000 / 1_000);
            format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
        let extension = self.request.image_format().extension();
        let (width, height) = self.size;
        let columns = usize::try_from(self.plan.columns.max(1)).unwrap_or(1);
        let mut text = String::from("WEBVTT\n");
        for index in 0..count {
            let start = self.plan.times.get(index).copied().unwrap_or(0);
            let next = self.plan.times.get(index.saturating_add(1)).copied();
            let end = next.or(duration).unwrap_or(start).max(start.saturating_add(1_000));
            let (sheet, cell) = (index / per_sheet, index % per_sheet);
            let x = u32::try_from(cell % columns).unwrap_or(0).saturating_mul(width);
            let y = u32::try_from(cell / columns).unwrap_or(0).saturating_mul(height);
            let _ = write!(
                text,
                "\n{} --> {}\nsprite-{}.{extension}#xywh={x},{y},{width},{height}\n",
                clock(start),
                clock(end),
                sheet.saturating_add(1)
            );
        }
        text
    }

    /// Encodes an image to a file, and verifies it by decoding.
    pub(crate) fn write(
        &self,
        name: &str,
        image: &StaticFrame,
    ) -> Result<VerifiedFile, MediaError> {
        let (width, height, _) = ffi::frame_shape(&image.frame);
        let format = self.request.image_format();
        let codec = match format {
            ImageFormat::Jpeg => VideoCodec::Mjpeg,
            ImageFormat::Png => VideoCodec::Png,
            ImageFormat::Webp | ImageFormat::Gif => VideoCodec::Webp,
        };
        let source = Source { input: 0, stream: 0 };
        let size = Size { width, height };
        let plan = VideoPlan::new(source, codec, size, self.pixel_format(), Rational::ONE);
        let unit = ffmpeg_the_third::Rational(1, 1);
        let timing = OutputTiming { time_base: unit, aspect: unit, rate: unit };
        let parameters = ffmpeg_the_third::codec::Parameters::new();
        let mut settings = EncoderSettings::new(timing, &plan, &parameters, self.folder);
        settings.threads = 1;
        let mut encoder = encoders::open_video(&plan, settings)?;
        let failed = |error| MediaError::internal("an image cannot be encoded", error);
        let mut frame = ffi::share(&image.frame).map_err(failed)?;
        frame.set_pts(Some(0));
        ffi::set_frame_type(&mut frame, ffmpeg_the_third::picture::Type::None);
        encoder.send_frame(&frame).map_err(failed)?;
        encoder.send_eof().map_err(failed)?;
        let mut bytes = Vec::new();
        let mut packet = Packet::empty();
        while encoder.receive_packet(&mut packet).is_ok() {
            bytes.extend_from_slice(packet.data().unwrap_or_default());
        }
        let path: PathBuf = self.folder.join(format!("{name}.{}", format.extension()));
        fs::write(&path, bytes).map_err(|e| MediaError::internal("an image file", e))?;
        crate::verify::picture(&path, (width, height))?;
        Ok(VerifiedFile {
            streams: vec![StreamSummary {
                kind: "video".to_owned(),
                codec: codec.as_str().to_owned(),
                width: Some(width),
                height: Some(height),
                fps: None,
                channels: None,
                sample_rate: None,
            }],
            ..VerifiedFile::at_path(&path, None)
        })
    }
}

/// The size of one image: as requested, or at most `default_width` wide.
fn size(request: &Thumbnails, video: &VideoFacts, default_width: u64) -> (u32, u32) {
    let (width, height) = if video.rotation.is_multiple_of(180) {
        (u64::from(video.width), u64::from(video.height))
    } else {
        (u64::from(video.height), u64::from(video.width))
    };
    let Rational { num, den } = video.pixel_aspect;
    let (num, den) = if video.rotation.is_multiple_of(180) { (num, den) } else { (den, num) };
    let display_width = width.saturating_mul(u64::from(num)) / u64::from(den.max(1));
    let even = |side: u64| u32::try_from(side.clamp(16, 4096) / 2 * 2).unwrap_or(16);
    let scale_to = |side: u32, a: u64, b: u64| even(u64::from(side).saturating_mul(a) / b.max(1));
    match (request.width, request.height) {
        (Some(width), Some(height)) => (even(width.into()), even(height.into())),
        (Some(width), None) => (even(width.into()), scale_to(width, height, display_width)),
        (None, Some(requested)) => {
            (scale_to(requested, display_width, height), even(requested.into()))
        }
        (None, None) => {
            let width = even(display_width.min(default_width));
            (width, scale_to(width, height, display_width))
        }
    }
}

/// The standard deviation of a frame's brightness (its first plane), on a scale of 0 to 255.
fn brightness_deviation(frame: &frame::Frame) -> f64 {
    let bytes = || ffi::first_plane(frame).flatten().map(|byte| f64::from(*byte));
    let average = mean(bytes());
    mean(bytes().map(|byte| (byte - average).powi(2))).sqrt()
}
