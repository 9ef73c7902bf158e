//! Measurements: FFmpeg's own filters look and listen, their findings are read off the frames.

mod findings;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use domain::{
    job::FailureCode,
    media::{Analyze, MediaFacts, Metric, Source, StreamFacts, VideoFacts},
};
use ffmpeg_the_third::{Packet, Rescale, frame};
use serde_json::{Map, Value, json};

pub(super) use self::findings::mean;
use self::findings::{Comparison, Complexity, Findings, Intervals, Loudness, Scenes, each_frame};
use super::{
    MICROS, Studio, Work,
    flow::Flow,
    passes,
    quality::{self, SideBySide},
    script::Fed,
    tally::Tally,
};
use crate::{
    MediaError, open,
    protocol::{Report, Said},
    pulse::Pulse,
};

/// Finds out what was asked for; pictures and sound are decoded once.
pub(super) fn analyze(request: &Analyze, work: &Work<'_>) -> Result<Report, MediaError> {
    let start = Instant::now();
    let pulse = Pulse::new(work.say);
    let studio = Studio { inputs: work.inputs, scratch: passes::scratch(), pulse: &pulse };
    let facts = studio.facts()?;
    let own = super::own(&facts)?;
    (work.say)(Said::Facts(Box::new(own.clone())));
    check(request, own)?;
    let tally = Tally::new(work.say, own.duration, 1);
    tally.begin(0, "analyzing");
    let mut result = Map::new();
    measure(request, &studio, &facts, &tally, &mut result)?;
    let of_packets = [Metric::Bitrate, Metric::Keyframes];
    if request.metrics.iter().any(|metric| of_packets.contains(metric)) {
        packets(request, work, own, &pulse, &mut result)?;
    }
    tally.tell();
    Ok(Report {
        files: vec![],
        result: Some(Value::Object(result)),
        frames: 0,
        elapsed: start.elapsed().as_secs_f64(),
    })
}

/// Whether the input has what the metrics look at.
pub(super) fn check(request: &Analyze, own: &MediaFacts) -> Result<(), MediaError> {
    let unsupported = |place: usize, detail: String| {
        let detail = format!("#/metrics/{place}: {detail}");
        Err(MediaError::new(FailureCode::Unsupported, detail))
    };
    for (place, metric) in request.metrics.iter().enumerate() {
        let name = metric.as_str();
        if metric.of_picture() && own.video().is_none() {
            return unsupported(place, format!("`{name}` needs a picture, and the input has none"));
        }
        if metric.of_sound() && own.audio().is_none() {
            return unsupported(place, format!("`{name}` needs sound, and the input has none"));
        }
    }
    Ok(())
}

/// The filters of the metrics that look at the input alone.
fn alone(metrics: &[Metric], picture: bool) -> Vec<(Metric, &'static str)> {
    let filter = |metric: &Metric| match metric {
        Metric::Scenes => Some("scdet=threshold=10"),
        Metric::Black => Some("blackdetect=d=0.1:pix_th=0.10"),
        Metric::Complexity => Some("siti"),
        Metric::Loudness => Some("ebur128=metadata=1:peak=true"),
        Metric::Silence => Some("silencedetect=n=-60dB:d=0.5"),
        Metric::Vmaf | Metric::Psnr | Metric::Ssim | Metric::Bitrate | Metric::Keyframes => None,
    };
    let wanted = metrics.iter().filter(|metric| metric.of_picture() == picture);
    wanted.filter_map(|metric| Some((*metric, filter(metric)?))).collect()
}

