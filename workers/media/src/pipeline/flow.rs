use std::thread;

use ffapi_domain::media::{MediaFacts, Source, Window};
use ffmpeg_the_third::{self as ffmpeg, codec};

use super::{
    charge::Meter,
    decode::Decode,
    decoding::Decoding,
    demux,
    filtergraph::GraphInput,
    filtering::Filtering,
    frame_channel::{FrameReceiver, FrameSender, StaticFrame},
    frame_format::FrameFormat,
    packet_channel, seek,
};
use crate::{
    MediaError,
    ffi::{self, HardwareDevice, Input},
    heartbeat::Heartbeat,
};

/// Packets that may be queued for a decoder.
const PACKET_QUEUE_CAPACITY: usize = 64;
/// Frames that may be queued for a filter graph.
const MAX_QUEUED_FRAMES: usize = 8;
/// Bytes of frames that may be queued for a filter graph.
const MAX_QUEUED_FRAME_BYTES: usize = 128 * 1024 * 1024;

/// Frames of a format that may be queued: fewer if each is large.
fn frame_capacity(shape: &FrameFormat) -> usize {
    (MAX_QUEUED_FRAME_BYTES / shape.bytes().max(1)).clamp(1, MAX_QUEUED_FRAMES)
}

type Stage<'env> = Box<dyn FnOnce() -> Result<(), MediaError> + Send + 'env>;

/// A pipeline under construction: inputs, the decoders that are needed, and the stages after them.
/// Each stage runs on its own thread; each stream is decoded once, for all its consumers.
pub(crate) struct Flow<'env> {
    inputs: Vec<Input>,
    facts: &'env [MediaFacts],
    heartbeat: &'env Heartbeat<'env>,
    decoders: Vec<(Decode, Vec<FrameSender>)>,
    copies: Vec<(Source, packet_channel::Sender)>,
    stages: Vec<Stage<'env>>,
    resources: FlowResources<'env>,
}

/// The resources of a pipeline.
#[derive(Clone, Copy)]
pub(crate) struct FlowResources<'env> {
    /// Threads of each video decoder; 0 lets the decoder choose.
    pub(crate) threads: u16,
    /// Counts the media time that is read.
    pub(crate) meter: Option<&'env Meter<'env>>,
}

impl<'env> Flow<'env> {
    pub(crate) fn new(
        inputs: Vec<Input>,
        facts: &'env [MediaFacts],
        heartbeat: &'env Heartbeat<'env>,
        resources: FlowResources<'env>,
    ) -> Self {
        Self {
            inputs,
            facts,
            heartbeat,
            decoders: vec![],
            copies: vec![],
            stages: vec![],
            resources,
        }
    }

    /// An input, to inspect before the pipeline runs.
    pub(crate) fn input(&self, number: usize) -> Result<&Input, MediaError> {
        self.inputs.get(number).ok_or_else(|| MediaError::internal("the plan", "has no such input"))
    }

    /// The codec parameters that the container states for a stream.
    pub(crate) fn parameters(&self, source: Source) -> Result<codec::Parameters, MediaError> {
        let missing = |error: ffmpeg::Error| MediaError::internal("the plan's stream", error);
        let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
        let stream = self.input(source.input)?.context.stream(index);
        let stream = stream.ok_or_else(|| missing(ffmpeg::Error::StreamNotFound))?;
        ffi::copy_parameters(&stream).map_err(missing)
    }

