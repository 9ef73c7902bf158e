use serde::{Deserialize, Serialize};

use super::{Draft, Picture, PlanRejection, Source, VideoFilter, even};
use crate::media::{
    Container, FilterName, MediaFacts, Operation, Placed, Preset, Rational, Transcode, VideoCodec,
    VideoFacts, facts::Chroma,
};

/// What happens to the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// Which stream it comes from.
    pub source: Source,
    /// Its encoder's codec, or `copy`.
    pub codec: VideoCodec,
    /// In this order.
    pub filters: Vec<VideoFilter>,
    /// Pixels of the output.
    pub width: u32,
    /// Pixels of the output.
    pub height: u32,
    /// FFmpeg's name.
    pub pixel_format: String,
    /// Pictures a second; 0 when unknown.
    pub rate: Rational,
    /// True if every picture lasts as long as the others.
    pub constant_rate: bool,
    /// Quality or size.
    pub quality: RateControl,
    /// Speed against size.
    pub preset: Preset,
    /// The codec's.
    pub profile: Option<String>,
    /// Frames from one keyframe to the next, at most; none leaves it to the encoder.
    pub keyframe_interval: Option<u32>,
    /// True if its colours are BT.709 whatever the source's were.
    pub tonemapped: bool,
    /// Where each picture is two fields, as the source's is: which comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// What encodes it, if not the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
}

/// The half of an interlaced picture's lines that is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// The upper one of each two.
    TopFirst,
    /// The lower one.
    BottomFirst,
}

/// Quality or size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RateControl {
    /// Constant quality.
    pub crf: Option<u8>,
    /// Bits per second on average.
    pub bitrate: Option<u64>,
    /// Bits per second that are never exceeded for long.
    pub max_bitrate: Option<u64>,
    /// A pass that looks at the whole film first.
    pub two_pass: bool,
    /// Find the constant quality that reaches this.
    pub target_vmaf: Option<f64>,
}

