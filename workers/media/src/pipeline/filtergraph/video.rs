use std::path::Path;

use ffapi_domain::media::{
    Adjust, Axis, Chroma, Fields, Hdr, Matrix, MediaFacts, Paint, Pool, Position, Segment, Source,
    VideoCodec, VideoFacts, VideoFilter, VideoPlan, Window,
};

use super::{GraphBuilder, GraphInput, during, seconds, window};
use crate::fonts;

/// The filter graph of a video track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoGraph<'a> {
    pub(crate) plan: &'a VideoPlan,
    /// True if the source is 8-bit 4:2:0, which the faster scaler (zscale) supports.
    pub(crate) planar: bool,
    /// The folder of texts and of the results of analysis passes.
    pub(crate) scratch: &'a Path,
}

impl<'a> VideoGraph<'a> {
    /// The graph of a video of the inputs that `facts` describes.
    pub(crate) fn of(plan: &'a VideoPlan, facts: &[MediaFacts], scratch: &'a Path) -> Self {
        Self { plan, planar: is_planar(facts, plan), scratch }
    }

    /// All filters, with output in the format of the encoder.
    pub(crate) fn filtergraph(&self) -> (String, Vec<GraphInput>) {
        let mut builder = GraphBuilder::default();
        let from = builder.add_input(GraphInput::Stream(self.plan.source));
        let mut last = self.apply(&mut builder, &from, &self.plan.filters);
        let mut end = self.ending();
        if self.plan.codec == VideoCodec::Gif {
            let palette = builder.add_input(GraphInput::Palette);
            last = builder.chain(&format!("{last}{palette}"), &["paletteuse".to_owned()], "null");
            end = vec!["null".to_owned()];
        }
        builder.finish(&last, &end)
    }

    /// All filters on a part of the source, whose timestamps are kept.
    pub(crate) fn sample(&self, part: Window) -> (String, Vec<GraphInput>) {
        let mut builder = GraphBuilder::default();
        let from = builder.add_input(GraphInput::Stream(self.plan.source));
        let part = builder.chain(&from, &[format!("trim={}", window(part))], "null");
        let last = self.apply(&mut builder, &part, &self.plan.filters);
        builder.finish(&last, &self.ending())
    }

    /// The first `count` filters followed by `last`: for an analysis pass.
    pub(crate) fn prefix(&self, count: usize, last: &str) -> (String, Vec<GraphInput>) {
        let mut builder = GraphBuilder::default();
        let from = builder.add_input(GraphInput::Stream(self.plan.source));
        let filters = self.plan.filters.get(..count).unwrap_or(&self.plan.filters);
        let to = self.apply(&mut builder, &from, filters);
        builder.finish(&to, &[last.to_owned()])
    }

    fn ending(&self) -> Vec<String> {
        let mut end = Vec::new();
        let square = self.plan.filters.iter().any(|f| matches!(f, VideoFilter::Scale { .. }));
        if square {
            end.push("setsar=1".to_owned());
        }
        if let Some(fields) = self.plan.fields {
            let first = match fields {
                Fields::TopFirst => "tff",
                Fields::BottomFirst => "bff",
            };
            // The chroma of the two fields is not mixed; a progressive frame in between is treated
            // as two fields in the same order.
            end.push(format!("setfield={first},scale=interl=1"));
        }
        let pool = self.plan.assigned.as_ref().map(|device| device.pool);
        end.push(match pool {
            Some(Pool::Vaapi) => "format=pix_fmts=nv12,hwupload".to_owned(),
            Some(Pool::Qsv) => "format=pix_fmts=nv12".to_owned(),
            _ => format!("format=pix_fmts={}", self.plan.pixel_format),
        });
        end
    }

