use ffmpeg_the_third::{self as ffmpeg, Rational, filter, frame};

use super::{
    charge::{Meter, OutputCounter},
    filtergraph,
    frame_channel::FrameReceiver,
    frame_format::FrameFormat,
};
use crate::{
    MediaError,
    ffi::{self, FrameColors, HardwareDevice, HardwareFrames},
    heartbeat::Heartbeat,
    units::MICROS,
};

struct Input {
    feed: FrameReceiver,
    name: String,
    ended: bool,
    /// Start and end of the newest frame, in the time base of the feed.
    last: Option<(i64, i64)>,
    /// Converts frames whose format differs from that of the first ones: the other format, and a
    /// graph.
    conform: Option<(FrameFormat, filter::Graph)>,
}

/// The timing of the frames that a filter graph outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputTiming {
    pub(crate) time_base: Rational,
    /// Pixel aspect ratio.
    pub(crate) aspect: Rational,
    /// Frames per second; 0 if the rate is variable or unknown.
    pub(crate) rate: Rational,
}

/// A filter graph that pulls frames from its inputs as it needs them.
pub(crate) struct Filtering<'env> {
    graph: filter::Graph,
    inputs: Vec<Input>,
    /// Charges the output.
    counter: Option<OutputCounter<'env>>,
}

impl<'env> Filtering<'env> {
    /// Builds the graph that `text` describes, with `feeds` as its inputs `in0`, `in1`, ….
    pub(crate) fn build(text: &str, feeds: Vec<FrameReceiver>) -> Result<Self, MediaError> {
        Self::build_on(text, feeds, None)
    }

    /// Like `build`, with output frames in the memory of a hardware device.
    pub(crate) fn build_on(
        text: &str,
        feeds: Vec<FrameReceiver>,
        device: Option<&HardwareDevice>,
    ) -> Result<Self, MediaError> {
        let is_video = feeds.first().is_none_or(|feed| feed.shape.is_video());
        let shapes: Vec<&FrameFormat> = feeds.iter().map(|feed| &feed.shape).collect();
        let graph = graph(text, &shapes, is_video, device)?;
        let inputs = feeds.into_iter().enumerate().map(|(number, feed)| Input {
            feed,
            name: filtergraph::input_name(number),
            ended: false,
            last: None,
            conform: None,
        });
        Ok(Self { graph, inputs: inputs.collect(), counter: None })
    }

    /// A graph without inputs that outputs audio.
    pub(crate) fn generated_audio(text: &str) -> Result<Self, MediaError> {
        Ok(Self { graph: graph(text, &[], false, None)?, inputs: vec![], counter: None })
    }

    /// The same graph, with its output charged by `meter`.
    pub(crate) fn charged(mut self, meter: &'env Meter<'env>) -> Result<Self, MediaError> {
        let time_base = self.output_timing()?.time_base;
        self.counter = Some(meter.output_counter(time_base));
        Ok(self)
    }

    /// The timing of the output.
    pub(crate) fn output_timing(&mut self) -> Result<OutputTiming, MediaError> {
        let sink = self.graph.get("out");
        let sink = sink.ok_or_else(|| MediaError::internal("the filters", "have no output"))?;
        Ok(OutputTiming {
            time_base: ffi::sink_time_base(&sink),
            aspect: ffi::sink_pixel_aspect(&sink),
            rate: ffi::sink_frame_rate(&sink),
        })
    }

    /// The time base of the first input.
    pub(crate) fn source_time(&self) -> Rational {
        self.inputs.first().map_or(MICROS, |input| input.feed.shape.time_base())
    }

    /// The format of the output frames of a video graph.
    pub(crate) fn video_format(&mut self) -> Result<FrameFormat, MediaError> {
        let OutputTiming { time_base, aspect, rate } = self.output_timing()?;
        let sink = self.graph.get("out");
        let sink = sink.ok_or_else(|| MediaError::internal("the filters", "have no output"))?;
        let (width, height, format) = ffi::sink_video_format(&sink);
        let colors = FrameColors::of_sink(&sink);
        Ok(FrameFormat::Video { width, height, format, time_base, aspect, rate, colors })
    }

    /// The hardware frame pool of the output; `None` if its frames are in memory.
    pub(crate) fn hardware_frames(&mut self) -> Option<HardwareFrames> {
        self.graph.get("out").and_then(|sink| HardwareFrames::of_sink(&sink))
    }

    /// Makes the output audio frames have a fixed number of samples; 0 leaves it to the graph.
    pub(crate) fn set_frame_size(&mut self, size: u32) {
        if let Some(mut sink) = self.graph.get("out").filter(|_| size > 0) {
            sink.sink().set_frame_size(size);
        }
    }

