//! Two films brought to one size, rate and depth.

use ffapi_domain::{
    job::FailureCode,
    media::{MediaFacts, Metric, Source, StreamFacts, VideoFacts},
};

use crate::{
    MediaError,
    engine::{
        filtergraph::{Fed, turned},
        flow::Flow,
        quality::{SideBySide, every_core},
    },
};

/// Two films to be compared, each with its stream.
struct Compared<'a> {
    own: (&'a StreamFacts, &'a VideoFacts),
    reference: (&'a StreamFacts, &'a VideoFacts),
}

impl<'a> Compared<'a> {
    fn of(facts: &'a [MediaFacts]) -> Result<Self, MediaError> {
        let missing = || {
            let detail = "a comparison needs a picture in both files";
            MediaError::new(FailureCode::Unsupported, detail)
        };
        let film =
            |number: usize| facts.get(number).and_then(MediaFacts::video).ok_or_else(missing);
        Ok(Self { own: film(0)?, reference: film(1)? })
    }

    const fn own(&self) -> Fed {
        Fed::Stream(Source { input: 0, stream: self.own.0.index })
    }

    const fn reference(&self) -> Fed {
        Fed::Stream(Source { input: 1, stream: self.reference.0.index })
    }

    /// Bits of a sample while they are compared.
    const fn depth(&self) -> u32 {
        if self.reference.1.bit_depth > 8 { 10 } else { 8 }
    }

    /// What brings a film to the reference's size, rate and format, counting from 0.
    fn align(&self, film: &VideoFacts) -> String {
        let wanted = self.reference.1;
        let (width, height) = upright(wanted);
        let turn = turned(film);
        let rate = wanted.frame_rate;
        let rated = if film.frame_rate == rate || rate.num == 0 {
            String::new()
        } else {
            format!("fps={}/{},", rate.num, rate.den)
        };
        let format = if self.depth() > 8 { "yuv420p10le" } else { "yuv420p" };
        let sized = if upright(film) == (width, height) {
            String::new()
        } else {
            format!("scale={width}:{height}:flags=bicubic,")
        };
        format!("{turn}{rated}{sized}setsar=1,format={format},settb=AVTB,setpts=PTS-STARTPTS")
    }
}

/// The largest value that a sample has while they are compared.
pub(super) fn peak(facts: &[MediaFacts]) -> Result<f64, MediaError> {
    Ok(if Compared::of(facts)?.depth() > 8 { 1023.0 } else { 255.0 })
}

/// Both films in one graph, frame beside frame.
pub(super) fn comparison(
    facts: &[MediaFacts],
    metrics: &[Metric],
) -> Result<(String, Vec<Fed>), MediaError> {
    let films = Compared::of(facts)?;
    let ways = metrics.len();
    let copies: Vec<String> = (0..ways).map(|n| format!("[r{n}]")).collect();
    let mut parts = vec![
        format!("[in0]{}[d0]", films.align(films.own.1)),
        format!("[in1]{},split={ways}{}", films.align(films.reference.1), copies.join("")),
    ];
    for (number, metric) in metrics.iter().enumerate() {
        let to = match number.checked_add(1) {
            Some(next) if next < ways => format!("[d{next}]"),
            _ => "[out]".to_owned(),
        };
        // A film that is longer than the other is compared as far as both go.
        let compare = format!("{}=eof_action=endall:shortest=1", metric.as_str());
        parts.push(format!("[d{number}][r{number}]{compare}{to}"));
    }
    Ok((parts.join(";"), vec![films.own(), films.reference()]))
}

/// Each film in a graph of its own.
pub(super) fn side_by_side<'env>(
    flow: &mut Flow<'env>,
    facts: &[MediaFacts],
) -> Result<SideBySide<'env>, MediaError> {
    let films = Compared::of(facts)?;
    let mut aligned = |film: &VideoFacts, fed| {
        flow.filter((format!("[in0]{}[out]", films.align(film)), vec![fed]), None)
    };
    Ok(SideBySide {
        film: aligned(films.own.1, films.own())?,
        reference: aligned(films.reference.1, films.reference())?,
        depth: films.depth(),
        threads: every_core(),
    })
}

const fn upright(film: &VideoFacts) -> (u32, u32) {
    if film.rotation.is_multiple_of(180) {
        (film.width, film.height)
    } else {
        (film.height, film.width)
    }
}
