//! The state of the video and audio after the operations so far.

use super::{AudioFilter, CueSource, SubtitlePlan, TimeEdit, VideoFilter, Window};
use crate::media::{
    Axis, Hdr, Matrix, MediaFacts, Micros, PlanRejection, Rational, Size, StreamFacts, VideoFacts,
    facts::Chroma,
};

/// Maximum side of a frame in pixels.
pub(crate) const MAX_SIDE: u32 = 8192;

/// Maximum frame rate that a variable one is converted to.
const MAX_CONSTANT_RATE: f64 = 60.0;

/// Index of the operation that is being planned: rejections point to it.
pub(crate) struct OperationPath(pub(crate) usize);

impl OperationPath {
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
    /// Index of the input; 0 is the job's own.
    pub input: usize,
    /// Index of the stream in the input.
    pub stream: u32,
}

/// Builds a plan by applying operations one by one.
pub(crate) struct PlanBuilder<'a> {
    /// Facts of the inputs; `None` before they are probed.
    pub(crate) inputs: Option<&'a [MediaFacts]>,
    pub(crate) video: Option<VideoTrack>,
    pub(crate) audio: Option<AudioTrack>,
    /// True if an operation may add audio: the output has some, and the job's own input has none.
    pub(crate) may_add_audio: bool,
    /// The duration that the container of the job's own input states, after the operations so far.
    pub(crate) container_duration: Option<Micros>,
    pub(crate) cues: Vec<CueSource>,
    pub(crate) subtitles: Vec<SubtitlePlan>,
    /// Changes of the timing of the job's own input.
    pub(crate) edits: Vec<TimeEdit>,
    pub(crate) notes: Vec<String>,
    pub(crate) seek: Micros,
    inputs_used: usize,
}

/// State of the video after the operations so far.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct VideoTrack {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) aspect: Rational,
    /// Frame rate; 0 if unknown.
    pub(crate) rate: Rational,
    pub(crate) variable_rate: bool,
    /// The lowest rate on whose grid all timestamps lie.
    pub(crate) base_rate: Option<Rational>,
    pub(crate) depth: u8,
    pub(crate) chroma: Chroma,
    pub(crate) alpha: bool,
    pub(crate) interlaced: bool,
    pub(crate) levels: Levels,
    pub(crate) matrix: Matrix,
    pub(crate) hdr: Option<Hdr>,
    pub(crate) wide_gamut: bool,
    pub(crate) peak: f64,
    pub(crate) filters: Vec<VideoFilter>,
    /// Its end after the operations so far, if the input states when this stream ends.
    pub(crate) end: Option<Micros>,
}

/// Colour encoding and range of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    /// Limited-range YUV, as usual for video.
    Video,
    /// Full-range YUV.
    Full,
    /// RGB.
    Rgb,
}

impl Levels {
    fn of(facts: &VideoFacts) -> Self {
        let is = |part: &str| facts.pixel_format.contains(part);
        if ["rgb", "bgr", "gbr", "pal8"].into_iter().any(is) {
            Self::Rgb
        } else if is("yuvj") || facts.color.range.as_deref() == Some("pc") {
            Self::Full
        } else {
            Self::Video
        }
    }
}

/// State of the audio after the operations so far; each source becomes a stream, and all are
/// processed alike.
#[derive(Debug, Clone)]
pub(crate) struct AudioTrack {
    pub(crate) sources: Vec<Source>,
    pub(crate) channels: Option<u32>,
    pub(crate) sample_rate: Option<u32>,
    pub(crate) filters: Vec<AudioFilter>,
    /// The end of the last source after the operations so far, if the input states when each ends.
    pub(crate) end: Option<Micros>,
}

impl<'a> PlanBuilder<'a> {
    pub(crate) fn new(inputs: Option<&'a [MediaFacts]>) -> Self {
        Self {
            inputs,
            video: None,
            audio: None,
            may_add_audio: false,
            container_duration: None,
            cues: vec![],
            subtitles: vec![],
            edits: vec![],
            notes: vec![],
            seek: 0,
            inputs_used: 1,
        }
    }

    /// The next of the inputs that operations refer to, in their order.
    pub(crate) fn next_input(&mut self) -> (usize, Option<&'a MediaFacts>) {
        let number = self.inputs_used;
        self.inputs_used = number.saturating_add(1);
        (number, self.inputs.and_then(|inputs| inputs.get(number)))
    }

    pub(crate) fn require_video(
        &mut self,
        at: &OperationPath,
        field: &str,
    ) -> Result<&mut VideoTrack, PlanRejection> {
        match &mut self.video {
            Some(track) => Ok(track),
            None => at.refuse(field, "there is no video here; the operation needs it"),
        }
    }