    /// The next output frame; `None` at the end.
    pub(crate) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        loop {
            let mut frame = ffi::empty_frame();
            let result = match self.graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match result {
                Ok(()) => {
                    if let Some(counter) = &mut self.counter {
                        counter.count(&frame)?;
                    }
                    return Ok(Some(frame));
                }
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(error) if ffi::is_eagain(error) => {}
                Err(error) => return Err(MediaError::internal("the filters failed", error)),
            }
            let Some(number) = self.most_requested() else { return Ok(None) };
            heartbeat.beat();
            self.feed(number, heartbeat)?;
        }
    }

    /// The open input with the most failed requests by the graph.
    fn most_requested(&mut self) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for number in 0..self.inputs.len() {
            let Some(input) = self.inputs.get(number).filter(|input| !input.ended) else {
                continue;
            };
            let requests = match self.graph.get(&input.name) {
                Some(mut source) => source.source().failed_requests(),
                None => 0,
            };
            if best.is_none_or(|(_, max)| requests > max) {
                best = Some((number, requests));
            }
        }
        best.map(|(number, _)| number)
    }

    /// Sends an input its next frame, or the end of its stream.
    fn feed(&mut self, number: usize, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        let Some(input) = self.inputs.get_mut(number) else { return Ok(()) };
        let failed = |error| MediaError::internal("the filters failed", error);
        let Some(frame) = input.feed.next(heartbeat)? else {
            input.ended = true;
            if let Some(mut source) = self.graph.get(&input.name) {
                // Filters that output a constant frame rate need the end of the last frame.
                let outcome = match input.last {
                    Some((_, end)) => source.source().close(end),
                    None => source.source().flush(),
                };
                outcome.map_err(failed)?;
            }
            return Ok(());
        };
        input.record_time(&frame);
        for frame in input.conformed(frame)? {
            let added = match self.graph.get(&input.name) {
                Some(mut source) => source.source().add(&frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match added {
                Ok(()) => {}
                // The graph needs no more frames of this input.
                Err(ffmpeg::Error::Eof) => input.ended = true,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

impl Input {
    /// Records the start and end of a frame: by its duration, or by the distance to the one before
    /// it.
    fn record_time(&mut self, frame: &frame::Frame) {
        let Some(pts) = frame.pts() else { return };
        let stated = ffi::lasts(frame, self.feed.shape.time_base());
        let distance = self.last.map(|(before, _)| pts.saturating_sub(before));
        let duration = stated.or(distance).unwrap_or(0).max(0);
        self.last = Some((pts, pts.saturating_add(duration)));
    }

    /// Converts a frame to the format of the first ones: some streams change their size, sample
    /// rate or layout, but the output may not.
    fn conformed(&mut self, frame: frame::Frame) -> Result<Vec<frame::Frame>, MediaError> {
        let now = self.feed.shape.of(&frame);
        if now == self.feed.shape {
            self.conform = None;
            return Ok(vec![frame]);
        }
        if self.conform.as_ref().is_none_or(|(shape, _)| *shape != now) {
            let graph = graph(&self.conform_text(), &[&now], now.is_video(), None)?;
            self.conform = Some((now, graph));
        }
        let Some((_, graph)) = &mut self.conform else { return Ok(vec![]) };
        let failed = |error| MediaError::internal("the filters failed", error);
        if let Some(mut source) = graph.get(&filtergraph::input_name(0)) {
            source.source().add(&frame).map_err(failed)?;
        }
        let mut out = Vec::new();
        loop {
            let mut frame = ffi::empty_frame();
            let result = match graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut frame),
                None => return Ok(out),
            };
            match result {
                Ok(()) => out.push(frame),
                Err(error) if ffi::is_eagain(error) => return Ok(out),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn conform_text(&self) -> String {
        format!("[in0]{}[out]", self.feed.shape.conform())
    }
}

/// Builds a graph from `in0`, `in1`, … to `out`.
fn graph(
    text: &str,
    inputs: &[&FrameFormat],
    is_video: bool,
    device: Option<&HardwareDevice>,
) -> Result<filter::Graph, MediaError> {
    let broken = |error: ffmpeg::Error| {
        MediaError::internal(&format!("invalid filter graph ({text})"), error)
    };
    let missing = || broken(ffmpeg::Error::FilterNotFound);
    let mut graph = filter::Graph::new();
    ffi::limit_to_one_thread(&mut graph);
    for (number, shape) in inputs.iter().enumerate() {
        let (kind, arguments) = shape.source();
        let kind = filter::find(kind).ok_or_else(missing)?;
        graph.add(&kind, &filtergraph::input_name(number), &arguments).map_err(broken)?;
    }
    let sink = if is_video { "buffersink" } else { "abuffersink" };
    graph.add(&filter::find(sink).ok_or_else(missing)?, "out", "").map_err(broken)?;
    let mut parser = graph.input("out", 0).map_err(broken)?;
    for number in 0..inputs.len() {
        parser = parser.output(&filtergraph::input_name(number), 0).map_err(broken)?;
    }
    parser.parse(text).map_err(broken)?;
    if let Some(device) = device {
        device.attach_to(&mut graph);
    }
    graph.validate().map_err(broken)?;
    Ok(graph)
}
