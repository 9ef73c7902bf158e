use domain::media::{AudioFilter, AudioPlan, Micros, VideoFilter, VideoPlan};
use ffmpeg_the_third::{self as ffmpeg, ChannelLayout, Rational, filter, format};

use crate::{MediaError, ffi};

/// What a picture graph is fed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: format::Pixel,
    pub(super) time_base: Rational,
    pub(super) pixel_aspect: Rational,
}

/// The filter chain as FFmpeg's own syntax: made of our names and numbers only.
fn picture_chain(plan: &VideoPlan, source: &Picture) -> String {
    // Half the cost of swscale, where it applies.
    let planar = matches!(source.format, format::Pixel::YUV420P);
    let mut chain: Vec<String> = plan
        .filters
        .iter()
        .map(|filter| match *filter {
            VideoFilter::Rotate(90) => "transpose=clock".to_owned(),
            VideoFilter::Rotate(270) => "transpose=cclock".to_owned(),
            VideoFilter::Rotate(_) => "hflip,vflip".to_owned(),
            VideoFilter::Trim { start, end } => {
                format!("trim={},setpts=PTS-{}/TB", window(start, end), seconds(start))
            }
            VideoFilter::Scale { width, height } if planar => {
                format!("zscale=w={width}:h={height}:filter=bicubic")
            }
            VideoFilter::Scale { width, height } => format!("scale={width}:{height}:flags=bicubic"),
            VideoFilter::CropCentre { width, height } => format!("crop={width}:{height}"),
            VideoFilter::Fps(millifps) => format!("fps={millifps}/1000"),
        })
        .collect();
    if source.pixel_aspect.numerator() == source.pixel_aspect.denominator() {
        chain.push("setsar=1".to_owned());
    }
    chain.push("format=pix_fmts=yuv420p".to_owned());
    chain.join(",")
}

fn seconds(micros: Micros) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn window(start: Micros, end: Option<Micros>) -> String {
    let start = format!("start={}", seconds(start));
    end.map_or(start.clone(), |end| format!("{start}:end={}", seconds(end)))
}

/// Builds the picture's graph, from `in` to `out`.
pub(super) fn picture(plan: &VideoPlan, source: &Picture) -> Result<filter::Graph, MediaError> {
    let name = source.format.descriptor().map(format::pixel::Descriptor::name);
    let name = name.ok_or_else(|| MediaError::input("the input's pixel format is unknown"))?;
    let arguments = format!(
        "video_size={}x{}:pix_fmt={name}:time_base={}/{}:pixel_aspect={}/{}",
        source.width,
        source.height,
        source.time_base.numerator(),
        source.time_base.denominator(),
        source.pixel_aspect.numerator(),
        source.pixel_aspect.denominator().max(1),
    );
    build(("buffer", &arguments), "buffersink", &picture_chain(plan, source))
}

/// What a sound graph is fed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sound {
    pub(super) rate: u32,
    pub(super) format: format::Sample,
    pub(super) layout: String,
    pub(super) time_base: Rational,
}

/// A layout's name; the usual one for the count of channels if the input names none.
pub(super) fn layout_name(layout: &ChannelLayout<'_>) -> String {
    if layout.order() == ffmpeg::ChannelOrder::Unspecified {
        ChannelLayout::default_for_channels(layout.channels()).description()
    } else {
        layout.description()
    }
}

/// Builds the sound's graph, from `in` to `out`, giving what the encoder takes.
pub(super) fn sound(
    plan: &AudioPlan,
    source: &Sound,
    encoder_format: format::Sample,
) -> Result<filter::Graph, MediaError> {
    let arguments = format!(
        "time_base={}/{}:sample_rate={}:sample_fmt={}:channel_layout={}",
        source.time_base.numerator(),
        source.time_base.denominator(),
        source.rate,
        source.format.name(),
        source.layout,
    );
    let mut chain: Vec<String> = plan
        .filters
        .iter()
        .map(|filter| match *filter {
            AudioFilter::Trim { start, end } => {
                format!("atrim={},asetpts=PTS-{}/TB", window(start, end), seconds(start))
            }
        })
        .collect();
    let layout = if plan.channels == 1 { "mono" } else { "stereo" };
    chain.push(format!(
        "aformat=sample_fmts={}:sample_rates={}:channel_layouts={layout}",
        encoder_format.name(),
        plan.sample_rate,
    ));
    build(("abuffer", &arguments), "abuffersink", &chain.join(","))
}

fn build(
    (source, arguments): (&str, &str),
    sink: &str,
    chain: &str,
) -> Result<filter::Graph, MediaError> {
    let broken = |error: ffmpeg::Error| MediaError::internal("the filters do not fit", error);
    let missing = || broken(ffmpeg::Error::FilterNotFound);
    let mut graph = filter::Graph::new();
    ffi::single_threaded(&mut graph);
    graph.add(&filter::find(source).ok_or_else(missing)?, "in", arguments).map_err(broken)?;
    graph.add(&filter::find(sink).ok_or_else(missing)?, "out", "").map_err(broken)?;
    graph
        .output("in", 0)
        .and_then(|parser| parser.input("out", 0))
        .and_then(|parser| parser.parse(chain))
        .map_err(broken)?;
    graph.validate().map_err(broken)?;
    Ok(graph)
}
