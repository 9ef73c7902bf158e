use ffapi_domain::media::{AudioFilter, AudioPlan, SoundSegment, Source};

use super::{Fed, Script, seconds, window};

/// What the filters of a sound need to know beside the plan.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct AudioGraph<'a> {
    pub(in crate::engine) plan: &'a AudioPlan,
    /// Of what the encoder takes.
    pub(in crate::engine) sample_format: &'a str,
    /// What brings it to its loudness, in decibels; known after a pass that measures.
    pub(in crate::engine) gain: Option<Gain>,
}

/// What brings a sound to its loudness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct Gain {
    /// Decibels.
    pub(in crate::engine) by: f64,
    /// True if peaks would leave the range: they are held down.
    pub(in crate::engine) limited: bool,
}

impl AudioGraph<'_> {
    /// The whole sound, as its encoder takes it.
    pub(in crate::engine) fn script(&self) -> (String, Vec<Fed>) {
        self.through(self.plan.filters.len(), &[self.ending()])
    }

    /// What the first `count` filters make, ending in `last`: for a pass that only listens.
    pub(in crate::engine) fn listen(&self, count: usize, last: &str) -> (String, Vec<Fed>) {
        let ending = format!("aformat=channel_layouts={}", layout(self.plan.channels));
        self.through(count, &[ending, last.to_owned()])
    }

    fn through(&self, count: usize, end: &[String]) -> (String, Vec<Fed>) {
        let mut script = Script::default();
        let mut at = script.feed(Fed::Stream(self.plan.source));
        let mut chain: Vec<String> = Vec::new();
        for filter in self.plan.filters.iter().take(count) {
            if let AudioFilter::Concat(segments) = filter {
                chain.push(self.common());
                let mut all = script.chain(&at, &chain, "anull");
                chain.clear();
                for segment in segments {
                    all.push_str(&self.segment(&mut script, segment));
                }
                let join = format!("concat=n={}:v=0:a=1", segments.len().saturating_add(1));
                at = script.chain(&all, &[join], "anull");
            } else {
                chain.push(self.one(filter));
            }
        }
        if !chain.is_empty() {
            at = script.chain(&at, &chain, "anull");
        }
        script.end(&at, end)
    }

    fn ending(&self) -> String {
        // Encoders count in samples, whatever the input counted in.
        let rate = self.plan.sample_rate;
        format!(
            "aformat=sample_fmts={}:sample_rates={rate}:channel_layouts={},asettb=1/{rate}",
            self.sample_format,
            layout(self.plan.channels)
        )
    }

    /// What sounds that are joined have in common.
    fn common(&self) -> String {
        format!(
            "aformat=sample_fmts=fltp:sample_rates={}:channel_layouts={}",
            self.plan.sample_rate,
            layout(self.plan.channels)
        )
    }

    fn segment(&self, script: &mut Script, segment: &SoundSegment) -> String {
        let SoundSegment { input, stream, duration } = *segment;
        if let Some(stream) = stream {
            let from = script.feed(Fed::Stream(Source { input, stream }));
            return script.chain(&from, &[self.common(), fill(duration)], "anull");
        }
        let silence = format!(
            "anullsrc=r={}:cl={},atrim=end={}",
            self.plan.sample_rate,
            layout(self.plan.channels),
            seconds(duration)
        );
        script.chain("", &[silence, self.common()], "anull")
    }

    fn one(&self, filter: &AudioFilter) -> String {
        match filter {
            AudioFilter::Trim(part) => {
                format!("atrim={},asetpts=PTS-{}/TB", window(*part), seconds(part.start))
            }
            AudioFilter::Speed(factor) => tempo(*factor),
            AudioFilter::Volume(factor) => format!("volume={factor:.6}"),
            AudioFilter::Loudness(_) => match self.gain {
                Some(Gain { by, limited: false }) => format!("volume={by:.3}dB"),
                // Between samples the wave goes higher than they do: looked at four times as close.
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
            // A graph of more than one input, made by the caller.
            AudioFilter::Concat(_) => "anull".to_owned(),
        }
    }
}

/// Silence until it begins, and in its gaps.
const FROM_ZERO: &str = "aresample=async=1:first_pts=0";

/// Silence follows until the end, or the rest goes; gaps become silence.
fn fill(duration: u64) -> String {
    let lasts = seconds(duration);
    format!("{FROM_ZERO},apad=whole_dur={lasts},atrim=end={lasts}")
}

/// One step of the filter slows down to half at most. It keeps its first instant, so that must be 0.
fn tempo(mut factor: f64) -> String {
    let mut steps = vec![FROM_ZERO.to_owned()];
    while factor < 0.5 {
        steps.push("atempo=0.5".to_owned());
        factor *= 2.0;
    }
    steps.push(format!("atempo={factor:.6}"));
    steps.join(",")
}

/// FFmpeg's name for the usual places of so many channels.
pub(in crate::engine) const fn layout(channels: u32) -> &'static str {
    match channels {
        1 => "mono",
        3 => "2.1",
        4 => "4.0",
        5 => "5.0",
        6 => "5.1",
        7 => "6.1",
        8 => "7.1",
        _ => "stereo",
    }
}