    fn apply(&self, builder: &mut GraphBuilder, from: &str, filters: &[VideoFilter]) -> String {
        let mut at = from.to_owned();
        let mut chain: Vec<String> = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            match filter {
                VideoFilter::Overlay {
                    input,
                    upright,
                    width,
                    height,
                    x,
                    y,
                    opacity,
                    matrix,
                    during: when,
                } => {
                    let background = builder.chain(&at, &chain, "null");
                    chain.clear();
                    let image =
                        builder.add_input(GraphInput::Stream(Source { input: *input, stream: 0 }));
                    let image = self.apply(builder, &image, upright);
                    let fit = [
                        format!("scale={width}:{height}:flags=bicubic"),
                        "format=rgba".to_owned(),
                        format!("colorchannelmixer=aa={opacity:.4}"),
                        format!("scale=out_color_matrix={}:out_range=tv", matrix_names(*matrix)[0]),
                    ];
                    let foreground = builder.chain(&image, &fit, "null");
                    let overlay = format!(
                        "overlay=x={x}:y={y}:eof_action=repeat:format=auto{}",
                        during(*when)
                    );
                    at = builder.chain(&format!("{background}{foreground}"), &[overlay], "null");
                }
                VideoFilter::Concat(segments) => {
                    chain.push("setsar=1".to_owned());
                    let mut all = builder.chain(&at, &chain, "null");
                    chain.clear();
                    for segment in segments {
                        all.push_str(&self.segment(builder, segment));
                    }
                    let join = format!("concat=n={}:v=1:a=0", segments.len().saturating_add(1));
                    at = builder.chain(&all, &[join], "null");
                }
                other => chain.push(self.simple_filter(index, other)),
            }
        }
        if chain.is_empty() { at } else { builder.chain(&at, &chain, "null") }
    }

    fn segment(&self, builder: &mut GraphBuilder, segment: &Segment) -> String {
        let source = Source { input: segment.input, stream: segment.stream };
        let from = builder.add_input(GraphInput::Stream(source));
        let fitted = self.apply(builder, &from, &segment.filters);
        let held = hold(segment.duration, is_rated(&segment.filters));
        builder.chain(&fitted, &[held, "setsar=1".to_owned()], "null")
    }

    fn simple_filter(&self, index: usize, filter: &VideoFilter) -> String {
        match filter {
            VideoFilter::Rotate(90) => "transpose=clock".to_owned(),
            VideoFilter::Rotate(270) => "transpose=cclock".to_owned(),
            VideoFilter::Tilt { degrees, width, height } => {
                format!("rotate={:.9}:ow={width}:oh={height}:c=black", degrees.to_radians())
            }
            VideoFilter::Flip(Axis::Horizontal) => "hflip".to_owned(),
            VideoFilter::Flip(Axis::Vertical) => "vflip".to_owned(),
            VideoFilter::Flip(Axis::Both) | VideoFilter::Rotate(_) => "hflip,vflip".to_owned(),
            VideoFilter::Trim(part) => {
                format!("trim={},setpts=PTS-{}/TB", window(*part), seconds(part.start))
            }
            // Half the cost of swscale.
            VideoFilter::Scale { width, height } if self.planar => {
                format!("zscale=w={width}:h={height}:filter=bicubic,setsar=1")
            }
            VideoFilter::Scale { width, height } => {
                format!("scale={width}:{height}:flags=bicubic,setsar=1")
            }
            VideoFilter::Crop { x, y, width, height } => {
                format!("crop={width}:{height}:{x}:{y}:exact=1")
            }
            VideoFilter::Pad { x, y, width, height, color } => {
                format!("pad={width}:{height}:{x}:{y}:color={}", paint(*color))
            }
            VideoFilter::Rate(rate) => format!("fps={}/{}", rate.num, rate.den),
            VideoFilter::Speed(factor) => format!("setpts=PTS/{factor:.6}"),
            VideoFilter::Text { text, position, size, color, margin, during: when } => format!(
                "drawtext=textfile={}:fontfile={}:expansion=none:fontsize={size}:\
                 fontcolor={}:borderw={}:bordercolor=black@0.6:{}{}",
                text_file(self.scratch, index).display(),
                fonts::for_text(text).path.display(),
                paint(*color),
                (size / 24).max(1),
                text_position(*position, *margin),
                during(*when),
            ),
            VideoFilter::Burn { cues } => {
                format!("ass=filename={}", cue_file(self.scratch, *cues).display())
            }
            VideoFilter::FromZero(Some(rate)) => {
                format!("fps={}/{}:start_time=0", rate.num, rate.den)
            }
            VideoFilter::FromZero(None) => "setpts='if(eq(N,0),0,PTS)'".to_owned(),
            VideoFilter::Hold(duration) => hold(*duration, is_rated(&self.plan.filters)),
            VideoFilter::Denoise(strength) => {
                format!("hqdn3d=luma_spatial={:.3}", 0.5 + strength * 9.5)
            }
            VideoFilter::Deinterlace => "bwdif=mode=send_frame:deint=all".to_owned(),
            VideoFilter::Stabilize(strength) => format!(
                "vidstabtransform=input={}:smoothing={}:optzoom=1:interpol=bicubic,\
                 unsharp=5:5:0.4:3:3:0",
                motion_file(self.scratch).display(),
                smoothing(*strength)
            ),
            VideoFilter::Sharpen(strength) => {
                format!("unsharp=5:5:{:.3}:5:5:0", strength * 3.0)
            }
            VideoFilter::Blur(strength) => format!("gblur=sigma={:.3}", strength * 20.0),
            VideoFilter::Adjust(Adjust { brightness, contrast, saturation, gamma }) => format!(
                "eq=brightness={brightness:.4}:contrast={contrast:.4}:\
                 saturation={saturation:.4}:gamma={gamma:.4}"
            ),
            VideoFilter::Hue(degrees) => format!("hue=h={degrees:.3}"),
            VideoFilter::Levels { rgb } => levels(*rgb),
            VideoFilter::Tonemap { from, peak } => tonemap(*from, *peak),
            VideoFilter::Matrix(matrix) => {
                let [name, space] = matrix_names(*matrix);
                format!("scale=out_color_matrix={name},setparams=colorspace={space}")
            }
            // Filters of more than one input are built by the caller.
            VideoFilter::Overlay { .. } | VideoFilter::Concat(_) => "null".to_owned(),
        }
    }
}

