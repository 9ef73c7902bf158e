use serde::{Deserialize, Serialize};

use super::{PlanBuilder, PlanRejection, Source, VideoFilter, VideoTrack, even};
use crate::media::{
    AssignedDevice, Container, FilterName, Matrix, MediaFacts, Micros, Operation, Preset, Rational,
    Size, Transcode, VideoCodec, VideoFacts, facts::Chroma,
};

/// The plan for the video stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// The stream it comes from.
    pub source: Source,
    /// The encoder's codec, or `copy`.
    pub codec: VideoCodec,
    /// In this order.
    pub filters: Vec<VideoFilter>,
    /// Width of the output in pixels.
    pub width: u32,
    /// Height of the output in pixels.
    pub height: u32,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Frames per second; 0 if unknown.
    pub rate: Rational,
    /// True if the frame rate is constant.
    pub constant_rate: bool,
    /// Rate control.
    pub quality: RateControl,
    /// Trade-off between encoding speed and compression.
    pub preset: Preset,
    /// Profile of the codec.
    pub profile: Option<String>,
    /// Maximum number of frames between keyframes; `None` for the encoder's default.
    pub keyframe_interval: Option<u32>,
    /// True if it was tone-mapped to BT.709.
    pub tonemapped: bool,
    /// Field order, if the output stays interlaced like the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// The hardware that encodes it; `None` for the CPU.
    #[serde(default, rename = "placed", skip_serializing_if = "Option::is_none")]
    pub assigned: Option<AssignedDevice>,
}

impl VideoPlan {
    /// A plan for the CPU's encoder of a codec, with its default options: no filters, and a constant
    /// frame rate.
    pub fn new(
        source: Source,
        codec: VideoCodec,
        size: Size,
        pixel_format: impl Into<String>,
        rate: Rational,
    ) -> Self {
        Self {
            source,
            codec,
            filters: vec![],
            width: size.width,
            height: size.height,
            pixel_format: pixel_format.into(),
            rate,
            constant_rate: true,
            quality: RateControl::default(),
            preset: Preset::Medium,
            profile: None,
            keyframe_interval: None,
            tonemapped: false,
            fields: None,
            assigned: None,
        }
    }
}

/// Field order: the field that is displayed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// The top field.
    TopFirst,
    /// The bottom field.
    BottomFirst,
}

/// Rate control: constant quality or a bitrate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RateControl {
    /// Constant rate factor.
    pub crf: Option<u8>,
    /// Average bits per second.
    pub bitrate: Option<u64>,
    /// Peak bits per second.
    pub max_bitrate: Option<u64>,
    /// True to analyse the whole video in a first pass.
    pub two_pass: bool,
    /// VMAF score to reach by searching for the constant rate factor.
    pub target_vmaf: Option<f64>,
}

/// Settings of the video encoder.
pub(super) struct Settings<'a> {
    pub(super) at: usize,
    pub(super) container: Container,
    pub(super) transcode: &'a Transcode,
    pub(super) codec: VideoCodec,
}

