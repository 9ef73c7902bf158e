use std::thread;

use ffapi_domain::media::{MediaFacts, Source};

use super::{
    charge::Meter,
    decode::{Decode, Decoding},
    demux,
    filtergraph::Fed,
    filtering::Filtering,
    frame_channel::{FrameReceiver, FrameSender, StaticFrame},
    frame_format::FrameFormat,
    weighed,
};
use crate::{
    MediaError,
    ffi::{HardwareDevice, Input},
    heartbeat::Heartbeat,
};

/// Packets that may wait for a decoder, frames for a graph.
const PACKETS: usize = 64;
const FRAMES: usize = 8;
/// Bytes of frames that may wait for a graph.
const FRAME_BYTES: usize = 128 * 1024 * 1024;

/// Frames of a shape that may wait: fewer where each is large.
fn room(shape: &FrameFormat) -> usize {
    (FRAME_BYTES / shape.bytes().max(1)).clamp(1, FRAMES)
}

type Stage<'env> = Box<dyn FnOnce() -> Result<(), MediaError> + Send + 'env>;

/// A pipeline under construction: inputs, the decoders that are wanted, and the stages behind
/// them. Each stage runs on a thread of its own; a stream is decoded once, whoever wants it.
pub(super) struct Flow<'env> {
    inputs: Vec<Input>,
    facts: &'env [MediaFacts],
    heartbeat: &'env Heartbeat<'env>,
    decoders: Vec<(Decode, Vec<FrameSender>)>,
    copies: Vec<(Source, weighed::Sender)>,
    stages: Vec<Stage<'env>>,
    means: Means<'env>,
}

/// What a pipeline works with.
#[derive(Clone, Copy)]
pub(super) struct Means<'env> {
    /// Of each decoder of pictures; 0 lets it choose.
    pub(super) threads: u16,
    /// What is read counts against it.
    pub(super) meter: Option<&'env Meter<'env>>,
}

impl<'env> Flow<'env> {
    pub(super) fn new(
        inputs: Vec<Input>,
        facts: &'env [MediaFacts],
        heartbeat: &'env Heartbeat<'env>,
        means: Means<'env>,
    ) -> Self {
        Self { inputs, facts, heartbeat, decoders: vec![], copies: vec![], stages: vec![], means }
    }

    /// An input, to look at before anything runs.
    pub(super) fn input(&self, number: usize) -> Result<&Input, MediaError> {
        self.inputs.get(number).ok_or_else(|| MediaError::internal("the plan", "has no such input"))
    }