    pub(crate) fn require_audio(
        &mut self,
        at: &OperationPath,
        field: &str,
    ) -> Result<&mut AudioTrack, PlanRejection> {
        match &mut self.audio {
            Some(track) => Ok(track),
            None => at.refuse(field, "there is no audio here; the operation needs it"),
        }
    }

    pub(crate) fn update_video(&mut self, change: impl FnOnce(&mut VideoTrack)) {
        if let Some(track) = &mut self.video {
            change(track);
        }
    }

    pub(crate) fn update_audio(&mut self, change: impl FnOnce(&mut AudioTrack)) {
        if let Some(track) = &mut self.audio {
            change(track);
        }
    }

    /// The duration of what is kept so far: the end of its last track, or the duration of the
    /// container if a track does not state its end.
    pub(crate) fn duration(&self) -> Option<Micros> {
        self.last_end().or(self.container_duration)
    }

    /// The end of the last track that is kept; `None` if one of them does not state its end.
    pub(crate) fn last_end(&self) -> Option<Micros> {
        let video = self.video.as_ref().map(|track| track.end);
        let audio = self.audio.as_ref().map(|track| track.end);
        let ends: Option<Vec<Micros>> = [video, audio].into_iter().flatten().collect();
        ends?.into_iter().max()
    }

    /// Changes the end of everything, where it is known.
    pub(crate) fn change_ends(&mut self, change: impl Fn(Micros) -> Micros) {
        self.container_duration = self.container_duration.map(&change);
        self.update_video(|track| track.end = track.end.map(&change));
        self.update_audio(|track| track.end = track.end.map(&change));
    }

    /// Sets the end of everything.
    pub(crate) fn set_ends(&mut self, end: Option<Micros>) {
        self.container_duration = end;
        self.update_video(|track| track.end = end);
        self.update_audio(|track| track.end = end);
    }

    /// The end of a stream of the job's own input after the edits so far.
    pub(crate) fn end_of(&self, stream: &StreamFacts) -> Option<Micros> {
        let whole = (0, stream.end()?);
        let kept = self.edits.iter().try_fold(whole, |span, edit| edit.apply(span));
        Some(kept.map_or(0, |(_, end)| end))
    }

    /// Records that only a part was kept.
    pub(crate) fn cut(&mut self, window: Window) {
        let measured = self
            .audio
            .as_ref()
            .is_some_and(|track| track.filters.iter().any(|f| !matches!(f, AudioFilter::Trim(_))));
        let only_cuts = self.edits.iter().all(|edit| matches!(edit, TimeEdit::Trim(_)));
        let needs_start = self.inputs_used > 1 || measured;
        if only_cuts && !needs_start {
            self.seek = self.seek.saturating_add(window.start);
        }
        self.edit(TimeEdit::Trim(window));
    }

    /// Records that everything was made faster or slower.
    pub(crate) fn speed_up(&mut self, factor: f64) {
        self.edit(TimeEdit::Speed(factor));
    }

    fn edit(&mut self, edit: TimeEdit) {
        self.edits.push(edit);
        for subtitles in &mut self.subtitles {
            subtitles.source.edits.push(edit);
        }
    }

    /// How much of the job's own input, of the given duration, is decoded for what is kept.
    pub(crate) fn decoded(&self, duration: Option<Micros>) -> Option<Micros> {
        let end = self.edits.iter().rev().fold(None, |end, edit| edit.end_before(end));
        let end = end.into_iter().chain(duration).min()?;
        Some(end.saturating_sub(self.seek))
    }

    /// A subtitle stream of the job's own input, with the timing changes so far.
    pub(crate) fn own_cues(&self, stream: u32) -> CueSource {
        CueSource { input: 0, stream, edits: self.edits.clone() }
    }
}

/// Aspect ratio of a pixel; square if the file states an implausible one.
const fn plausible_aspect(aspect: Rational) -> Rational {
    let Rational { num, den } = aspect;
    let (wide, high) = (num.saturating_mul(16), den.saturating_mul(16));
    if num == 0 || den == 0 || num > high || den > wide { Rational::ONE } else { aspect }
}

/// Rounds down to an even number, at least 2.
pub(crate) const fn even(side: u32) -> u32 {
    if side < 2 { 2 } else { side - side % 2 }
}

