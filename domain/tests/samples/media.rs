//! A sample of each kind of request and of each operation.

use ffapi_domain::media::{
    Analyze, Audio, AudioCodec, Axis, Caption, Concat, Container, Convert, Crop, Filter,
    FilterName, Flip, Fps, ImageFormat, MediaRequest, Metric, Operation, Overwrite, Packaging, Pad,
    Pick, Position, Poster, Preset, Probe, Rotate, Scale, ScaleMode, SegmentFormat, SegmentLayout,
    Speed, Sprite, Stream, SubtitleMode, Subtitles, Text, ThumbnailMode, Thumbnails, Tracks,
    Transcode, Trim, Variant, VideoCodec, Watermark,
};

use super::{
    Samples,
    values::{location, personal, text},
};

impl Samples for MediaRequest {
    fn after(request: Option<&Self>) -> Option<Self> {
        Some(match request {
            None => Self::Convert(convert()),
            Some(Self::Convert(_)) => Self::Probe(Probe { input: location("in.mp4") }),
            Some(Self::Probe(_)) => Self::Analyze(Analyze {
                input: location("in.mp4"),
                reference: Some(location("reference.mp4")),
                metrics: Metric::ALL.to_vec(),
                per_frame: true,
            }),
            Some(Self::Analyze(_)) => Self::Thumbnails(thumbnails()),
            Some(Self::Thumbnails(_)) => Self::Stream(stream()),
            Some(Self::Stream(_)) => return None,
        })
    }
}

/// A conversion with every operation.
pub(super) fn convert() -> Convert {
    Convert {
        input: location("upload_00000000000000000000000000000007"),
        output: location("out.mp4"),
        operations: Operation::full(),
        overwrite: Overwrite::Replace,
    }
}

fn thumbnails() -> Thumbnails {
    Thumbnails {
        input: location("https://a/in.mp4"),
        output: location("stills"),
        mode: ThumbnailMode::Sprite,
        timestamp: Some(1_000_000),
        interval: Some(2_000_000),
        count: Some(9),
        width: Some(320),
        height: Some(180),
        format: Some(ImageFormat::Webp),
        columns: Some(3),
        overwrite: Overwrite::Replace,
    }
}

fn stream() -> Stream {
    Stream {
        input: location("in.mp4"),
        output: location("stream"),
        packaging: Packaging::Cmaf,
        segments: SegmentFormat::Ts,
        layout: SegmentLayout::SingleFile,
        variants: vec![Variant {
            name: text("low"),
            width: Some(640),
            height: Some(360),
            video_bitrate: Some(800_000),
            crf: Some(23),
            audio_bitrate: Some(96_000),
        }],
        segment_duration: Some(4_000_000),
        video_codec: Some(VideoCodec::Hevc),
        preset: Some(Preset::Fast),
        encrypted: true,
        captions: vec![Caption {
            input: location("in.srt"),
            language: text("en"),
            name: Some(text("English")),
        }],
        poster: Some(Poster {
            timestamp: Some(1_000_000),
            width: Some(640),
            height: Some(360),
            format: Some(ImageFormat::Png),
        }),
        sprite: Some(Sprite {
            interval: Some(2_000_000),
            width: Some(160),
            height: Some(90),
            columns: Some(10),
            format: Some(ImageFormat::Jpeg),
        }),
        metrics: vec![Metric::Vmaf],
        overwrite: Overwrite::Replace,
    }
}

impl Samples for Operation {
    fn after(operation: Option<&Self>) -> Option<Self> {
        Some(match operation {
            None => Self::Trim(Trim { start: 1_000_000, end: Some(2_000_000) }),
            Some(Self::Trim(_)) => {
                Self::Scale(Scale { width: Some(640), height: Some(360), mode: ScaleMode::Fill })
            }
            Some(Self::Scale(_)) => Self::Transcode(transcode()),
            Some(Self::Transcode(_)) => Self::Crop(Crop { x: 1, y: 2, width: 640, height: 360 }),
            Some(Self::Crop(_)) => {
                Self::Pad(Pad { width: 1_280, height: 720, color: "#01020304".parse().ok() })
            }
            Some(Self::Pad(_)) => Self::Rotate(Rotate { degrees: 90.0 }),
            Some(Self::Rotate(_)) => Self::Flip(Flip { axis: Axis::Horizontal }),
            Some(Self::Flip(_)) => Self::Fps(Fps { millifps: 29_970 }),
            Some(Self::Fps(_)) => Self::Speed(Speed { factor: 1.5 }),
            Some(Self::Speed(_)) => Self::Watermark(Watermark {
                image: location("logo.png"),
                position: Position::TopLeft,
                opacity: Some(0.5),
                scale: Some(0.25),
                margin: Some(8),
                start: Some(1_000_000),
                end: Some(2_000_000),
            }),
            Some(Self::Watermark(_)) => Self::Text(Text {
                text: personal("t"),
                position: Position::Bottom,
                size: Some(24),
                color: "white".parse().ok(),
                margin: Some(8),
                start: Some(1_000_000),
                end: Some(2_000_000),
            }),
            Some(Self::Text(_)) => Self::Subtitles(Subtitles {
                input: Some(location("in.srt")),
                mode: SubtitleMode::Embed,
                language: Some(text("en")),
            }),
            Some(Self::Subtitles(_)) => {
                Self::Concat(Concat { inputs: vec![location("second.mp4")] })
            }
            Some(Self::Concat(_)) => Self::Filter(Filter {
                name: FilterName::Eq,
                strength: Some(0.5),
                brightness: Some(0.25),
                contrast: Some(1.5),
                saturation: Some(1.25),
                gamma: Some(0.75),
            }),
            Some(Self::Filter(_)) => Self::Audio(Audio {
                replace: Some(location("in.mp3")),
                remove: true,
                extract: true,
                normalize: true,
                target_lufs: Some(-16.0),
                volume: Some(0.5),
                fade_in: Some(1_000_000),
                fade_out: Some(2_000_000),
                channels: Some(2),
                sample_rate: Some(48_000),
            }),
            Some(Self::Audio(_)) => Self::Tracks(Tracks {
                audio: Some(vec![Pick::Index(1), Pick::Language(text("en"))]),
                subtitles: Some(vec![Pick::Language(text("all"))]),
            }),
            Some(Self::Tracks(_)) => return None,
        })
    }
}

fn transcode() -> Transcode {
    Transcode {
        video_codec: Some(VideoCodec::H264),
        audio_codec: Some(AudioCodec::Aac),
        crf: Some(23),
        video_bitrate: Some(1_000_000),
        audio_bitrate: Some(128_000),
        preset: Some(Preset::Slow),
        width: Some(1_280),
        height: Some(720),
        millifps: Some(25_000),
        keyframe_interval: Some(50),
        container: Some(Container::Mp4),
        max_bitrate: Some(2_000_000),
        two_pass: true,
        target_vmaf: Some(93.5),
        profile: Some(text("high")),
        pixel_format: Some(text("yuv420p")),
    }
}
