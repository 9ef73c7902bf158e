use std::path::Path;

use ffapi_domain::media::{
    Adjust, Axis, Fields, Hdr, Paint, Pool, Position, Segment, Source, VideoCodec, VideoFacts,
    VideoFilter, VideoPlan, Window,
};

use super::{Fed, Script, during, seconds, window};

/// What the filters of a picture need to know beside the plan.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct VideoGraph<'a> {
    pub(in crate::engine) plan: &'a VideoPlan,
    /// The source is 8-bit 4:2:0, where the faster scaler applies.
    pub(in crate::engine) planar: bool,
    /// Where texts and other findings are written.
    pub(in crate::engine) scratch: &'a Path,
}

impl VideoGraph<'_> {
    /// The whole picture, as its encoder takes it.
    pub(in crate::engine) fn script(&self) -> (String, Vec<Fed>) {
        let mut script = Script::default();
        let from = script.feed(Fed::Stream(self.plan.source));
        let mut last = self.apply(&mut script, &from, &self.plan.filters);
        let mut end = self.ending();
        if self.plan.codec == VideoCodec::Gif {
            let palette = script.feed(Fed::Palette);
            last = script.chain(&format!("{last}{palette}"), &["paletteuse".to_owned()], "null");
            end = vec!["null".to_owned()];
        }
        script.end(&last, &end)
    }

    /// What becomes of a part of the source, at the times that it has in the whole.
    pub(in crate::engine) fn sample(&self, part: Window) -> (String, Vec<Fed>) {
        let mut script = Script::default();
        let from = script.feed(Fed::Stream(self.plan.source));
        let part = script.chain(&from, &[format!("trim={}", window(part))], "null");
        let last = self.apply(&mut script, &part, &self.plan.filters);
        script.end(&last, &self.ending())
    }

    /// What the first `count` filters make, ending in `last`: for a pass that only looks.
    pub(in crate::engine) fn look(&self, count: usize, last: &str) -> (String, Vec<Fed>) {
        let mut script = Script::default();
        let from = script.feed(Fed::Stream(self.plan.source));
        let filters = self.plan.filters.get(..count).unwrap_or(&self.plan.filters);
        let to = self.apply(&mut script, &from, filters);
        script.end(&to, &[last.to_owned()])
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
            // Each field's colour stays its own; and a picture between them that is none of two is
            // taken for two, in the same order.
            end.push(format!("setfield={first},scale=interl=1"));
        }
        let placed = self.plan.placed.as_ref().map(|placed| placed.pool);
        end.push(match placed {
            Some(Pool::Vaapi) => "format=pix_fmts=nv12,hwupload".to_owned(),
            Some(Pool::Qsv) => "format=pix_fmts=nv12".to_owned(),
            _ => format!("format=pix_fmts={}", self.plan.pixel_format),
        });
        end
    }

    fn apply(&self, script: &mut Script, from: &str, filters: &[VideoFilter]) -> String {
        let mut at = from.to_owned();
        let mut chain: Vec<String> = Vec::new();
        for (place, filter) in filters.iter().enumerate() {
            match filter {
                VideoFilter::Overlay {
                    input,
                    upright,
                    width,
                    height,
                    x,
                    y,
                    opacity,
                    during: when,
                } => {
                    let under = script.chain(&at, &chain, "null");
                    chain.clear();
                    let image = script.feed(Fed::Stream(Source { input: *input, stream: 0 }));
                    let image = self.apply(script, &image, upright);
                    let fit = [
                        format!("scale={width}:{height}:flags=bicubic"),
                        "format=rgba".to_owned(),
                        format!("colorchannelmixer=aa={opacity:.4}"),
                    ];
                    let over = script.chain(&image, &fit, "null");
                    let lay = format!(
                        "overlay=x={x}:y={y}:eof_action=repeat:format=auto{}",
                        during(*when)
                    );
                    at = script.chain(&format!("{under}{over}"), &[lay], "null");
                }
                VideoFilter::Concat(segments) => {
                    chain.push("setsar=1".to_owned());
                    let mut all = script.chain(&at, &chain, "null");
                    chain.clear();
                    for segment in segments {
                        all.push_str(&self.segment(script, segment));
                    }
                    let join = format!("concat=n={}:v=1:a=0", segments.len().saturating_add(1));
                    at = script.chain(&all, &[join], "null");
                }
                other => chain.push(self.one(place, other)),
            }
        }
        if chain.is_empty() { at } else { script.chain(&at, &chain, "null") }
    }

    fn segment(&self, script: &mut Script, segment: &Segment) -> String {
        let source = Source { input: segment.input, stream: segment.stream };
        let from = script.feed(Fed::Stream(source));
        let fitted = self.apply(script, &from, &segment.filters);
        let held = hold(segment.duration, is_rated(&segment.filters));
        script.chain(&fitted, &[held, "setsar=1".to_owned()], "null")
    }

    fn one(&self, place: usize, filter: &VideoFilter) -> String {
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
            // Half the cost of swscale, where it applies.
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
            VideoFilter::Text { position, size, color, margin, during: when, .. } => format!(
                "drawtext=textfile={}:fontfile={FONT}:expansion=none:fontsize={size}:\
                 fontcolor={}:borderw={}:bordercolor=black@0.6:{}{}",
                text_file(self.scratch, place).display(),
                paint(*color),
                (size / 24).max(1),
                text_place(*position, *margin),
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
            // Graphs of more than one input, made by the caller.
            VideoFilter::Overlay { .. } | VideoFilter::Concat(_) => "null".to_owned(),
        }
    }
}