    /// The facts of the inputs.
    pub(crate) const fn facts(&self) -> &'env [MediaFacts] {
        self.facts
    }

    /// The decoded frames of a stream.
    pub(crate) fn decode(&mut self, source: Source) -> Result<FrameReceiver, MediaError> {
        let existing = self.decoders.iter_mut().find(|(decode, _)| decode.source == source);
        if let Some((decode, senders)) = existing {
            let (sender, feed) =
                FrameReceiver::new(frame_capacity(&decode.shape), decode.shape.clone());
            senders.push(sender);
            return Ok(feed);
        }
        let facts = self
            .facts
            .get(source.input)
            .and_then(|facts| facts.streams.iter().find(|stream| stream.index == source.stream));
        let facts = facts.ok_or_else(|| MediaError::internal("the plan", "has no such stream"))?;
        let decode =
            Decode::open(self.input(source.input)?, source, facts, self.resources.threads)?;
        let (sender, feed) =
            FrameReceiver::new(frame_capacity(&decode.shape), decode.shape.clone());
        self.decoders.push((decode, vec![sender]));
        Ok(feed)
    }

    /// The packets of a stream, without decoding.
    pub(crate) fn packets(&mut self, source: Source) -> packet_channel::Receiver {
        let (send, packets) = packet_channel::channel(PACKET_QUEUE_CAPACITY);
        self.copies.push((source, send));
        packets
    }

    /// A filter graph over streams: its description and the input of each source.
    pub(crate) fn filter(
        &mut self,
        filtergraph: (String, Vec<GraphInput>),
        palette: Option<&StaticFrame>,
    ) -> Result<Filtering<'env>, MediaError> {
        let (text, inputs) = filtergraph;
        self.filter_on(text, inputs, palette, None)
    }

    /// Like `filter`, with output frames in the memory of a hardware device.
    pub(crate) fn filter_on(
        &mut self,
        text: String,
        inputs: Vec<GraphInput>,
        palette: Option<&StaticFrame>,
        device: Option<&HardwareDevice>,
    ) -> Result<Filtering<'env>, MediaError> {
        let mut feeds = Vec::new();
        for input in inputs {
            feeds.push(match (input, palette) {
                (GraphInput::Stream(source), _) => self.decode(source)?,
                (GraphInput::Palette, Some(palette)) => palette.feed(),
                (GraphInput::Palette, None) => {
                    return Err(MediaError::internal("the palette", "was not generated"));
                }
            });
        }
        self.filter_feeds(&text, feeds, device)
    }

    /// A filter graph over frames of existing receivers, such as the output of another graph.
    pub(crate) fn filter_feeds(
        &self,
        text: &str,
        feeds: Vec<FrameReceiver>,
        device: Option<&HardwareDevice>,
    ) -> Result<Filtering<'env>, MediaError> {
        let filtering = Filtering::build_on(text, feeds, device)?;
        match self.resources.meter {
            Some(meter) => filtering.charged(meter),
            None => Ok(filtering),
        }
    }

    /// Adds a stage; a stage that receives from another one is added after it.
    pub(crate) fn add_stage(
        &mut self,
        stage: impl FnOnce() -> Result<(), MediaError> + Send + 'env,
    ) {
        self.stages.push(Box::new(stage));
    }

    /// Runs the pipeline over the needed part of the primary input.
    pub(crate) fn run(self, part: Window) -> Result<(), MediaError> {
        let FlowResources { threads, meter } = self.resources;
        let one_thread = threads == 1;
        let Self { mut inputs, facts, heartbeat, decoders, copies, stages, .. } = self;
        if let Some(first) = inputs.first_mut() {
            let joined = facts.first().is_some_and(|facts| facts.joined);
            if part.start > 0 {
                seek::seek(first, part.start, joined)?;
            }
        }
        thread::scope(|scope| {
            let mut sinks: Vec<Vec<demux::PacketSink>> = inputs.iter().map(|_| vec![]).collect();
            let mut add_sink = |source: Source, to| {
                if let Some(of_input) = sinks.get_mut(source.input) {
                    let stream = usize::try_from(source.stream).unwrap_or(usize::MAX);
                    of_input.push(demux::PacketSink { stream, to });
                }
            };
            let mut threads = Vec::new();
            for (mut decode, mut senders) in decoders {
                if decode.source.input == 0 {
                    decode.start_at(part);
                }
                let (send, packets) = packet_channel::channel(PACKET_QUEUE_CAPACITY);
                add_sink(decode.source, send);
                let by_receiver = one_thread || decode.is_audio();
                let audio_counter = meter.filter(|_| decode.is_audio()).map(Meter::audio_counter);
                let decoding = Decoding::new(decode, packets, audio_counter);
                match senders.pop() {
                    // Another thread would only pass frames to a receiver that waits for them.
                    Some(only) if by_receiver && senders.is_empty() => only.hand_over(decoding),
                    last => {
                        senders.extend(last);
                        threads.push(scope.spawn(move || decoding.run(senders, heartbeat)));
                    }
                }
            }
            for (source, send) in copies {
                add_sink(source, send);
            }
            threads.extend(stages.into_iter().map(|stage| scope.spawn(stage)));
            // A reader fails only by its meter, which also ends the other threads: its error comes
            // first.
            for (number, (mut input, sinks)) in inputs.into_iter().zip(sinks).enumerate() {
                let count =
                    move |read| meter.map_or(Ok(()), |meter| meter.record_read(number, read));
                let reading = scope.spawn(move || demux::run(&mut input, sinks, count));
                threads.push(reading);
            }
            // Of the others, the most downstream error comes first: those upstream only saw a
            // closed channel.
            let mut outcome: Result<(), MediaError> = Ok(());
            for thread in threads.into_iter().rev() {
                let result = thread.join();
                let result =
                    result.unwrap_or_else(|_| Err(MediaError::internal("a stage", "panicked")));
                outcome = match (outcome, result) {
                    // Nothing is left, for the reason that is known upstream.
                    (Err(error), Err(cause)) if error.is_nothing_left() => Err(cause),
                    (outcome, result) => outcome.and(result),
                };
            }
            outcome
        })?;
        meter.map_or(Ok(()), Meter::settle)
    }
}