fn measure(
    request: &Analyze,
    studio: &Studio<'_>,
    facts: &[MediaFacts],
    tally: &Tally<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let mut flow = studio.flow(facts)?;
    let mut found: Vec<(Metric, Shared)> = Vec::new();
    let own = facts.first().ok_or_else(|| MediaError::internal("the inputs", "are none"))?;
    let mut add = |metric: Metric, findings: Box<dyn Findings>| {
        let shared: Shared = Arc::new(Mutex::new(findings));
        found.push((metric, Arc::clone(&shared)));
        shared
    };
    for picture in [true, false] {
        let filters = alone(&request.metrics, picture);
        let source = if picture { own.video().map(|v| v.0) } else { own.audio().map(|a| a.0) };
        let Some(source) = source.filter(|_| !filters.is_empty()) else { continue };
        let source = Source { input: 0, stream: source.index };
        let mut chain: Vec<&str> = filters.iter().map(|(_, filter)| *filter).collect();
        if picture {
            chain.insert(0, "format=yuv420p");
        }
        let script = (format!("[in0]{}[out]", chain.join(",")), vec![Fed::Stream(source)]);
        let watching = filters.iter().map(|(metric, _)| {
            let findings: Box<dyn Findings> = match metric {
                Metric::Scenes => Box::<Scenes>::default(),
                Metric::Black => Box::new(Intervals::new("lavfi.black")),
                Metric::Silence => Box::new(Intervals::new("lavfi.silence")),
                Metric::Loudness => Box::<Loudness>::default(),
                _ => Box::<Complexity>::default(),
            };
            add(*metric, findings)
        });
        let watching: Vec<Shared> = watching.collect();
        watch(&mut flow, script, watching, studio.pulse, tally)?;
    }
    // By FFmpeg's filters of the same names.
    let by_filter = |metric: &Metric| metric.needs_reference() && *metric != Metric::Vmaf;
    let compared: Vec<Metric> = request.metrics.iter().copied().filter(by_filter).collect();
    if !compared.is_empty() {
        let script = comparison(facts, &compared)?;
        let watching = compared
            .iter()
            .map(|metric| add(*metric, Box::new(Comparison::new(*metric, request.per_frame))));
        let watching: Vec<Shared> = watching.collect();
        watch(&mut flow, script, watching, studio.pulse, tally)?;
    }
    let scores = Arc::new(Mutex::new(None));
    let vmaf = request.metrics.contains(&Metric::Vmaf);
    if vmaf {
        let beside = side_by_side(&mut flow, facts)?;
        let (scores, pulse) = (Arc::clone(&scores), studio.pulse);
        flow.stage(move || {
            let found = beside.run(pulse, |at| tally.reach(at))?;
            *scores.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            Ok(())
        });
    }
    if found.is_empty() && !vmaf {
        return Ok(());
    }
    flow.run(0)?;
    if let Some(scores) = scores.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut told = quality::pooled(&scores)?;
        if request.per_frame {
            each_frame(&mut told, scores.iter().map(|score| json!(quality::rounded(*score))))?;
        }
        result.insert(Metric::Vmaf.as_str().to_owned(), told);
    }
    let duration = own.duration.map(super::convert::seconds);
    for (metric, findings) in found {
        let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
        result.insert(metric.as_str().to_owned(), findings.tell(duration)?);
    }
    Ok(())
}

type Shared = Arc<Mutex<Box<dyn Findings>>>;

fn watch<'env>(
    flow: &mut Flow<'env>,
    script: (String, Vec<Fed>),
    watching: Vec<Shared>,
    pulse: &'env Pulse<'env>,
    tally: &'env Tally<'env>,
) -> Result<(), MediaError> {
    let mut filtering = flow.filter(script, None)?;
    let (time_base, ..) = filtering.outcome()?;
    flow.stage(move || {
        while let Some(frame) = filtering.next(pulse)? {
            let at =
                u64::try_from(frame.pts().unwrap_or(0).rescale(time_base, MICROS)).unwrap_or(0);
            tally.frame();
            tally.reach(at);
            for findings in &watching {
                let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.see(&frame, super::convert::seconds(at));
            }
        }
        Ok(())
    });
    Ok(())
}

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
        let turn = match film.rotation {
            90 => "transpose=clock,",
            270 => "transpose=cclock,",
            180 => "hflip,vflip,",
            _ => "",
        };
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