/// In Debian's package fonts-dejavu-core.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// Where the text of the filter at `place` is written.
pub(in crate::engine) fn text_file(scratch: &Path, place: usize) -> std::path::PathBuf {
    scratch.join(format!("text{place}.txt"))
}

/// Where the subtitles that are drawn are written.
pub(in crate::engine) fn cue_file(scratch: &Path, number: usize) -> std::path::PathBuf {
    scratch.join(format!("cues{number}.ass"))
}

/// Where the first pass of stabilizing writes how the camera moved.
pub(in crate::engine) fn motion_file(scratch: &Path) -> std::path::PathBuf {
    scratch.join("motion.trf")
}

/// Pictures before and after that are looked at.
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

fn text_place(position: Position, margin: u32) -> String {
    let along = |halves: u32, whole: &str, own: &str| match halves {
        0 => format!("{margin}"),
        1 => format!("({whole}-{own})/2"),
        _ => format!("{whole}-{own}-{margin}"),
    };
    let (x, y) = position.halves();
    format!("x={}:y={}", along(x, "w", "text_w"), along(y, "h", "text_h"))
}

/// The last picture stays until the end, or the rest goes; at a constant rate the first one stands from
/// the beginning, so that what is joined keeps its sound.
fn hold(duration: u64, constant: bool) -> String {
    let lasts = seconds(duration);
    let begin = if constant { "fps=source_fps:start_time=0," } else { "" };
    format!(
        "{begin}tpad=stop_mode=clone:stop_duration={lasts},trim=end={lasts},setpts=PTS-STARTPTS"
    )
}

fn is_rated(filters: &[VideoFilter]) -> bool {
    filters.iter().any(|filter| matches!(filter, VideoFilter::Rate(_)))
}

/// What turns a picture as a player shows it; ends in a comma, if anything.
pub(in crate::engine) fn turned(video: &VideoFacts) -> String {
    let turn = match video.rotation {
        90 => "transpose=clock,",
        180 => "hflip,vflip,",
        270 => "transpose=cclock,",
        _ => "",
    };
    format!("{turn}{}", if video.mirrored { "hflip," } else { "" })
}

/// The formats name no levels of their own, so that none of them is chosen that has others.
fn levels(rgb: bool) -> String {
    const FORMATS: &str = "yuv420p|yuv422p|yuv444p|yuva420p|yuva444p|yuv420p10le|yuv422p10le|\
                           yuv444p10le|yuva444p10le";
    let matrix = if rgb { ":out_color_matrix=bt709" } else { "" };
    format!("scale=out_range=tv{matrix},format=pix_fmts={FORMATS}")
}

/// Linear light, BT.709's primaries, the highlights rolled off, BT.709's curve. What the file does
/// not say is declared, not guessed by the filter.
pub(in crate::engine) fn tonemap(from: Hdr, peak: f64) -> String {
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