/// True if the faster scaler (zscale) supports the source: 8-bit 4:2:0 with even sides.
fn is_planar(facts: &[MediaFacts], video: &VideoPlan) -> bool {
    let found = facts.get(video.source.input).and_then(MediaFacts::video);
    found.is_some_and(|(_, f)| {
        f.bit_depth == 8
            && f.chroma == Chroma::Quarter
            && f.pixel_format == "yuv420p"
            && !f.alpha
            && f.width % 2 == 0
            && f.height % 2 == 0
    })
}

/// FFmpeg's names of a matrix: for the scaler, and for the properties of frames.
const fn matrix_names(matrix: Matrix) -> [&'static str; 2] {
    match matrix {
        Matrix::Bt601 => ["bt601", "smpte170m"],
        Matrix::Bt709 => ["bt709", "bt709"],
        Matrix::Bt2020 => ["bt2020", "bt2020nc"],
    }
}

/// The file with the text of the filter at `index`.
pub(crate) fn text_file(scratch: &Path, index: usize) -> std::path::PathBuf {
    scratch.join(format!("text{index}.txt"))
}

/// The file with the subtitles that a filter draws.
pub(crate) fn cue_file(scratch: &Path, number: usize) -> std::path::PathBuf {
    scratch.join(format!("cues{number}.ass"))
}

/// The file with the camera motion, written by the first pass of stabilization.
pub(crate) fn motion_file(scratch: &Path) -> std::path::PathBuf {
    scratch.join("motion.trf")
}

/// The number of frames before and after a frame that stabilization averages.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "strength is 0 to 1 by the plan"
)]
fn smoothing(strength: f64) -> u32 {
    (5.0 + strength * 40.0).round() as u32
}

fn paint(paint: Paint) -> String {
    let [r, g, b, a] = paint.rgba;
    format!("0x{r:02x}{g:02x}{b:02x}@{:.3}", f64::from(a) / 255.0)
}

fn text_position(position: Position, margin: u32) -> String {
    let along = |halves: u32, whole: &str, own: &str| match halves {
        0 => format!("{margin}"),
        1 => format!("({whole}-{own})/2"),
        _ => format!("{whole}-{own}-{margin}"),
    };
    let (x, y) = position.halves();
    format!("x={}:y={}", along(x, "w", "text_w"), along(y, "h", "text_h"))
}

/// Repeats the last frame until `duration`, or cuts at it; at a constant frame rate also starts at
/// 0, so that concatenated parts keep in sync with their audio.
fn hold(duration: u64, constant: bool) -> String {
    let duration = seconds(duration);
    let begin = if constant { "fps=source_fps:start_time=0," } else { "" };
    format!(
        "{begin}tpad=stop_mode=clone:stop_duration={duration},trim=end={duration},\
         setpts=PTS-STARTPTS"
    )
}

fn is_rated(filters: &[VideoFilter]) -> bool {
    filters.iter().any(|filter| matches!(filter, VideoFilter::Rate(_)))
}

/// The filters that apply the rotation and mirroring of the container; empty, or ending in a comma.
pub(crate) fn rotation_filters(video: &VideoFacts) -> String {
    let turn = match video.rotation {
        90 => "transpose=clock,",
        180 => "hflip,vflip,",
        270 => "transpose=cclock,",
        _ => "",
    };
    format!("{turn}{}", if video.mirrored { "hflip," } else { "" })
}

/// Formats without a palette.
const RGB_FORMATS: &str = "rgb24|bgr24|rgba|bgra|argb|abgr|rgb0|bgr0|0rgb|0bgr|gbrp|gbrap|gbrp10le|\
                           gbrap10le|gbrp12le|gbrap12le|gbrp16le|gbrap16le|rgb48le|rgba64le|bgr48le|\
                           bgra64le|rgb48be|rgba64be|gbrpf32le|gbrapf32le";

/// Converts to limited range. The formats exclude the `yuvj` ones, which imply full range.
fn levels(rgb: bool) -> String {
    const FORMATS: &str = "yuv420p|yuv422p|yuv444p|yuva420p|yuva444p|yuv420p10le|yuv422p10le|\
                           yuv444p10le|yuva444p10le";
    if rgb {
        // The colours of a palette would be converted by another matrix.
        return format!(
            "format=pix_fmts={RGB_FORMATS},scale=out_range=tv:out_color_matrix=bt709,format=pix_fmts={FORMATS},\
             setparams=colorspace=bt709:range=tv"
        );
    }
    format!("scale=out_range=tv,format=pix_fmts={FORMATS}")
}

/// Converts HDR to SDR: linear light, BT.709 primaries, highlight roll-off, BT.709 transfer. The
/// source properties are declared, so that the filter does not guess them.
pub(crate) fn tonemap(from: Hdr, peak: f64) -> String {
    let transfer = match from {
        Hdr::Pq => "smpte2084",
        Hdr::Hlg => "arib-std-b67",
    };
    format!(
        "setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv,\
         zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,\
         tonemap=tonemap=hable:desat=0:peak={:.4},zscale=t=bt709:m=bt709:p=bt709:r=tv,\
         format=yuv420p",
        (peak / 203.0).max(1.0)
    )
}