/// Both films in one graph, frame beside frame.
fn comparison(facts: &[MediaFacts], metrics: &[Metric]) -> Result<(String, Vec<Fed>), MediaError> {
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
fn side_by_side(flow: &mut Flow<'_>, facts: &[MediaFacts]) -> Result<SideBySide, MediaError> {
    let films = Compared::of(facts)?;
    let mut aligned = |film: &VideoFacts, fed| {
        flow.filter((format!("[in0]{}[out]", films.align(film)), vec![fed]), None)
    };
    Ok(SideBySide {
        film: aligned(films.own.1, films.own())?,
        reference: aligned(films.reference.1, films.reference())?,
        depth: films.depth(),
        threads: quality::every_core(),
    })
}

const fn upright(film: &VideoFacts) -> (u32, u32) {
    if film.rotation.is_multiple_of(180) {
        (film.width, film.height)
    } else {
        (film.height, film.width)
    }
}

/// A day, in seconds: what lies about its times is not told a curve of.
const LONGEST: usize = 86_400;

/// More keyframes than these are not listed: the film has nothing else.
const MAX_KEYS: usize = 50_000;

/// What the packets tell without being decoded.
fn packets(
    request: &Analyze,
    work: &Work<'_>,
    facts: &MediaFacts,
    pulse: &Pulse<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let (path, role) = work.first()?;
    let mut input = open::open(path, *role)?;
    let origin = input.start_time().unwrap_or(0);
    let bases: Vec<_> = input.context.streams().map(|stream| stream.time_base()).collect();
    let video = facts.video().and_then(|(stream, _)| usize::try_from(stream.index).ok());
    let mut seconds: Vec<u64> = Vec::new();
    let mut keys: Vec<f64> = Vec::new();
    let mut packet = Packet::empty();
    while packet.read(&mut input.context).is_ok() {
        pulse.beat();
        let base = bases.get(packet.stream()).copied().unwrap_or(MICROS);
        let at = packet.pts().or(packet.dts()).unwrap_or(0).rescale(base, MICROS);
        let at = u64::try_from(at.saturating_sub(origin)).unwrap_or(0);
        let second = usize::try_from(at / 1_000_000).unwrap_or(LONGEST);
        if second < LONGEST {
            if seconds.len() <= second {
                seconds.resize(second.saturating_add(1), 0);
            }
            if let Some(bits) = seconds.get_mut(second) {
                *bits = bits.saturating_add(packet.size() as u64 * 8);
            }
        }
        if Some(packet.stream()) == video && packet.is_key() && keys.len() < MAX_KEYS {
            keys.push(super::convert::seconds(at));
        }
    }
    if request.metrics.contains(&Metric::Bitrate) {
        let total: f64 = seconds.iter().copied().map(bits).sum();
        let most = seconds.iter().max().copied().unwrap_or(0);
        let lasts = facts.duration.map_or(0.0, super::convert::seconds);
        result.insert(
            "bitrate".to_owned(),
            json!({ "average": total / lasts.max(0.001), "max": most, "per_second": seconds }),
        );
    }
    if request.metrics.contains(&Metric::Keyframes) {
        let gaps: Vec<f64> = keys
            .windows(2)
            .map(|w| match w {
                [a, b] => b - a,
                _ => 0.0,
            })
            .collect();
        let longest = gaps.iter().copied().fold(0.0, f64::max);
        let mean = mean(gaps.iter().copied());
        result.insert(
            "keyframes".to_owned(),
            json!({
                "count": keys.len(), "times": keys,
                "max_interval": longest, "mean_interval": mean,
            }),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
const fn bits(bits: u64) -> f64 {
    bits as f64
}

/// A number that a filter wrote on a frame.
fn number(frame: &frame::Frame, key: &str) -> Option<f64> {
    frame.metadata().get(key).and_then(|text| text.trim().parse().ok())
}