impl Settings<'_> {
    fn refuse<T>(&self, field: &str, detail: impl Into<String>) -> Result<T, PlanRejection> {
        super::refuse(format!("#/operations/{}/{field}", self.at), detail)
    }

    /// Adds the filters that a video needs before any operation, unless an operation adds them.
    pub(super) fn prepare(
        &self,
        builder: &mut PlanBuilder<'_>,
        operations: &[Operation],
    ) -> Result<(), PlanRejection> {
        if self.codec == VideoCodec::Copy {
            if let Some(track) = &mut builder.video {
                // Players rotate it, as they do with the input.
                track.filters.clear();
            }
            return Ok(());
        }
        let has_filter =
            |name| operations.iter().any(|o| matches!(o, Operation::Filter(f) if f.name == name));
        let Some(track) = &mut builder.video else { return Ok(()) };
        // ProRes is used for editing, which needs the original fields; operations on frames would
        // mix them.
        let keeps_fields = self.codec == VideoCodec::Prores
            && track.filters.is_empty()
            && !operations.iter().any(Operation::changes_video);
        if track.interlaced && !keeps_fields && !has_filter(FilterName::Deinterlace) {
            track.deinterlace();
            builder.notes.push("the input is interlaced; it is deinterlaced".to_owned());
        }
        // These codecs encode full-range or RGB themselves.
        if !matches!(self.codec, VideoCodec::Mjpeg | VideoCodec::Png | VideoCodec::Gif) {
            track.normalize_levels();
        }
        let deep = self.pixel_format(track)?.contains("10");
        if track.hdr.is_some() && !deep && !has_filter(FilterName::Tonemap) {
            track.tonemap();
            builder.notes.push(
                "the input is of high dynamic range and the output is not; it is tone-mapped to \
                 BT.709"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The plan for the video as it enters the encoder.
    pub(super) fn finish(
        &self,
        mut track: VideoTrack,
        own: Option<&MediaFacts>,
        notes: &mut Vec<String>,
    ) -> Result<VideoPlan, PlanRejection> {
        let found = own.and_then(MediaFacts::video);
        let source = Source { input: 0, stream: found.map_or(0, |(stream, _)| stream.index) };
        if self.codec == VideoCodec::Copy
            && let Some((stream, facts)) = found
        {
            let still = own.is_some_and(MediaFacts::is_image);
            self.check_copy(&stream.codec, facts, still)?;
        }
        let fields =
            found.map(
                |(_, facts)| {
                    if facts.bottom_first { Fields::BottomFirst } else { Fields::TopFirst }
                },
            );
        let pixel_format = self.pixel_format(&track)?;
        // Images state no matrix: viewers assume this one.
        if matches!(self.codec, VideoCodec::Mjpeg | VideoCodec::Webp) {
            track.convert_matrix(Matrix::Bt601);
        }
        if self.codec != VideoCodec::Copy {
            crop_to_even(&mut track, &pixel_format, notes);
        }
        // libvpx distributes its bits assuming a constant frame duration.
        let needs_constant_duration =
            self.transcode.two_pass && matches!(self.codec, VideoCodec::Vp8 | VideoCodec::Vp9);
        let constant = needs_constant_duration
            || (self.container.needs_constant_rate() && !self.container.is_images());
        if constant && self.codec != VideoCodec::Copy {
            track.make_constant();
        }
        // GIF times are hundredths of a second, and players slow down frames of a single one.
        if self.codec == VideoCodec::Gif && track.rate.as_f64() > f64::from(MAX_GIF_RATE) {
            track.rate = Rational { num: MAX_GIF_RATE, den: 1 };
            track.filters.push(VideoFilter::Rate(track.rate));
            track.variable_rate = false;
            notes.push(format!("a GIF has at most {MAX_GIF_RATE} frames per second"));
        }
        let tonemapped = track.filters.iter().any(|f| matches!(f, VideoFilter::Tonemap { .. }));
        let size = Size { width: track.width, height: track.height };
        Ok(VideoPlan {
            constant_rate: !track.variable_rate,
            quality: self.quality()?,
            preset: self.preset()?,
            profile: self.profile()?,
            keyframe_interval: self.transcode.keyframe_interval,
            tonemapped,
            fields: fields.filter(|_| track.interlaced && self.codec != VideoCodec::Copy),
            filters: track.filters,
            ..VideoPlan::new(source, self.codec, size, pixel_format, track.rate)
        })
    }

    fn check_copy(
        &self,
        codec: &str,
        facts: &VideoFacts,
        still: bool,
    ) -> Result<(), PlanRejection> {
        let fits = self.container == Container::Mkv
            || VideoCodec::of_stream(codec).is_some_and(|c| self.container.video().contains(&c));
        let rotated = facts.rotation != 0 || facts.mirrored;
        if fits && rotated && !self.container.keeps_rotation(still) {
            let can = if still { "jpg" } else { "mp4 and mov" };
            let detail = format!(
                "the input's video is rotated on display, which {} would lose; {can} would \
                 not, and every codec but `copy` rotates it permanently",
                self.container.as_str()
            );
            return self.refuse("video_codec", detail);
        }
        if fits {
            return Ok(());
        }
        let supported =
            super::list_codecs(self.container.video().iter().map(|codec| codec.as_str()));
        let detail = format!(
            "the input's {codec} does not go into {} as it is; {supported}",
            self.container.as_str()
        );
        self.refuse("video_codec", detail)
    }

    /// The pixel formats that the codec's encoder supports, the default one first.
    const fn pixel_formats(&self) -> &'static [&'static str] {
        match self.codec {
            VideoCodec::H264 | VideoCodec::Hevc => {
                &["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
            }
            VideoCodec::Vp9 => &[
                "yuv420p",
                "yuva420p",
                "yuv422p",
                "yuv444p",
                "yuv420p10le",
                "yuv422p10le",
                "yuv444p10le",
            ],
            VideoCodec::Av1 => &["yuv420p", "yuv420p10le"],
            VideoCodec::Prores => &["yuv422p10le", "yuv444p10le", "yuva444p10le"],
            VideoCodec::Gif => &["pal8"],
            VideoCodec::Mjpeg => &["yuvj420p", "yuvj422p", "yuvj444p"],
            VideoCodec::Png => &["rgb24", "rgba", "gray"],
            VideoCodec::Vp8 | VideoCodec::Webp => &["yuv420p", "yuva420p"],
            VideoCodec::Copy | VideoCodec::None => &[""],
        }
    }

    fn pixel_format(&self, track: &VideoTrack) -> Result<String, PlanRejection> {
        let can = self.pixel_formats();
        if let Some(wanted) = &self.transcode.pixel_format {
            if can.contains(&wanted.as_str()) {
                return Ok(wanted.clone());
            }
            let can = super::list_codecs(can.iter().copied());
            let detail = format!("`{}` does not take `{wanted}`; {can}", self.codec.as_str());
            return self.refuse("pixel_format", detail);
        }
        let deep = track.depth > 8;
        let format = match self.codec {
            // 10-bit H.264 plays almost nowhere; it must be requested.
            VideoCodec::H264 => match self.transcode.profile.as_deref() {
                Some("high10") => "yuv420p10le",
                Some("high422") if deep => "yuv422p10le",
                Some("high422") => "yuv422p",
                Some("high444") => "yuv444p",
                _ => "yuv420p",
            },
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Webp if track.alpha => "yuva420p",
            VideoCodec::Hevc | VideoCodec::Av1 | VideoCodec::Vp9 if deep => "yuv420p10le",
            VideoCodec::Prores if track.alpha => "yuva444p10le",
            VideoCodec::Prores if track.chroma == Chroma::Full => "yuv444p10le",
            VideoCodec::Png if track.alpha => "rgba",
            VideoCodec::Png if track.chroma == Chroma::Gray => "gray",
            VideoCodec::Hevc
            | VideoCodec::Av1
            | VideoCodec::Vp8
            | VideoCodec::Vp9
            | VideoCodec::Webp
            | VideoCodec::Prores
            | VideoCodec::Png
            | VideoCodec::Gif
            | VideoCodec::Mjpeg
            | VideoCodec::Copy
            | VideoCodec::None => can.first().copied().unwrap_or_default(),
        };
        Ok(format.to_owned())
    }

    fn quality(&self) -> Result<RateControl, PlanRejection> {
        let t = self.transcode;
        let name = self.codec.as_str();
        let Some((best, smallest)) = self.codec.crf_range() else {
            let rates = ["crf", "video_bitrate", "max_bitrate", "two_pass", "target_vmaf"];
            let given = t.video_fields();
            let given = given.iter().find(|(field, given)| *given && rates.contains(field));
            return match given {
                Some((field, _)) => {
                    self.refuse(field, format!("`{field}` has no effect with `{name}`"))
                }
                None => Ok(RateControl::default()),
            };
        };
        let ways = [t.crf.is_some(), t.video_bitrate.is_some(), t.target_vmaf.is_some()];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            let field = if t.target_vmaf.is_some() { "target_vmaf" } else { "video_bitrate" };
            let detail = "give one of `crf`, `video_bitrate` and `target_vmaf`; a cap for \
                          `crf` is `max_bitrate`";
            return self.refuse(field, detail);
        }
        if t.crf.is_some_and(|crf| !(best..=smallest).contains(&crf)) {
            let detail = format!("crf is {best} (best) to {smallest} (smallest) for {name}");
            return self.refuse("crf", detail);
        }
        if t.target_vmaf.is_some_and(|target| !(30.0..=99.0).contains(&target)) {
            return self
                .refuse("target_vmaf", "`target_vmaf` is 30 to 99; 93 looks like the source");
        }
        if t.two_pass && t.video_bitrate.is_none() {
            return self.refuse("two_pass", "two passes need a `video_bitrate` to distribute");
        }
        if t.two_pass && self.codec == VideoCodec::Av1 {
            return self.refuse(
                "two_pass",
                "this encoder of av1 has one pass; h264, hevc, vp8 and vp9 have two",
            );
        }
        if t.max_bitrate.is_some() && self.codec == VideoCodec::Av1 {
            return self.refuse("max_bitrate", "av1 has no cap here; h264, hevc, vp8 and vp9 have");
        }
        if t.max_bitrate.zip(t.video_bitrate).is_some_and(|(max, average)| max < average) {
            return self.refuse("max_bitrate", "the cap is below the average, `video_bitrate`");
        }
        let free = t.video_bitrate.is_none() && t.target_vmaf.is_none();
        Ok(RateControl {
            crf: t.crf.or(free.then_some(self.codec.default_crf())),
            bitrate: t.video_bitrate,
            max_bitrate: t.max_bitrate,
            two_pass: t.two_pass,
            target_vmaf: t.target_vmaf,
        })
    }

    fn preset(&self) -> Result<Preset, PlanRejection> {
        if !self.codec.is_inter() {
            let given = [
                ("preset", self.transcode.preset.is_some()),
                ("keyframe_interval", self.transcode.keyframe_interval.is_some()),
            ];
            if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
                let name = self.codec.as_str();
                return self.refuse(field, format!("`{field}` has no effect with `{name}`"));
            }
        }
        Ok(self.transcode.preset.unwrap_or(Preset::Medium))
    }

    fn profile(&self) -> Result<Option<String>, PlanRejection> {
        let Some(profile) = &self.transcode.profile else { return Ok(None) };
        let can: &[&str] = match self.codec {
            VideoCodec::H264 => &["baseline", "main", "high", "high10", "high422", "high444"],
            VideoCodec::Hevc => &["main", "main10", "main-intra", "main422-10", "main444-8"],
            VideoCodec::Prores => &["proxy", "lt", "standard", "hq", "4444", "4444xq"],
            VideoCodec::Vp8
            | VideoCodec::Vp9
            | VideoCodec::Av1
            | VideoCodec::Gif
            | VideoCodec::Mjpeg
            | VideoCodec::Png
            | VideoCodec::Webp
            | VideoCodec::Copy
            | VideoCodec::None => &[],
        };
        if can.contains(&profile.as_str()) {
            return Ok(Some(profile.clone()));
        }
        let name = self.codec.as_str();
        let detail = if can.is_empty() {
            format!("`profile` has no effect with `{name}`")
        } else {
            format!("`{name}` has no profile `{profile}`; it has {}", can.join(", "))
        };
        self.refuse("profile", detail)
    }
}

