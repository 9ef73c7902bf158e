//! Where frames become pictures in files.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use ffapi_domain::{
    job::StreamSummary,
    media::{
        PictureFormat, RateControl, Rational, Source, ThumbnailMode, Thumbnails, ThumbnailsPlan,
        VideoCodec, VideoFacts, VideoPlan,
    },
};
use ffmpeg_the_third::{Packet, frame};

use crate::{
    MediaError,
    engine::{
        analyze::mean,
        convert,
        encoder::{self, EncoderSettings},
        filtergraph::{tonemap, turned},
        filtering::Filtering,
        frame_channel::{FrameReceiver, StaticFrame},
        frame_format::FrameFormat,
    },
    ffi,
    ffi::EncoderPass,
    heartbeat::Heartbeat,
    protocol::MadeFile,
};

/// Less spread of brightness than this is a picture of nothing.
const BLANK: f64 = 12.0;

/// Looks at a better picture this often before taking the best of what was seen.
pub(in crate::engine) const LOOKS: u64 = 8;

/// Turns frames of a film into the files that were asked for.
pub(in crate::engine) struct ThumbnailRenderer<'a> {
    request: &'a Thumbnails,
    plan: ThumbnailsPlan,
    size: (u32, u32),
    video: &'a VideoFacts,
    heartbeat: &'a Heartbeat<'a>,
    folder: &'a Path,
}

impl<'a> ThumbnailRenderer<'a> {
    /// Pictures are `usual` pixels wide unless asked otherwise.
    pub(in crate::engine) fn open(
        request: &'a Thumbnails,
        plan: ThumbnailsPlan,
        video: &'a VideoFacts,
        usual: u64,
        folder: &'a Path,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Self {
        Self { request, plan, size: size(request, video, usual), video, heartbeat, folder }
    }

    /// When pictures are taken.
    pub(in crate::engine) const fn plan(&self) -> &ThumbnailsPlan {
        &self.plan
    }

    /// How much there is to see; none if it is as good as nothing.
    pub(in crate::engine) fn worth(cell: &StaticFrame) -> (f64, bool) {
        let spread = spread(&cell.frame);
        (spread, spread >= BLANK)
    }

    /// A frame in the pictures' size, upright and in their colours.
    pub(in crate::engine) fn scaled(&self, still: &StaticFrame) -> Result<StaticFrame, MediaError> {
        let (width, height) = self.size;
        let turn = turned(self.video);
        let field = if self.video.interlaced { "bwdif=mode=send_frame:deint=all," } else { "" };
        let light = match self.video.color.hdr {
            Some(hdr) => format!("{},", tonemap(hdr, 1_000.0)),
            None => String::new(),
        };
        let text = format!(
            "[in0]{field}{turn}{light}scale={width}:{height}:flags=bicubic,setsar=1,\
             format={}[out]",
            self.pixel_format()
        );
        let mut filtering = Filtering::build(&text, vec![still.feed()])?;
        let frame = filtering.next(self.heartbeat)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "gave no picture"))?;
        let shape = still.shape.of(&frame);
        Ok(StaticFrame { frame, shape })
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
    pub(in crate::engine) fn sheets(
        &self,
        cells: Vec<StaticFrame>,
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
        shape: &FrameFormat,
        (columns, rows): (u32, u32),
    ) -> Result<StaticFrame, MediaError> {
        let (sender, feed) = FrameReceiver::new(cells.len(), shape.clone());
        for (number, mut cell) in (0_i64..).zip(cells) {
            cell.set_pts(Some(number));
            sender.give(cell);
        }
        drop(sender);
        let format = self.pixel_format();
        let text = format!("[in0]tile={columns}x{rows},format={format}[out]");
        let frame = Filtering::build(&text, vec![feed])?.next(self.heartbeat)?;
        let frame = frame.ok_or_else(|| MediaError::internal("the filters", "gave no sheet"))?;
        let shape = shape.of(&frame);
        Ok(StaticFrame { frame, shape })
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
    pub(in crate::engine) fn write(
        &self,
        name: &str,
        picture: &StaticFrame,
    ) -> Result<MadeFile, MediaError> {
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
            preset: ffapi_domain::media::Preset::Medium,
            profile: None,
            keyframe_interval: None,
            tonemapped: false,
            fields: None,
            placed: None,
        };
        let unit = ffmpeg_the_third::Rational(1, 1);
        let parameters = ffmpeg_the_third::codec::Parameters::new();
        let mut encoder = encoder::open_picture(
            &plan,
            EncoderSettings {
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
                frames: None,
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

/// The size of one picture: as asked, or at most `usual` wide.
fn size(request: &Thumbnails, video: &VideoFacts, usual: u64) -> (u32, u32) {
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
            let width = even(shown.min(usual));
            (width, follow(width, height, shown))
        }
    }
}

/// How far brightness is spread over a picture: its standard deviation, of 255.
fn spread(frame: &frame::Frame) -> f64 {
    let bytes = || ffi::first_plane(frame).flatten().map(|byte| f64::from(*byte));
    let middle = mean(bytes());
    mean(bytes().map(|byte| (byte - middle).powi(2))).sqrt()
}