impl VideoTrack {
    /// The video of an input, rotated upright.
    pub(crate) fn of(facts: &VideoFacts) -> Self {
        let color = &facts.color;
        let light = color.max_content_light.map(f64::from).or(color.mastering_peak);
        let mut track = Self {
            width: facts.width,
            height: facts.height,
            aspect: plausible_aspect(facts.pixel_aspect),
            rate: facts.frame_rate,
            variable_rate: facts.variable_rate,
            base_rate: facts.base_rate,
            depth: facts.bit_depth,
            chroma: facts.chroma,
            alpha: facts.alpha,
            interlaced: facts.interlaced,
            levels: Levels::of(facts),
            matrix: facts.matrix(),
            hdr: color.hdr,
            wide_gamut: color.primaries.as_deref() == Some("bt2020"),
            peak: light.unwrap_or(1_000.0).clamp(100.0, 10_000.0),
            filters: vec![],
            end: None,
        };
        if facts.rotation != 0 {
            track.filters.push(VideoFilter::Rotate(facts.rotation));
            track.swap_sides(facts.rotation);
        }
        if facts.mirrored {
            track.filters.push(VideoFilter::Flip(Axis::Horizontal));
        }
        track
    }

    /// The constant rate that keeps its frames, up to 60 per second; none if its rate is unknown.
    pub(crate) fn constant_rate(&self) -> Option<Rational> {
        let average = Some(self.rate).filter(|rate| rate.num > 0)?;
        if !self.variable_rate {
            return Some(average);
        }
        let keeps = |rate: &Rational| {
            rate.as_f64() >= average.as_f64() && rate.as_f64() <= MAX_CONSTANT_RATE
        };
        // The base of most recorders is a thousandth of a second.
        let usual = [30, 60].map(|num| Rational { num, den: 1 });
        let usual = usual.into_iter().find(|rate| rate.as_f64() >= average.as_f64());
        self.base_rate.filter(keeps).or(usual).or(Some(average))
    }

    /// Converts it to a constant frame rate, if its rate is known.
    pub(crate) fn make_constant(&mut self) {
        if let Some(rate) = self.constant_rate() {
            self.filters.push(VideoFilter::Rate(rate));
            self.rate = rate;
            self.variable_rate = false;
        }
    }

    /// Its size in square pixels.
    pub(crate) fn display_size(&self) -> Size {
        let wide = u64::from(self.width) * u64::from(self.aspect.num);
        let shown =
            wide.saturating_add(u64::from(self.aspect.den) / 2) / u64::from(self.aspect.den.max(1));
        Size { width: u32::try_from(shown).unwrap_or(u32::MAX).max(1), height: self.height }
    }

    /// Resizes it to square pixels.
    pub(crate) fn scale_to(&mut self, Size { width, height }: Size) {
        if (width, height) != (self.width, self.height) || self.aspect.num != self.aspect.den {
            self.filters.push(VideoFilter::Scale { width, height });
        }
        (self.width, self.height) = (width, height);
        self.aspect = Rational::ONE;
    }

    /// Swaps width and height after a quarter turn.
    pub(crate) const fn swap_sides(&mut self, degrees: u16) {
        if !degrees.is_multiple_of(180) {
            (self.width, self.height) = (self.height, self.width);
            let Rational { num, den } = self.aspect;
            self.aspect = Rational { num: den, den: num };
        }
    }

    /// Converts it to limited-range YUV.
    pub(crate) fn normalize_levels(&mut self) {
        if self.levels != Levels::Video {
            self.filters.push(VideoFilter::Levels { rgb: self.levels == Levels::Rgb });
        }
        if self.levels == Levels::Rgb {
            self.matrix = Matrix::Bt709;
        }
        self.levels = Levels::Video;
    }

    /// Converts its samples to another matrix.
    pub(crate) fn convert_matrix(&mut self, matrix: Matrix) {
        if self.levels != Levels::Rgb && self.matrix != matrix {
            self.filters.push(VideoFilter::Matrix(matrix));
            self.matrix = matrix;
        }
    }

    pub(crate) fn deinterlace(&mut self) {
        self.filters.push(VideoFilter::Deinterlace);
        self.interlaced = false;
    }

    /// Tone-maps it to BT.709. A video of unknown transfer is assumed to be PQ, the more common
    /// one.
    pub(crate) fn tonemap(&mut self) {
        let from = self.hdr.unwrap_or(Hdr::Pq);
        self.filters.push(VideoFilter::Tonemap { from, peak: self.peak });
        self.hdr = None;
        self.wide_gamut = false;
        self.matrix = Matrix::Bt709;
    }
}

impl AudioTrack {
    pub(crate) fn of(source: Source) -> Self {
        Self {
            sources: vec![source],
            channels: None,
            sample_rate: None,
            filters: vec![],
            end: None,
        }
    }
}
