use serde::{Deserialize, Serialize};

use super::{MAX_FILES, Micros, Overwrite};
use crate::{
    Personal,
    location::Location,
    media::{PlanRejection, codec::string_enum},
};

/// Extracts images from a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnails {
    /// Location of the input.
    pub input: Personal<Location>,
    /// Location of the output folder.
    pub output: Personal<Location>,
    /// Which images are extracted.
    pub mode: ThumbnailMode,
    /// `single`: the time; `animated`: the start. A good one is chosen if absent.
    #[serde(default)]
    pub timestamp: Option<Micros>,
    /// `interval`, `sprite`: time between images.
    #[serde(default)]
    pub interval: Option<Micros>,
    /// `count`, `grid`: number of images.
    #[serde(default)]
    pub count: Option<u32>,
    /// Width of one image in pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Height of one image in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Image format.
    #[serde(default)]
    pub format: Option<ImageFormat>,
    /// `grid`, `sprite`: images per row.
    #[serde(default)]
    pub columns: Option<u32>,
    /// What happens if an output name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

string_enum! {
    /// Which images are extracted.
    ThumbnailMode {
        /// A single image.
        Single = "single",
        /// One image per interval, a file each.
        Interval = "interval",
        /// A number of images, evenly spread, a file each.
        Count = "count",
        /// A number of images, evenly spread, on one sheet.
        Grid = "grid",
        /// One image per interval, on sheets, with a `WebVTT` file that maps times to them.
        Sprite = "sprite",
        /// A short animation.
        Animated = "animated",
    }
}

string_enum! {
    /// Image format.
    ImageFormat {
        /// JPEG: small.
        Jpeg = "jpeg",
        /// PNG: lossless.
        Png = "png",
        /// WebP: smaller than JPEG.
        Webp = "webp",
        /// GIF: animated, supported everywhere.
        Gif = "gif",
    }
}

impl ImageFormat {
    /// The files' extension.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}

/// The times at which images are extracted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailsPlan {
    /// In order.
    pub times: Vec<Micros>,
    /// How far after each time a better frame may be searched; 0 for none.
    pub choice: Micros,
    /// Images per row, if they share a file.
    pub columns: u32,
    /// Rows per file, if images share one.
    pub rows: u32,
}

/// Images per sprite sheet.
const SHEET_SIZE: u32 = 100;

impl Thumbnails {
    /// The requested format, or the default of the mode.
    pub fn image_format(&self) -> ImageFormat {
        self.format.unwrap_or(match self.mode {
            ThumbnailMode::Animated => ImageFormat::Webp,
            ThumbnailMode::Single
            | ThumbnailMode::Interval
            | ThumbnailMode::Count
            | ThumbnailMode::Grid
            | ThumbnailMode::Sprite => ImageFormat::Jpeg,
        })
    }

