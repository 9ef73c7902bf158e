//! What a film is after the operations so far.

use super::{AudioFilter, CueSource, SubtitlePlan, TimeEdit, VideoFilter, Window};
use crate::media::{
    Axis, Hdr, MediaFacts, Micros, PlanRejection, Rational, VideoFacts, facts::Chroma,
};

/// The longest side of a picture.
pub(crate) const MAX_SIDE: u32 = 8192;

/// Which operation is being planned: where a refusal points.
pub(crate) struct Place(pub(crate) usize);

impl Place {
    pub(crate) fn refuse<T>(
        &self,
        field: &str,
        detail: impl Into<String>,
    ) -> Result<T, PlanRejection> {
        let slash = if field.is_empty() { "" } else { "/" };
        Err(PlanRejection::at(format!("#/operations/{}{slash}{field}", self.0), detail))
    }
}

/// A stream of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Which input; 0 is the job's own.
    pub input: usize,
    /// Which of its streams.
    pub stream: u32,
}

/// A film on its way through the operations.
pub(crate) struct Draft<'a> {
    /// What is known of the inputs; none before anybody opened them.
    pub(crate) inputs: Option<&'a [MediaFacts]>,
    pub(crate) picture: Option<Picture>,
    pub(crate) sound: Option<Sound>,
    pub(crate) duration: Option<Micros>,
    pub(crate) cues: Vec<CueSource>,
    pub(crate) subtitles: Vec<SubtitlePlan>,
    /// What happened to the times of the job's own input.
    pub(crate) edits: Vec<TimeEdit>,
    pub(crate) notes: Vec<String>,
    pub(crate) seek: Micros,
    taken: usize,
}

/// The picture so far.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) aspect: Rational,
    /// 0 when unknown.
    pub(crate) rate: Rational,
    pub(crate) variable_rate: bool,
    pub(crate) depth: u8,
    pub(crate) chroma: Chroma,
    pub(crate) alpha: bool,
    pub(crate) interlaced: bool,
    pub(crate) levels: Levels,
    pub(crate) hdr: Option<Hdr>,
    pub(crate) wide_gamut: bool,
    pub(crate) peak: f64,
    pub(crate) filters: Vec<VideoFilter>,
}

/// How a picture tells brightness and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    /// As video does.
    Video,
    /// With all that a byte holds.
    Full,
    /// As red, green and blue.
    Rgb,
}

impl Levels {
    fn of(facts: &VideoFacts) -> Self {
        let is = |sign: &str| facts.pixel_format.contains(sign);
        if ["rgb", "bgr", "gbr", "pal8"].into_iter().any(is) {
            Self::Rgb
        } else if is("yuvj") || facts.color.range.as_deref() == Some("pc") {
            Self::Full
        } else {
            Self::Video
        }
    }
}

/// The sound so far; each source becomes a stream, and all are treated alike.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub(crate) sources: Vec<Source>,
    pub(crate) channels: Option<u32>,
    pub(crate) sample_rate: Option<u32>,
    pub(crate) filters: Vec<AudioFilter>,
}

impl<'a> Draft<'a> {
    pub(crate) fn begin(inputs: Option<&'a [MediaFacts]>) -> Self {
        Self {
            inputs,
            picture: None,
            sound: None,
            duration: None,
            cues: vec![],
            subtitles: vec![],
            edits: vec![],
            notes: vec![],
            seek: 0,
            taken: 1,
        }
    }

    /// The next of the inputs that operations name, in their order.
    pub(crate) fn next_input(&mut self) -> (usize, Option<&'a MediaFacts>) {
        let number = self.taken;
        self.taken = number.saturating_add(1);
        (number, self.inputs.and_then(|inputs| inputs.get(number)))
    }

    pub(crate) fn the_picture(
        &mut self,
        at: &Place,
        field: &str,
    ) -> Result<&mut Picture, PlanRejection> {
        match &mut self.picture {
            Some(picture) => Ok(picture),
            None => at.refuse(field, "there is no picture here; the operation needs one"),
        }
    }

    pub(crate) fn the_sound(
        &mut self,
        at: &Place,
        field: &str,
    ) -> Result<&mut Sound, PlanRejection> {
        match &mut self.sound {
            Some(sound) => Ok(sound),
            None => at.refuse(field, "there is no sound here; the operation needs some"),
        }
    }

    pub(crate) fn on_picture(&mut self, change: impl FnOnce(&mut Picture)) {
        if let Some(picture) = &mut self.picture {
            change(picture);
        }
    }

    pub(crate) fn on_sound(&mut self, change: impl FnOnce(&mut Sound)) {
        if let Some(sound) = &mut self.sound {
            change(sound);
        }
    }