/// A video that is shorter than half a frame at its constant rate keeps the frame that it has.
pub(super) fn without_coarse_rate(mut plan: VideoPlan, duration: Option<Micros>) -> VideoPlan {
    let half_frame =
        |rate: &Rational| u64::from(rate.den).saturating_mul(500_000) / u64::from(rate.num.max(1));
    let is_coarse = |rate: &Rational| duration.is_some_and(|duration| duration <= half_frame(rate));
    plan.filters.retain(|filter| !matches!(filter, VideoFilter::Rate(rate) if is_coarse(rate)));
    plan
}

/// Maximum frame rate of a GIF.
const MAX_GIF_RATE: u32 = 50;

/// Subsampled chroma needs even sides; losing a row is better than failing late.
fn crop_to_even(track: &mut VideoTrack, format: &str, notes: &mut Vec<String>) {
    let quarter = format.contains("420");
    let half = quarter || format.contains("422");
    let width = if half { even(track.width) } else { track.width };
    let height = if quarter { even(track.height) } else { track.height };
    if width > track.width || height > track.height {
        notes.push(format!(
            "{}x{} is smaller than the codec's minimum; it is scaled to {width}x{height}",
            track.width, track.height
        ));
        track.filters.push(VideoFilter::Scale { width, height });
        (track.width, track.height) = (width, height);
    }
    if (width, height) != (track.width, track.height) {
        notes.push(format!(
            "{}x{} has an odd side, which {format} cannot have; it is cut to {width}x{height}",
            track.width, track.height
        ));
        track.filters.push(VideoFilter::Crop { x: 0, y: 0, width, height });
        (track.width, track.height) = (width, height);
    }
}
