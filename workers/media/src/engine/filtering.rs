use ffmpeg_the_third::{self as ffmpeg, Rational, filter, frame};

use super::{
    MICROS, again,
    charge::{Made, Meter},
    filtergraph,
    frame_channel::FrameReceiver,
    frame_format::FrameFormat,
};
use crate::{
    MediaError, ffi,
    ffi::{HardwareDevice, HardwareFrames},
    heartbeat::Heartbeat,
};

struct Input {
    feed: FrameReceiver,
    name: String,
    ended: bool,
    /// When the newest frame begins and ends, in the feed's time base.
    last: Option<(i64, i64)>,
    /// What turns frames that are not like the first ones into such; and what those are like.
    conform: Option<(FrameFormat, filter::Graph)>,
}

/// A filter graph that takes frames as it wants them.
pub(super) struct Filtering<'env> {
    graph: filter::Graph,
    inputs: Vec<Input>,
    /// Charges what comes out.
    made: Option<Made<'env>>,
}

impl<'env> Filtering<'env> {
    /// Builds the graph that `text` describes, fed by `feeds` as `in0`, `in1`, ….
    pub(super) fn build(text: &str, feeds: Vec<FrameReceiver>) -> Result<Self, MediaError> {
        Self::build_on(text, feeds, None)
    }

    /// As `build`, with frames that end up in hardware.
    pub(super) fn build_on(
        text: &str,
        feeds: Vec<FrameReceiver>,
        device: Option<&HardwareDevice>,
    ) -> Result<Self, MediaError> {
        let picture = feeds.first().is_none_or(|feed| feed.shape.is_picture());
        let shapes: Vec<&FrameFormat> = feeds.iter().map(|feed| &feed.shape).collect();
        let graph = graph(text, &shapes, picture, device)?;
        let inputs = feeds.into_iter().enumerate().map(|(number, feed)| Input {
            feed,
            name: filtergraph::input_name(number),
            ended: false,
            last: None,
            conform: None,
        });
        Ok(Self { graph, inputs: inputs.collect(), made: None })
    }

    /// As it is, with what comes out charged by `meter`.
    pub(super) fn charged(mut self, meter: &'env Meter<'env>) -> Result<Self, MediaError> {
        let (time_base, ..) = self.outcome()?;
        self.made = Some(meter.made(time_base));
        Ok(self)
    }

    /// Time base, pixel shape and frame rate of what comes out.
    pub(super) fn outcome(&mut self) -> Result<(Rational, Rational, Rational), MediaError> {
        let sink = self.graph.get("out");
        let sink = sink.ok_or_else(|| MediaError::internal("the filters", "have no end"))?;
        Ok((ffi::sink_time_base(&sink), ffi::sink_pixel_aspect(&sink), ffi::sink_frame_rate(&sink)))
    }

    /// The time base of what goes in first.
    pub(super) fn source_time(&self) -> Rational {
        self.inputs.first().map_or(MICROS, |input| input.feed.shape.time_base())
    }

    /// What the pictures that come out are like.
    pub(super) fn picture(&mut self) -> Result<FrameFormat, MediaError> {
        let (time_base, aspect, rate) = self.outcome()?;
        let sink = self.graph.get("out");
        let sink = sink.ok_or_else(|| MediaError::internal("the filters", "have no end"))?;
        let (width, height, format) = ffi::sink_picture(&sink);
        Ok(FrameFormat::Picture { width, height, format, time_base, aspect, rate })
    }

    /// Where the frames that come out live, if not in memory.
    pub(super) fn hardware_frames(&mut self) -> Option<HardwareFrames> {
        self.graph.get("out").and_then(|sink| HardwareFrames::of_sink(&sink))
    }

    /// Lets sound come out in frames of one size.
    pub(super) fn set_frame_size(&mut self, size: u32) {
        if let Some(mut sink) = self.graph.get("out").filter(|_| size > 0) {
            sink.sink().set_frame_size(size);
        }
    }

