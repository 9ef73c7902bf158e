//! A sample of a plan.

use std::collections::BTreeMap;

use ffapi_domain::media::{
    Adjust, AssignedDevice, AudioCodec, AudioFilter, AudioPlan, AudioSegment, Axis, Chapter,
    Container, CueSource, Fields, JobPlan, Plan, Pool, Position, Preset, RateControl, Rational,
    Segment, Size, Source, SubtitlePlan, TimeEdit, VideoCodec, VideoFilter, VideoPlan, Window,
};

use super::values::text;

const SECOND: u64 = 1_000_000;

/// A plan with a value in every field.
pub(super) fn plan() -> JobPlan {
    let source = Source { input: 0, stream: 1 };
    let cues = CueSource {
        input: 1,
        stream: 2,
        edits: vec![
            TimeEdit::Trim(Window { start: SECOND, end: Some(3 * SECOND) }),
            TimeEdit::Speed(2.0),
        ],
    };
    JobPlan::Convert(Box::new(Plan {
        container: Container::Mp4,
        sequence: true,
        video: Some(video(source)),
        audio: vec![AudioPlan {
            source,
            codec: AudioCodec::Aac,
            filters: audio_filters(),
            bitrate: Some(128_000),
            channels: 2,
            layout: Some(text("stereo")),
            sample_rate: 48_000,
            bits: 16,
            language: Some(text("eng")),
            title: Some(text("Stereo")),
        }],
        subtitles: vec![SubtitlePlan {
            source: cues.clone(),
            language: Some(text("deu")),
            sidecar: true,
        }],
        cues: vec![cues],
        seek: SECOND,
        duration: Some(2 * SECOND),
        duration_is_estimate: true,
        decoded: Some(3 * SECOND),
        chapters: vec![Chapter { start: 0, end: SECOND, title: Some(text("One")) }],
        tags: BTreeMap::from([(text("title"), text("A"))]),
        notes: vec![text("a note")],
    }))
}

fn video(source: Source) -> VideoPlan {
    let size = Size { width: 640, height: 360 };
    let rate = Rational { num: 25, den: 1 };
    VideoPlan {
        filters: video_filters(),
        quality: RateControl {
            crf: Some(23),
            bitrate: Some(1_000_000),
            max_bitrate: Some(2_000_000),
            two_pass: true,
            target_vmaf: Some(95.0),
        },
        preset: Preset::Slow,
        profile: Some(text("high")),
        keyframe_interval: Some(50),
        tonemapped: true,
        fields: Some(Fields::TopFirst),
        assigned: Some(AssignedDevice { pool: Pool::Vaapi, device: text("/dev/dri/renderD128") }),
        ..VideoPlan::new(source, VideoCodec::H264, size, "yuv420p", rate)
    }
}

fn video_filters() -> Vec<VideoFilter> {
    let during = Some(Window { start: 0, end: Some(SECOND) });
    let color = text("white").try_into().unwrap();
    vec![
        VideoFilter::Rotate(90),
        VideoFilter::Tilt { degrees: 1.5, width: 700, height: 400 },
        VideoFilter::Trim(Window { start: SECOND, end: Some(3 * SECOND) }),
        VideoFilter::Scale { width: 640, height: 360 },
        VideoFilter::Crop { x: 1, y: 2, width: 320, height: 180 },
        VideoFilter::Pad { x: 1, y: 2, width: 640, height: 360, color },
        VideoFilter::Flip(Axis::Both),
        VideoFilter::Rate(Rational { num: 30_000, den: 1_001 }),
        VideoFilter::Speed(2.0),
        VideoFilter::Overlay {
            input: 1,
            upright: vec![VideoFilter::Rotate(180)],
            width: 64,
            height: 32,
            x: -1,
            y: 2,
            opacity: 0.5,
            matrix: ffapi_domain::media::Matrix::Bt601,
            during,
        },
        VideoFilter::Text {
            text: text("hello"),
            position: Position::Top,
            size: 20,
            color,
            margin: 4,
            during,
        },
        VideoFilter::Burn { cues: 0 },
        VideoFilter::FromZero(Some(Rational { num: 25, den: 1 })),
        VideoFilter::Hold(SECOND),
        VideoFilter::Concat(vec![Segment {
            input: 2,
            stream: 0,
            filters: vec![VideoFilter::Deinterlace],
            duration: SECOND,
        }]),
        VideoFilter::Denoise(0.5),
        VideoFilter::Stabilize(0.5),
        VideoFilter::Sharpen(0.5),
        VideoFilter::Blur(0.5),
        VideoFilter::Adjust(Adjust::NOTHING),
        VideoFilter::Hue(90.0),
        VideoFilter::Levels { rgb: true },
        VideoFilter::Matrix(ffapi_domain::media::Matrix::Bt709),
        VideoFilter::Tonemap { from: ffapi_domain::media::Hdr::Pq, peak: 1_000.0 },
    ]
}

fn audio_filters() -> Vec<AudioFilter> {
    vec![
        AudioFilter::Trim(Window { start: 0, end: Some(SECOND) }),
        AudioFilter::Speed(2.0),
        AudioFilter::Volume(0.5),
        AudioFilter::Loudness(-23.0),
        AudioFilter::FadeIn(SECOND),
        AudioFilter::FadeOut { start: SECOND, length: SECOND },
        AudioFilter::FromZero,
        AudioFilter::Fill(SECOND),
        AudioFilter::Delay(SECOND),
        AudioFilter::Concat(vec![AudioSegment { input: 1, stream: Some(1), duration: SECOND }]),
    ]
}
