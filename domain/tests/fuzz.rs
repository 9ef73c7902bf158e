//! A fuzz target for the planner: any operations on any input result in a consistent plan or in a
//! rejection with a pointer. `cargo test` runs some iterations; `cargo bolero test
//! plans_hold_together` runs more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ffapi_domain::{
    Personal,
    media::{
        Audio, AudioCodec, AudioFacts, Axis, Capabilities, Chroma, Color, Concat, Container,
        Convert, Crop, Effort, Filter, FilterName, Flip, Fps, Hdr, MediaFacts, Operation,
        Overwrite, Pad, Plan, Position, Preset, Rational, Rotate, Scale, ScaleMode, Speed,
        StreamDetail, StreamFacts, SubtitleMode, Subtitles, Text, Transcode, Trim, VideoCodec,
        VideoFacts, Watermark, plan,
    },
};

/// Choices derived from the fuzzer's bytes; zeros once they are used up.
struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn yes(&mut self) -> bool {
        self.byte().is_multiple_of(2)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        let index = usize::from(self.byte()) % of.len();
        of.get(index).copied().unwrap()
    }

    /// Sizes, counts and the like: typical and boundary values.
    fn number(&mut self) -> u32 {
        let any = u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]);
        self.one(&[0, 1, 2, 3, 15, 16, 63, 64, 180, 333, 720, 1_080, 8_192, 8_193, u32::MAX, any])
    }

    fn micros(&mut self) -> u64 {
        let any = u64::from(self.number()) * u64::from(self.number());
        self.one(&[0, 1, 40_000, 999_999, 1_000_000, 5_000_000, 10_000_000, u64::MAX, any])
    }

    fn real(&mut self) -> f64 {
        let any = f64::from(self.number()) / 7.0;
        let edges = [0.0, -0.0, 1.0, -1.0, 0.5, 30.0, 1e-9, 1e12, f64::NAN, f64::INFINITY, any];
        self.one(&edges)
    }

    fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| some(self))
    }
}

const FILTERS: [FilterName; 6] = [
    FilterName::Denoise,
    FilterName::Deinterlace,
    FilterName::Stabilize,
    FilterName::Eq,
    FilterName::Hue,
    FilterName::Tonemap,
];

fn operation(dice: &mut Dice<'_>) -> Operation {
    let position = dice.one(&[Position::TopLeft, Position::Center, Position::BottomRight]);
    match dice.byte() % 15 {
        0 => Operation::Trim(Trim { start: dice.micros(), end: dice.maybe(Dice::micros) }),
        1 => Operation::Scale(Scale {
            width: dice.maybe(Dice::number),
            height: dice.maybe(Dice::number),
            mode: dice.one(&[ScaleMode::Fit, ScaleMode::Fill, ScaleMode::Stretch]),
        }),
        2 => Operation::Crop(Crop {
            x: dice.number(),
            y: dice.number(),
            width: dice.number(),
            height: dice.number(),
        }),
        3 => Operation::Pad(Pad { width: dice.number(), height: dice.number(), color: None }),
        4 => Operation::Rotate(Rotate { degrees: dice.real() }),
        5 => Operation::Flip(Flip { axis: dice.one(&[Axis::Horizontal, Axis::Both]) }),
        6 => Operation::Fps(Fps { millifps: dice.number() }),
        7 => Operation::Speed(Speed { factor: dice.real() }),
        8 => Operation::Watermark(Watermark {
            image: Personal::Erased,
            position,
            opacity: dice.maybe(Dice::real),
            scale: dice.maybe(Dice::real),
            margin: dice.maybe(Dice::number),
            start: dice.maybe(Dice::micros),
            end: dice.maybe(Dice::micros),
        }),
        9 => Operation::Text(Text {
            text: Personal::Clear(dice.one(&["", "Hello", "%{pts}:'\\", "\0"]).to_owned()),
            position,
            size: dice.maybe(Dice::number),
            color: None,
            margin: dice.maybe(Dice::number),
            start: dice.maybe(Dice::micros),
            end: dice.maybe(Dice::micros),
        }),
        10 => Operation::Subtitles(Subtitles {
            input: dice.maybe(|_| Personal::Erased),
            mode: dice.one(&[SubtitleMode::Burn, SubtitleMode::Embed, SubtitleMode::Sidecar]),
            language: dice.maybe(|dice| dice.one(&["en", "", "../x"]).to_owned()),
        }),
        11 => Operation::Concat(Concat {
            inputs: vec![Personal::Erased; usize::from(dice.byte() % 3)],
        }),
        12 => Operation::Filter(Filter {
            name: dice.one(&FILTERS),
            strength: dice.maybe(Dice::real),
            brightness: dice.maybe(Dice::real),
            contrast: dice.maybe(Dice::real),
            saturation: dice.maybe(Dice::real),
            gamma: dice.maybe(Dice::real),
        }),
        13 => Operation::Audio(Audio {
            replace: dice.maybe(|_| Personal::Erased),
            remove: dice.yes(),
            extract: dice.yes(),
            normalize: dice.yes(),
            target_lufs: dice.maybe(Dice::real),
            volume: dice.maybe(Dice::real),
            fade_in: dice.maybe(Dice::micros),
            fade_out: dice.maybe(Dice::micros),
            channels: dice.maybe(Dice::number),
            sample_rate: dice.maybe(Dice::number),
        }),
        _ => Operation::Transcode(Transcode {
            video_codec: dice.maybe(|dice| dice.one(VideoCodec::ALL)),
            audio_codec: dice.maybe(|dice| dice.one(AudioCodec::ALL)),
            crf: dice.maybe(Dice::byte),
            video_bitrate: dice.maybe(Dice::micros),
            audio_bitrate: dice.maybe(Dice::micros),
            preset: dice.maybe(|dice| dice.one(Preset::ALL)),
            width: dice.maybe(Dice::number),
            height: dice.maybe(Dice::number),
            millifps: dice.maybe(Dice::number),
            keyframe_interval: dice.maybe(Dice::number),
            container: dice.maybe(|dice| dice.one(Container::ALL)),
            max_bitrate: dice.maybe(Dice::micros),
            two_pass: dice.yes(),
            target_vmaf: dice.maybe(Dice::real),
            profile: dice.maybe(|dice| dice.one(&["high", "main10", "4444"]).to_owned()),
            pixel_format: dice.maybe(|dice| dice.one(&["yuv420p", "gray", "nv12"]).to_owned()),
        }),
    }
}

