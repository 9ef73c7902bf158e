use serde::{Deserialize, Serialize};

use super::{MAX_FILES, Micros, Overwrite};
use crate::{
    Personal,
    location::Location,
    media::{PlanRejection, codec::words},
};

/// Takes pictures of a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnails {
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// The folder where they go.
    pub output: Personal<Location>,
    /// Which pictures.
    pub mode: ThumbnailMode,
    /// `single`: the instant; `animated`: where it begins. A good one is chosen when absent.
    #[serde(default)]
    pub timestamp: Option<Micros>,
    /// `interval`, `sprite`: from one picture to the next.
    #[serde(default)]
    pub interval: Option<Micros>,
    /// `count`, `grid`: how many.
    #[serde(default)]
    pub count: Option<u32>,
    /// Pixels of one picture.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels of one picture.
    #[serde(default)]
    pub height: Option<u32>,
    /// The files' format.
    #[serde(default)]
    pub format: Option<PictureFormat>,
    /// `grid`, `sprite`: pictures in a row.
    #[serde(default)]
    pub columns: Option<u32>,
    /// If an output's name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

words! {
    /// Which pictures are taken.
    ThumbnailMode {
        /// One.
        Single = "single",
        /// One every so often, a file each.
        Interval = "interval",
        /// So many, evenly spread, a file each.
        Count = "count",
        /// So many, evenly spread, on one picture.
        Grid = "grid",
        /// One every so often, on sheets, with a `WebVTT` file that says what is where.
        Sprite = "sprite",
        /// A short moving picture.
        Animated = "animated",
    }
}

words! {
    /// What a picture is stored as.
    PictureFormat {
        /// Small.
        Jpeg = "jpeg",
        /// Exact.
        Png = "png",
        /// Smaller.
        Webp = "webp",
        /// Moving, everywhere.
        Gif = "gif",
    }
}

impl PictureFormat {
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

/// When the pictures of a film are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailsPlan {
    /// In order.
    pub times: Vec<Micros>,
    /// How far after each a better picture may be looked for; 0 takes what is there.
    pub choice: Micros,
    /// Pictures in a row, where they share a file.
    pub columns: u32,
    /// Rows of a file, where they share one.
    pub rows: u32,
}

/// Pictures on one sheet of a sprite.
const SHEET: u32 = 100;

impl Thumbnails {
    /// The format, chosen or usual.
    pub fn picture_format(&self) -> PictureFormat {
        self.format.unwrap_or(match self.mode {
            ThumbnailMode::Animated => PictureFormat::Webp,
            ThumbnailMode::Single
            | ThumbnailMode::Interval
            | ThumbnailMode::Count
            | ThumbnailMode::Grid
            | ThumbnailMode::Sprite => PictureFormat::Jpeg,
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
        let moves = matches!(self.picture_format(), PictureFormat::Webp | PictureFormat::Gif);
        if self.mode == Mode::Animated && !moves {
            let detail = "a moving picture is `webp` or `gif`".to_owned();
            return refuse("format", detail);
        }
        if self.mode != Mode::Animated && self.format == Some(PictureFormat::Gif) {
            let detail = "`gif` is for the mode `animated`; `jpeg`, `png` and `webp` work here";
            return refuse("format", detail.to_owned());
        }
        Ok(())
    }

    /// When the pictures are taken, of a film of a known length.
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
            // The middle of so many equal parts.
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
                    let detail = format!("the film is over by then: it lasts {seconds} s");
                    return refuse("timestamp", detail);
                }
                Some(at) => (vec![at], 0),
                None => (vec![duration / 10], duration / 2),
            },
            Mode::Interval => (every(self.interval.unwrap_or(10_000_000)), 0),
            Mode::Sprite => {
                let usual = (duration / u64::from(SHEET)).max(1_000_000);
                (every(self.interval.unwrap_or(usual)), 0)
            }
            Mode::Count | Mode::Grid => spread(u64::from(self.count.unwrap_or(9))),
        };
        if times.len() as u64 > MAX_FILES {
            let detail = format!("that would be over {MAX_FILES} pictures; take fewer");
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
            Mode::Sprite => count.div_ceil(columns.max(1)).min((SHEET / columns.max(1)).max(1)),
            Mode::Single | Mode::Interval | Mode::Count | Mode::Animated => 1,
        };
        Ok(ThumbnailsPlan { times, choice, columns, rows })
    }
}