    /// The next frame that comes out; none at the end.
    pub(super) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        loop {
            let mut frame = ffi::empty_frame();
            let got = match self.graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match got {
                Ok(()) => {
                    if let Some(made) = &mut self.made {
                        made.take(&frame)?;
                    }
                    return Ok(Some(frame));
                }
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(error) if again(error) => {}
                Err(error) => return Err(MediaError::internal("the filters failed", error)),
            }
            let Some(number) = self.hungriest() else { return Ok(None) };
            heartbeat.beat();
            self.feed(number, heartbeat)?;
        }
    }

    /// Which input the graph has asked for most often in vain.
    fn hungriest(&mut self) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for number in 0..self.inputs.len() {
            let Some(input) = self.inputs.get(number).filter(|input| !input.ended) else {
                continue;
            };
            let asked = match self.graph.get(&input.name) {
                Some(mut source) => source.source().failed_requests(),
                None => 0,
            };
            if best.is_none_or(|(_, most)| asked > most) {
                best = Some((number, asked));
            }
        }
        best.map(|(number, _)| number)
    }

    /// Gives an input its next frame, or its end.
    fn feed(&mut self, number: usize, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        let Some(input) = self.inputs.get_mut(number) else { return Ok(()) };
        let failed = |error| MediaError::internal("the filters failed", error);
        let Some(frame) = input.feed.next(heartbeat)? else {
            input.ended = true;
            if let Some(mut source) = self.graph.get(&input.name) {
                // Filters that make a constant rate ask how long the last picture lasts.
                let outcome = match input.last {
                    Some((_, end)) => source.source().close(end),
                    None => source.source().flush(),
                };
                outcome.map_err(failed)?;
            }
            return Ok(());
        };
        input.note(&frame);
        for frame in input.conformed(frame)? {
            let added = match self.graph.get(&input.name) {
                Some(mut source) => source.source().add(&frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match added {
                Ok(()) => {}
                // The graph has all it wants of this one.
                Err(ffmpeg::Error::Eof) => input.ended = true,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

impl Input {
    /// Remembers when a frame ends: as it says, or as the one before it did.
    fn note(&mut self, frame: &frame::Frame) {
        let Some(pts) = frame.pts() else { return };
        let told = ffi::lasts(frame, self.feed.shape.time_base());
        let like_before = self.last.map(|(before, _)| pts.saturating_sub(before));
        let lasts = told.or(like_before).unwrap_or(0).max(0);
        self.last = Some((pts, pts.saturating_add(lasts)));
    }

    /// Some streams change their size, rate or layout on the way; the output does not.
    fn conformed(&mut self, frame: frame::Frame) -> Result<Vec<frame::Frame>, MediaError> {
        let now = self.feed.shape.of(&frame);
        if now == self.feed.shape {
            self.conform = None;
            return Ok(vec![frame]);
        }
        if self.conform.as_ref().is_none_or(|(shape, _)| *shape != now) {
            let graph = graph(&self.conform_text(), &[&now], now.is_picture(), None)?;
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
            let got = match graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut frame),
                None => return Ok(out),
            };
            match got {
                Ok(()) => out.push(frame),
                Err(error) if again(error) => return Ok(out),
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
    picture: bool,
    device: Option<&HardwareDevice>,
) -> Result<filter::Graph, MediaError> {
    let broken = |error: ffmpeg::Error| {
        MediaError::internal(&format!("the filters do not fit ({text})"), error)
    };
    let missing = || broken(ffmpeg::Error::FilterNotFound);
    let mut graph = filter::Graph::new();
    ffi::single_threaded(&mut graph);
    for (number, shape) in inputs.iter().enumerate() {
        let (kind, arguments) = shape.source();
        let kind = filter::find(kind).ok_or_else(missing)?;
        graph.add(&kind, &filtergraph::input_name(number), &arguments).map_err(broken)?;
    }
    let sink = if picture { "buffersink" } else { "abuffersink" };
    graph.add(&filter::find(sink).ok_or_else(missing)?, "out", "").map_err(broken)?;
    let mut parser = graph.input("out", 0).map_err(broken)?;
    for number in 0..inputs.len() {
        parser = parser.output(&filtergraph::input_name(number), 0).map_err(broken)?;
    }
    parser.parse(text).map_err(broken)?;
    if let Some(device) = device {
        device.give_to(&mut graph);
    }
    graph.validate().map_err(broken)?;
    Ok(graph)
}