/// What the picture's encoder is asked for.
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

    /// What a picture needs before any operation, unless one sees to it.
    pub(super) fn prepare(
        &self,
        draft: &mut Draft<'_>,
        operations: &[Operation],
    ) -> Result<(), PlanRejection> {
        if self.codec == VideoCodec::Copy {
            if let Some(picture) = &mut draft.picture {
                // A player turns it, as before.
                picture.filters.clear();
            }
            return Ok(());
        }
        let asked =
            |name| operations.iter().any(|o| matches!(o, Operation::Filter(f) if f.name == name));
        let Some(picture) = &mut draft.picture else { return Ok(()) };
        // Whoever cuts films wants its fields; what changes a picture would mix them.
        let keeps = self.codec == VideoCodec::Prores
            && picture.filters.is_empty()
            && !operations.iter().any(Operation::changes_picture);
        if picture.interlaced && !keeps && !asked(FilterName::Deinterlace) {
            picture.deinterlace();
            draft.notes.push("the input is interlaced; it is deinterlaced".to_owned());
        }
        // These hold all levels, or red, green and blue, themselves.
        if !matches!(self.codec, VideoCodec::Mjpeg | VideoCodec::Png | VideoCodec::Gif) {
            picture.level();
        }
        let deep = self.pixel_format(picture)?.contains("10");
        if picture.hdr.is_some() && !deep && !asked(FilterName::Tonemap) {
            picture.tonemap();
            draft.notes.push(
                "the input is of high dynamic range and the output is not; it is tone-mapped to \
                 BT.709"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The picture as it goes into its encoder.
    pub(super) fn finish(
        &self,
        mut picture: Picture,
        own: Option<&MediaFacts>,
        notes: &mut Vec<String>,
    ) -> Result<VideoPlan, PlanRejection> {
        let found = own.and_then(MediaFacts::video);
        let source = Source { input: 0, stream: found.map_or(0, |(stream, _)| stream.index) };
        if self.codec == VideoCodec::Copy
            && let Some((stream, facts)) = found
        {
            let still = own.is_some_and(MediaFacts::is_a_picture);
            self.check_copy(&stream.codec, facts, still)?;
        }
        let fields =
            found.map(
                |(_, facts)| {
                    if facts.bottom_first { Fields::BottomFirst } else { Fields::TopFirst }
                },
            );
        let pixel_format = self.pixel_format(&picture)?;
        if self.codec != VideoCodec::Copy {
            even_out(&mut picture, &pixel_format, notes);
        }
        // libvpx shares its bits out by frames that all last as long.
        let shares =
            self.transcode.two_pass && matches!(self.codec, VideoCodec::Vp8 | VideoCodec::Vp9);
        let constant =
            shares || (self.container.needs_constant_rate() && !self.container.is_images());
        if constant && picture.rate.num > 0 && self.codec != VideoCodec::Copy {
            picture.filters.push(VideoFilter::Rate(picture.rate));
            picture.variable_rate = false;
        }
        // Its times are hundredths, and players slow down what is shown for only one.
        if self.codec == VideoCodec::Gif && picture.rate.as_f64() > f64::from(GIF_RATE) {
            picture.rate = Rational { num: GIF_RATE, den: 1 };
            picture.filters.push(VideoFilter::Rate(picture.rate));
            picture.variable_rate = false;
            notes.push(format!("a GIF shows up to {GIF_RATE} pictures a second"));
        }
        let tonemapped = picture.filters.iter().any(|f| matches!(f, VideoFilter::Tonemap { .. }));
        Ok(VideoPlan {
            source,
            codec: self.codec,
            width: picture.width,
            height: picture.height,
            pixel_format,
            rate: picture.rate,
            constant_rate: !picture.variable_rate,
            quality: self.quality()?,
            preset: self.preset()?,
            profile: self.profile()?,
            keyframe_interval: self.transcode.keyframe_interval,
            tonemapped,
            fields: fields.filter(|_| picture.interlaced && self.codec != VideoCodec::Copy),
            placed: None,
            filters: picture.filters,
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
        let turned = facts.rotation != 0 || facts.mirrored;
        if fits && turned && !self.container.holds_turn(still) {
            let can = if still { "jpg" } else { "mp4 and mov" };
            let detail = format!(
                "the input's picture is turned when it is shown, which {} would lose; {can} would \
                 not, and every codec but `copy` turns it for good",
                self.container.as_str()
            );
            return self.refuse("video_codec", detail);
        }
        if fits {
            return Ok(());
        }
        let could = super::words(self.container.video().iter().map(|codec| codec.as_str()));
        let detail = format!(
            "the input's {codec} does not go into {} as it is; {could}",
            self.container.as_str()
        );
        self.refuse("video_codec", detail)
    }

    /// The formats that the codec's encoder takes, its usual one first.
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

    fn pixel_format(&self, picture: &Picture) -> Result<String, PlanRejection> {
        let can = self.pixel_formats();
        if let Some(wanted) = &self.transcode.pixel_format {
            if can.contains(&wanted.as_str()) {
                return Ok(wanted.clone());
            }
            let can = super::words(can.iter().copied());
            let detail = format!("`{}` does not take `{wanted}`; {can}", self.codec.as_str());
            return self.refuse("pixel_format", detail);
        }
        let deep = picture.depth > 8;
        let format = match self.codec {
            // More bits play almost nowhere as H.264; who wants them asks for them.
            VideoCodec::H264 => match self.transcode.profile.as_deref() {
                Some("high10") => "yuv420p10le",
                Some("high422") if deep => "yuv422p10le",
                Some("high422") => "yuv422p",
                Some("high444") => "yuv444p",
                _ => "yuv420p",
            },
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Webp if picture.alpha => "yuva420p",
            VideoCodec::Hevc | VideoCodec::Av1 | VideoCodec::Vp9 if deep => "yuv420p10le",
            VideoCodec::Prores if picture.alpha => "yuva444p10le",
            VideoCodec::Prores if picture.chroma == Chroma::Full => "yuv444p10le",
            VideoCodec::Png if picture.alpha => "rgba",
            VideoCodec::Png if picture.chroma == Chroma::Gray => "gray",
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
            let given = t.of_picture();
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
            let detail = "give one of `crf`, `video_bitrate` and `target_vmaf`; a cap beside \
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
            return self.refuse("two_pass", "two passes need a `video_bitrate` to share out");
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
            crf: t.crf.or(free.then_some(self.codec.usual_crf())),
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

/// Pictures a second.
const GIF_RATE: u32 = 50;

/// Halved colour needs even sides; one pixel less is better than a refusal late.
fn even_out(picture: &mut Picture, format: &str, notes: &mut Vec<String>) {
    let quarter = format.contains("420");
    let half = quarter || format.contains("422");
    let width = if half { even(picture.width) } else { picture.width };
    let height = if quarter { even(picture.height) } else { picture.height };
    if (width, height) != (picture.width, picture.height) {
        notes.push(format!(
            "{}x{} has an odd side, which {format} cannot have; it is cut to {width}x{height}",
            picture.width, picture.height
        ));
        picture.filters.push(VideoFilter::Crop { x: 0, y: 0, width, height });
        (picture.width, picture.height) = (width, height);
    }
}
