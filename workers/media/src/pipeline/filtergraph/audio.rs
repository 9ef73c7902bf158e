use ffapi_domain::media::{AudioFilter, AudioPlan, AudioSegment, Source};

use super::{GraphBuilder, GraphInput, seconds, window};

/// The filter graph of an audio track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AudioGraph<'a> {
    pub(crate) plan: &'a AudioPlan,
    /// FFmpeg's name of the encoder's sample format.
    pub(crate) sample_format: &'a str,
    /// The gain for its loudness target; known after the pass that measures it.
    pub(crate) gain: Option<Gain>,
}

/// The gain that brings an audio track to its loudness target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gain {
    /// Decibels.
    pub(crate) by: f64,
    /// True if peaks would exceed full scale, and are limited.
    pub(crate) limited: bool,
}

impl AudioGraph<'_> {
    /// All filters, with output in the format of the encoder.
    pub(crate) fn filtergraph(&self) -> (String, Vec<GraphInput>) {
        self.first_filters(self.plan.filters.len(), &[self.ending()])
    }

    /// The first `count` filters followed by `last`: for an analysis pass.
    pub(crate) fn prefix(&self, count: usize, last: &str) -> (String, Vec<GraphInput>) {
        let ending = format!("aformat=channel_layouts={}", layout(self.plan));
        self.first_filters(count, &[ending, last.to_owned()])
    }

    fn first_filters(&self, count: usize, end: &[String]) -> (String, Vec<GraphInput>) {
        let mut builder = GraphBuilder::default();
        let mut at = builder.add_input(GraphInput::Stream(self.plan.source));
        let mut chain = vec![CONTINUOUS.to_owned()];
        for filter in self.plan.filters.iter().take(count) {
            if let AudioFilter::Concat(segments) = filter {
                chain.push(self.common_format());
                let mut all = builder.chain(&at, &chain, "anull");
                chain.clear();
                for segment in segments {
                    all.push_str(&self.segment(&mut builder, segment));
                }
                let join = format!("concat=n={}:v=0:a=1", segments.len().saturating_add(1));
                at = builder.chain(&all, &[join], "anull");
            } else {
                chain.push(self.simple_filter(filter));
            }
        }
        if !chain.is_empty() {
            at = builder.chain(&at, &chain, "anull");
        }
        builder.finish(&at, end)
    }

    /// Silence of this duration in microseconds, in the format of the encoder.
    pub(crate) fn silence(&self, duration: u64) -> String {
        let source = format!(
            "anullsrc=r={}:cl={},atrim=end={}",
            self.plan.sample_rate,
            layout(self.plan),
            seconds(duration)
        );
        format!("{source},{}[out]", self.ending())
    }

    fn ending(&self) -> String {
        // The time base of audio encoders is one sample.
        let rate = self.plan.sample_rate;
        format!(
            "aformat=sample_fmts={}:sample_rates={rate}:channel_layouts={},asettb=1/{rate}",
            self.sample_format,
            layout(self.plan)
        )
    }

    /// The common format of audio that is concatenated.
    fn common_format(&self) -> String {
        format!(
            "aformat=sample_fmts=fltp:sample_rates={}:channel_layouts={}",
            self.plan.sample_rate,
            layout(self.plan)
        )
    }

    fn segment(&self, builder: &mut GraphBuilder, segment: &AudioSegment) -> String {
        let AudioSegment { input, stream, duration } = *segment;
        if let Some(stream) = stream {
            let from = builder.add_input(GraphInput::Stream(Source { input, stream }));
            return builder.chain(&from, &[self.common_format(), fill(duration)], "anull");
        }
        let silence = format!(
            "anullsrc=r={}:cl={},atrim=end={}",
            self.plan.sample_rate,
            layout(self.plan),
            seconds(duration)
        );
        builder.chain("", &[silence, self.common_format()], "anull")
    }

    fn simple_filter(&self, filter: &AudioFilter) -> String {
        match filter {
            AudioFilter::Trim(part) => {
                format!("atrim={},asetpts=PTS-{}/TB", window(*part), seconds(part.start))
            }
            AudioFilter::Speed(factor) => tempo(*factor),
            AudioFilter::Volume(factor) => format!("volume={factor:.6}"),
            AudioFilter::Loudness(_) => match self.gain {
                Some(Gain { by, limited: false }) => format!("volume={by:.3}dB"),
                // True peaks between samples exceed the samples: limited at a higher sample rate.
                Some(Gain { by, limited: true }) => format!(
                    "volume={by:.3}dB,aresample=192000,\
                     alimiter=level=0:limit=0.85:attack=2:release=40,aresample={}",
                    self.plan.sample_rate
                ),
                None => "anull".to_owned(),
            },
            AudioFilter::FadeIn(length) => format!("afade=t=in:st=0:d={}", seconds(*length)),
            AudioFilter::FadeOut { start, length } => {
                format!("afade=t=out:st={}:d={}", seconds(*start), seconds(*length))
            }
            AudioFilter::FromZero => FROM_ZERO.to_owned(),
            AudioFilter::Fill(duration) => fill(*duration),
            AudioFilter::Delay(length) => {
                format!("asetpts=PTS+{}/TB,{FROM_ZERO}", seconds(*length))
            }
            // A filter of more than one input is built by the caller.
            AudioFilter::Concat(_) => "anull".to_owned(),
        }
    }
}

/// Fills gaps between samples with silence, and removes what overlaps: encoders count samples.
const CONTINUOUS: &str = "aresample=async=1:min_hard_comp=0.01";
/// As `CONTINUOUS`; also fills the time before the first sample.
const FROM_ZERO: &str = "aresample=async=1:min_hard_comp=0.01:first_pts=0";

/// Pads with silence until `duration`, or cuts at it; gaps become silence.
fn fill(duration: u64) -> String {
    let duration = seconds(duration);
    format!("{FROM_ZERO},apad=whole_dur={duration},atrim=end={duration}")
}

/// Changes the speed. One `atempo` filter slows down to half at most. It keeps the first timestamp,
/// so that must be 0.
fn tempo(mut factor: f64) -> String {
    let mut steps = vec![FROM_ZERO.to_owned()];
    while factor < 0.5 {
        steps.push("atempo=0.5".to_owned());
        factor *= 2.0;
    }
    steps.push(format!("atempo={factor:.6}"));
    steps.join(",")
}

/// FFmpeg's name of a plan's channel layout.
fn layout(plan: &AudioPlan) -> &str {
    plan.layout.as_deref().unwrap_or(match plan.channels {
        1 => "mono",
        3 => "2.1",
        4 => "4.0",
        5 => "5.0",
        6 => "5.1",
        7 => "6.1",
        8 => "7.1",
        _ => "stereo",
    })
}