    /// A part was kept.
    pub(crate) fn cut(&mut self, window: Window) {
        let measured = self
            .sound
            .as_ref()
            .is_some_and(|sound| sound.filters.iter().any(|f| !matches!(f, AudioFilter::Trim(_))));
        let only_cuts = self.edits.iter().all(|edit| matches!(edit, TimeEdit::Trim(_)));
        let joined = self.taken > 1 || measured;
        if only_cuts && !joined {
            self.seek = self.seek.saturating_add(window.start);
        }
        self.edit(TimeEdit::Trim(window));
    }

    /// Everything was made faster or slower.
    pub(crate) fn speed_up(&mut self, factor: f64) {
        self.edit(TimeEdit::Speed(factor));
    }

    fn edit(&mut self, edit: TimeEdit) {
        self.edits.push(edit);
        for subtitles in &mut self.subtitles {
            subtitles.source.edits.push(edit);
        }
    }

    /// How much of an own input that lasts so long is decoded for what is left of it.
    pub(crate) fn decoded(&self, lasts: Option<Micros>) -> Option<Micros> {
        let end = self.edits.iter().rev().fold(None, |end, edit| edit.end_before(end));
        let end = end.into_iter().chain(lasts).min()?;
        Some(end.saturating_sub(self.seek))
    }

    /// A subtitle stream of the job's own input, moved as the film was.
    pub(crate) fn own_cues(&self, stream: u32) -> CueSource {
        CueSource { input: 0, stream, edits: self.edits.clone() }
    }
}

/// A pixel's shape; square where a file claims a shape that no pixel has.
const fn believable(aspect: Rational) -> Rational {
    let Rational { num, den } = aspect;
    let (wide, high) = (num.saturating_mul(16), den.saturating_mul(16));
    if num == 0 || den == 0 || num > high || den > wide { Rational::ONE } else { aspect }
}

/// The next even number below; never 0.
pub(crate) const fn even(side: u32) -> u32 {
    if side < 2 { 2 } else { side - side % 2 }
}

impl Picture {
    /// A film's own picture, upright.
    pub(crate) fn of(facts: &VideoFacts) -> Self {
        let color = &facts.color;
        let light = color.max_content_light.map(f64::from).or(color.mastering_peak);
        let mut picture = Self {
            width: facts.width,
            height: facts.height,
            aspect: believable(facts.pixel_aspect),
            rate: facts.frame_rate,
            variable_rate: facts.variable_rate,
            depth: facts.bit_depth,
            chroma: facts.chroma,
            alpha: facts.alpha,
            interlaced: facts.interlaced,
            levels: Levels::of(facts),
            hdr: color.hdr,
            wide_gamut: color.primaries.as_deref() == Some("bt2020"),
            peak: light.unwrap_or(1_000.0).clamp(100.0, 10_000.0),
            filters: vec![],
        };
        if facts.rotation != 0 {
            picture.filters.push(VideoFilter::Rotate(facts.rotation));
            picture.turn(facts.rotation);
        }
        if facts.mirrored {
            picture.filters.push(VideoFilter::Flip(Axis::Horizontal));
        }
        picture
    }

    /// Its size in square pixels.
    pub(crate) fn shown_size(&self) -> (u32, u32) {
        let wide = u64::from(self.width) * u64::from(self.aspect.num);
        let shown =
            wide.saturating_add(u64::from(self.aspect.den) / 2) / u64::from(self.aspect.den.max(1));
        (u32::try_from(shown).unwrap_or(u32::MAX).max(1), self.height)
    }

    /// Resizes it to square pixels.
    pub(crate) fn scale_to(&mut self, (width, height): (u32, u32)) {
        if (width, height) != (self.width, self.height) || self.aspect.num != self.aspect.den {
            self.filters.push(VideoFilter::Scale { width, height });
        }
        (self.width, self.height) = (width, height);
        self.aspect = Rational::ONE;
    }

    /// Its sides change places after a quarter turn.
    pub(crate) const fn turn(&mut self, degrees: u16) {
        if !degrees.is_multiple_of(180) {
            (self.width, self.height) = (self.height, self.width);
            let Rational { num, den } = self.aspect;
            self.aspect = Rational { num: den, den: num };
        }
    }

    /// Brings it to the levels of video.
    pub(crate) fn level(&mut self) {
        if self.levels != Levels::Video {
            self.filters.push(VideoFilter::Levels { rgb: self.levels == Levels::Rgb });
        }
        self.levels = Levels::Video;
    }

    pub(crate) fn deinterlace(&mut self) {
        self.filters.push(VideoFilter::Deinterlace);
        self.interlaced = false;
    }

    /// Brings it to BT.709. A film that does not say what it is is taken for PQ, the commoner kind.
    pub(crate) fn tonemap(&mut self) {
        let from = self.hdr.unwrap_or(Hdr::Pq);
        self.filters.push(VideoFilter::Tonemap { from, peak: self.peak });
        self.hdr = None;
        self.wide_gamut = false;
    }
}

impl Sound {
    pub(crate) fn of(source: Source) -> Self {
        Self { sources: vec![source], channels: None, sample_rate: None, filters: vec![] }
    }
}