    pub(crate) fn check(&self) -> Result<(), PlanRejection> {
        use ThumbnailMode as Mode;
        let refuse =
            |field: &str, detail: String| Err(PlanRejection::at(format!("#/{field}"), detail));
        let mode = self.mode.as_str();
        let uses = |field: &str| match field {
            "timestamp" => matches!(self.mode, Mode::Single | Mode::Animated),
            "interval" => matches!(self.mode, Mode::Interval | Mode::Sprite),
            "count" => matches!(self.mode, Mode::Count | Mode::Grid),
            _ => matches!(self.mode, Mode::Grid | Mode::Sprite),
        };
        for (field, given) in [
            ("timestamp", self.timestamp.is_some()),
            ("interval", self.interval.is_some()),
            ("count", self.count.is_some()),
            ("columns", self.columns.is_some()),
        ] {
            if given && !uses(field) {
                return refuse(field, format!("`{field}` has no effect with the mode `{mode}`"));
            }
        }
        if self.mode == Mode::Interval && self.interval.is_none() {
            return refuse("interval", "the mode `interval` needs an `interval`".to_owned());
        }
        if self.mode == Mode::Count && self.count.is_none() {
            return refuse("count", "the mode `count` needs a `count`".to_owned());
        }
        if self.interval.is_some_and(|interval| interval < 40_000) {
            return refuse("interval", "`interval` is at least 0.04 seconds".to_owned());
        }
        if self.count.is_some_and(|count| !(1..=1_000).contains(&count)) {
            return refuse("count", "`count` is 1 to 1000".to_owned());
        }
        if self.columns.is_some_and(|columns| !(1..=20).contains(&columns)) {
            return refuse("columns", "`columns` is 1 to 20".to_owned());
        }
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(16..=4096).contains(&side)) {
                return refuse(field, format!("{field} is 16 to 4096 pixels"));
            }
        }
        let can_animate = matches!(self.image_format(), ImageFormat::Webp | ImageFormat::Gif);
        if self.mode == Mode::Animated && !can_animate {
            let detail = "an animated image is `webp` or `gif`".to_owned();
            return refuse("format", detail);
        }
        if self.mode != Mode::Animated && self.format == Some(ImageFormat::Gif) {
            let detail = "`gif` is for the mode `animated`; `jpeg`, `png` and `webp` work here";
            return refuse("format", detail.to_owned());
        }
        Ok(())
    }

    /// The plan for an input of the given duration.
    pub fn plan(&self, duration: Option<Micros>) -> Result<ThumbnailsPlan, PlanRejection> {
        use ThumbnailMode as Mode;
        self.check()?;
        let refuse =
            |field: &str, detail: String| Err(PlanRejection::at(format!("#/{field}"), detail));
        let Some(duration) = duration.filter(|duration| *duration > 0) else {
            let detail = "the input does not say how long it is; convert it first".to_owned();
            return refuse("input", detail);
        };
        let spread = |count: u64| {
            // The middles of equal parts.
            let part = |n: u64| duration.saturating_mul(2 * n + 1) / (2 * count);
            ((0..count).map(part).collect::<Vec<_>>(), duration / (2 * count))
        };
        let every = |interval: Micros| {
            let count = duration.div_ceil(interval.max(1));
            (0..count.min(MAX_FILES.saturating_add(1)))
                .map(|n| n.saturating_mul(interval))
                .collect::<Vec<_>>()
        };
        let (times, choice) = match self.mode {
            Mode::Single | Mode::Animated => match self.timestamp {
                Some(at) if at >= duration => {
                    let seconds = duration / 1_000_000;
                    let detail =
                        format!("`timestamp` is beyond the end: the input lasts {seconds} s");
                    return refuse("timestamp", detail);
                }
                Some(at) => (vec![at], 0),
                None => (vec![duration / 10], duration / 2),
            },
            Mode::Interval => (every(self.interval.unwrap_or(10_000_000)), 0),
            Mode::Sprite => {
                let default = (duration / u64::from(SHEET_SIZE)).max(1_000_000);
                (every(self.interval.unwrap_or(default)), 0)
            }
            Mode::Count | Mode::Grid => spread(u64::from(self.count.unwrap_or(9))),
        };
        if times.len() as u64 > MAX_FILES {
            let detail = format!("that would be over {MAX_FILES} images; take fewer");
            return refuse("interval", detail);
        }
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let square =
            (1..=100).find(|side: &u32| side.saturating_mul(*side) >= count).unwrap_or(100);
        let columns = match self.mode {
            Mode::Grid => self.columns.unwrap_or(square).min(count),
            Mode::Sprite => self.columns.unwrap_or(10).min(count.max(1)),
            Mode::Single | Mode::Interval | Mode::Count | Mode::Animated => 1,
        };
        let rows = match self.mode {
            Mode::Grid => count.div_ceil(columns.max(1)),
            Mode::Sprite => {
                count.div_ceil(columns.max(1)).min((SHEET_SIZE / columns.max(1)).max(1))
            }
            Mode::Single | Mode::Interval | Mode::Count | Mode::Animated => 1,
        };
        Ok(ThumbnailsPlan { times, choice, columns, rows })
    }
}