    /// What the inputs are.
    pub(super) const fn facts(&self) -> &'env [MediaFacts] {
        self.facts
    }

    /// The frames of a stream.
    pub(super) fn decode(&mut self, source: Source) -> Result<FrameReceiver, MediaError> {
        let known = self.decoders.iter_mut().find(|(decode, _)| decode.source == source);
        if let Some((decode, wanted)) = known {
            let (sender, feed) = FrameReceiver::new(room(&decode.shape), decode.shape.clone());
            wanted.push(sender);
            return Ok(feed);
        }
        let facts = self
            .facts
            .get(source.input)
            .and_then(|facts| facts.streams.iter().find(|stream| stream.index == source.stream));
        let facts = facts.ok_or_else(|| MediaError::internal("the plan", "has no such stream"))?;
        let decode = Decode::open(self.input(source.input)?, source, facts, self.means.threads)?;
        let (sender, feed) = FrameReceiver::new(room(&decode.shape), decode.shape.clone());
        self.decoders.push((decode, vec![sender]));
        Ok(feed)
    }

    /// The packets of a stream, as they are.
    pub(super) fn packets(&mut self, source: Source) -> weighed::Receiver {
        let (send, packets) = weighed::channel(PACKETS);
        self.copies.push((source, send));
        packets
    }

    /// A graph over the streams that its script is fed.
    pub(super) fn filter(
        &mut self,
        script: (String, Vec<Fed>),
        palette: Option<&StaticFrame>,
    ) -> Result<Filtering<'env>, MediaError> {
        let (text, fed) = script;
        self.filter_on(text, fed, palette, None)
    }

    /// As `filter`, with frames that end up in hardware.
    pub(super) fn filter_on(
        &mut self,
        text: String,
        fed: Vec<Fed>,
        palette: Option<&StaticFrame>,
        device: Option<&HardwareDevice>,
    ) -> Result<Filtering<'env>, MediaError> {
        let mut feeds = Vec::new();
        for fed in fed {
            feeds.push(match (fed, palette) {
                (Fed::Stream(source), _) => self.decode(source)?,
                (Fed::Palette, Some(palette)) => palette.feed(),
                (Fed::Palette, None) => {
                    return Err(MediaError::internal("the palette", "was not made"));
                }
            });
        }
        self.filter_feeds(&text, feeds, device)
    }

    /// A graph over frames that are there already, such as those of another graph.
    pub(super) fn filter_feeds(
        &self,
        text: &str,
        feeds: Vec<FrameReceiver>,
        device: Option<&HardwareDevice>,
    ) -> Result<Filtering<'env>, MediaError> {
        let filtering = Filtering::build_on(text, feeds, device)?;
        match self.means.meter {
            Some(meter) => filtering.charged(meter),
            None => Ok(filtering),
        }
    }

    /// Adds a stage; those that take from others come after them.
    pub(super) fn stage(&mut self, stage: impl FnOnce() -> Result<(), MediaError> + Send + 'env) {
        self.stages.push(Box::new(stage));
    }

    /// Runs everything to its end.
    pub(super) fn run(self, seek: u64) -> Result<(), MediaError> {
        let Means { threads, meter } = self.means;
        let of_one_thread = threads == 1;
        let Self { mut inputs, heartbeat, decoders, copies, stages, .. } = self;
        if let Some(first) = inputs.first_mut() {
            demux::seek(first, seek)?;
        }
        thread::scope(|scope| {
            let mut wanted: Vec<Vec<demux::Wanted>> = inputs.iter().map(|_| vec![]).collect();
            let mut want = |source: Source, to| {
                if let Some(of_input) = wanted.get_mut(source.input) {
                    let stream = usize::try_from(source.stream).unwrap_or(usize::MAX);
                    of_input.push(demux::Wanted { stream, to });
                }
            };
            let mut threads = Vec::new();
            for (decode, mut givers) in decoders {
                let (send, packets) = weighed::channel(PACKETS);
                want(decode.source, send);
                let by_taker = of_one_thread || decode.is_sound();
                let sound = meter.filter(|_| decode.is_sound()).map(Meter::sound);
                let decoding = Decoding::new(decode, packets, sound);
                match givers.pop() {
                    // A thread more would only hand over what this one waits for.
                    Some(only) if by_taker && givers.is_empty() => only.hand_over(decoding),
                    last => {
                        givers.extend(last);
                        threads.push(scope.spawn(move || decoding.run(givers, heartbeat)));
                    }
                }
            }
            for (source, send) in copies {
                want(source, send);
            }
            threads.extend(stages.into_iter().map(|stage| scope.spawn(stage)));
            // A reader fails only for what it counted, which is why the others ended: it is asked first.
            for (number, (mut input, wanted)) in inputs.into_iter().zip(wanted).enumerate() {
                let count = move |read| meter.map_or(Ok(()), |meter| meter.reach(number, read));
                let reading = scope.spawn(move || demux::run(&mut input, wanted, count));
                threads.push(reading);
            }
            // Of the others, the most downstream error comes first: those upstream only saw a closed
            // channel.
            let mut outcome = Ok(());
            for thread in threads.into_iter().rev() {
                let ended = thread.join();
                let ended =
                    ended.unwrap_or_else(|_| Err(MediaError::internal("a stage", "panicked")));
                outcome = outcome.and(ended);
            }
            outcome
        })?;
        meter.map_or(Ok(()), Meter::settle)
    }
}