/// Facts of a file, as a container may claim them.
fn media_facts(dice: &mut Dice<'_>) -> MediaFacts {
    let rate = |dice: &mut Dice<'_>| Rational { num: dice.number(), den: dice.number() };
    let side = |dice: &mut Dice<'_>| dice.number().clamp(1, 8_192);
    let mut streams = Vec::new();
    for index in 0..u32::from(dice.byte() % 4) {
        let detail = match dice.byte() % 4 {
            0 | 1 => StreamDetail::Video(Box::new(VideoFacts {
                width: side(dice),
                height: side(dice),
                pixel_aspect: rate(dice),
                frame_rate: rate(dice),
                variable_rate: dice.yes(),
                base_rate: dice.maybe(rate),
                rotation: dice.one(&[0, 90, 180, 270]),
                mirrored: dice.one(&[false, true]),
                pixel_format: dice.one(&["yuv420p", "rgba", "yuv422p10le"]).to_owned(),
                bit_depth: dice.one(&[8, 10, 12]),
                chroma: dice.one(&[Chroma::Quarter, Chroma::Full, Chroma::Gray]),
                alpha: dice.yes(),
                interlaced: dice.yes(),
                bottom_first: false,
                color: Color {
                    hdr: dice.maybe(|dice| dice.one(&[Hdr::Pq, Hdr::Hlg])),
                    mastering_peak: dice.maybe(Dice::real),
                    max_content_light: dice.maybe(Dice::number),
                    ..Color::default()
                },
                keyframe_interval: None,
            })),
            2 => StreamDetail::Audio(AudioFacts {
                channels: dice.number(),
                layout: String::new(),
                sample_rate: dice.number(),
                sample_format: "fltp".to_owned(),
                bit_depth: dice.maybe(Dice::byte),
            }),
            _ => StreamDetail::Subtitle { text: dice.yes() },
        };
        streams.push(StreamFacts {
            index,
            codec: dice.one(&["h264", "aac", "subrip", ""]).to_owned(),
            profile: None,
            language: dice.maybe(|_| "en".to_owned()),
            title: None,
            dispositions: vec![],
            program: None,
            duration: dice.maybe(Dice::micros),
            start: None,
            bitrate: dice.maybe(Dice::micros),
            packets: None,
            unusable: None,
            detail,
        });
    }
    MediaFacts { streams, duration: dice.maybe(Dice::micros), ..MediaFacts::default() }
}

/// Invariants of every plan.
fn assert_invariants(plan: &Plan, facts: &[MediaFacts]) {
    assert!(plan.video.is_some() || !plan.audio.is_empty());
    if let Some(video) = plan.video.as_ref().filter(|video| video.codec != VideoCodec::Copy) {
        for side in [video.width, video.height] {
            assert!((1..=8_192).contains(&side), "{video:?}");
        }
        if video.pixel_format.contains("420") {
            assert!(video.width % 2 == 0 && video.height % 2 == 0, "{video:?}");
        }
    }
    let decoded: Plan = rmp_serde::from_slice(&rmp_serde::to_vec_named(plan).unwrap()).unwrap();
    // Compared as text, because NaN is not equal to itself.
    assert_eq!(
        format!("{decoded:?}"),
        format!("{plan:?}"),
        "a plan round-trips to the media child"
    );
    let estimate = Effort::of_plan(plan, facts.first()).estimate(None);
    assert!(estimate.seconds.is_finite() && estimate.seconds >= 0.0, "{estimate:?} {plan:?}");
}

#[test]
fn plans_hold_together() {
    bolero::check!().with_iterations(100_000).with_max_len(512).for_each(|bytes: &[u8]| {
        let mut dice = Dice(bytes.iter());
        let operations: Vec<Operation> =
            (0..dice.byte() % 6).map(|_| operation(&mut dice)).collect();
        let name = dice.one(&["o.mp4", "o.webm", "f-%04d.png", "o.gif", "o.mp3", "o", "o.xyz"]);
        let request = Convert {
            input: Personal::Erased,
            output: Personal::Clear(name.parse().unwrap()),
            operations,
            overwrite: Overwrite::Fail,
        };
        let all = Capabilities::everything();
        // Before the inputs are probed, and with the facts that they claim.
        let early = plan(&request, None, &all);
        let inputs: Vec<MediaFacts> = (0..16).map(|_| media_facts(&mut dice)).collect();
        let late = plan(&request, Some(&inputs), &all);
        if let Ok(plan) = &late {
            assert_invariants(plan, &inputs);
        }
        for refusal in [early.err(), late.err()].into_iter().flatten() {
            assert!(refusal.pointer.starts_with("#/"), "{refusal:?}");
            assert!(!refusal.detail.is_empty(), "{refusal:?}");
        }
    });
}
