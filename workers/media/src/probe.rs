//! The facts of an opened input.

use std::collections::BTreeMap;

use ffapi_domain::{
    job::FailureCode,
    media::{
        AudioFacts, Chapter, Chroma, Color, Hdr, MediaFacts, Rational, StreamDetail, StreamFacts,
        Unusable, VideoFacts,
    },
};
use ffmpeg_the_third::{
    self as ffmpeg, DictionaryRef, Rescale, Stream, codec,
    ffi::AVPacketSideDataType,
    format::{Pixel, Sample},
    media,
};

use crate::{
    MediaError,
    channel_layout::layout_name,
    decoders::is_allowed_decoder,
    ffi::{self, ColorNames, Input},
};

/// Collects from an opened input everything that its headers state.
pub(crate) fn probe(input: &Input) -> MediaFacts {
    let streams = input.context.streams().map(|stream| stream_facts(&stream, input));
    let chapters = input.context.chapters().map(|chapter| {
        let time = |time: i64| {
            let micros = time.rescale(chapter.time_base(), ffmpeg::rescale::TIME_BASE);
            u64::try_from(micros.saturating_sub(input.origin())).unwrap_or(0)
        };
        let mut tags = tags(&chapter.metadata());
        Chapter {
            start: time(chapter.start()),
            end: time(chapter.end()),
            title: tags.remove("title"),
        }
    });
    MediaFacts {
        format: input.context.format().name().to_owned(),
        duration: input.duration().and_then(|duration| u64::try_from(duration).ok()),
        bitrate: input.bitrate(),
        streams: streams.collect(),
        joined: false,
        chapters: chapters.take(1_000).collect(),
        tags: tags(&input.context.metadata()),
        notes: vec![],
    }
}

/// As [`probe`], for an input that must have a usable video or audio stream.
pub(crate) fn probe_media(input: &Input) -> Result<MediaFacts, MediaError> {
    let facts = probe(input);
    check_usable(&facts)?;
    Ok(facts)
}

/// Rejects an input without a usable video or audio stream, with the reason of each that it has.
pub(crate) fn check_usable(facts: &MediaFacts) -> Result<(), MediaError> {
    if facts.streams.iter().any(StreamFacts::is_usable) {
        return Ok(());
    }
    let reasons: Vec<String> = facts.unusable_streams().take(8).collect();
    if reasons.is_empty() {
        return Err(MediaError::input("the input has no video and no audio"));
    }
    let is_unsupported = |stream: &StreamFacts| {
        matches!(stream.unusable, Some(Unusable::UnsupportedCodec | Unusable::UnknownCodec))
    };
    let code = if facts.streams.iter().any(is_unsupported) {
        FailureCode::Unsupported
    } else {
        FailureCode::InvalidInput
    };
    let reasons = reasons.join("; ");
    Err(MediaError::new(code, format!("the input has no usable video or audio: {reasons}")))
}

pub(crate) fn rational(ratio: ffmpeg::Rational) -> Option<Rational> {
    let num = u32::try_from(ratio.numerator()).ok()?;
    let den = u32::try_from(ratio.denominator()).ok()?;
    (num > 0 && den > 0).then_some(Rational { num, den })
}

fn tags(from: &DictionaryRef<'_>) -> BTreeMap<String, String> {
    let clean = |text: &str| text.chars().filter(|c| *c != '\0').take(1024).collect::<String>();
    let all = ffi::tags(from).into_iter().take(200);
    all.map(|(key, value)| (clean(&key.to_lowercase()), clean(&value))).collect()
}

fn stream_facts(stream: &Stream<'_>, input: &Input) -> StreamFacts {
    let parameters = stream.parameters();
    let detail = match parameters.medium() {
        media::Type::Video => StreamDetail::Video(Box::new(video_facts(stream, input))),
        media::Type::Audio => StreamDetail::Audio(audio_facts(stream)),
        media::Type::Subtitle => StreamDetail::Subtitle { text: is_text(parameters.id()) },
        _ => StreamDetail::Other,
    };
    let mut tags = tags(&stream.metadata());
    let micros = |time: i64| time.rescale(stream.time_base(), ffmpeg::rescale::TIME_BASE);
    StreamFacts {
        index: u32::try_from(stream.index()).unwrap_or(u32::MAX),
        codec: parameters.id().name().to_owned(),
        profile: ffi::profile_name(&parameters),
        language: tags.remove("language").filter(|language| language != "und"),
        title: tags.remove("title"),
        dispositions: ffi::dispositions(stream),
        program: input.program(stream.index()),
        duration: input.stated_duration(stream).and_then(|time| u64::try_from(micros(time)).ok()),
        start: input.start_of(stream).and_then(|start| u64::try_from(start).ok()),
        bitrate: u64::try_from(parameters.bit_rate()).ok().filter(|rate| *rate > 0),
        packets: u64::try_from(stream.frames()).ok().filter(|frames| *frames > 0),
        unusable: unusable(&parameters),
        detail,
    }
}

/// Why a video or audio stream cannot be used, by its parameters.
fn unusable(parameters: &codec::ParametersRef<'_>) -> Option<Unusable> {
    let id = parameters.id();
    let (has_format, is_decodable) = match parameters.medium() {
        media::Type::Video => (
            parameters.width() > 0 && parameters.height() > 0,
            ffi::pixel_format(parameters) != Pixel::None,
        ),
        media::Type::Audio => (
            parameters.ch_layout().channels() > 0 && parameters.sample_rate() > 0,
            ffi::sample_format(parameters) != Sample::None,
        ),
        _ => return None,
    };
    let is_supported =
        || codec::decoder::find(id).is_some_and(|decoder| is_allowed_decoder(decoder.name()));
    if id == codec::Id::None {
        Some(Unusable::UnknownCodec)
    } else if !is_supported() {
        Some(Unusable::UnsupportedCodec)
    } else if !has_format {
        Some(Unusable::NoFormat)
    } else {
        (!is_decodable).then_some(Unusable::Undecodable)
    }
}

const fn is_text(id: codec::Id) -> bool {
    matches!(
        id,
        codec::Id::SUBRIP
            | codec::Id::SRT
            | codec::Id::ASS
            | codec::Id::SSA
            | codec::Id::WEBVTT
            | codec::Id::MOV_TEXT
            | codec::Id::TEXT
            | codec::Id::SAMI
            | codec::Id::MICRODVD
            | codec::Id::SUBVIEWER
            | codec::Id::SUBVIEWER1
            | codec::Id::MPL2
    )
}

fn video_facts(stream: &Stream<'_>, input: &Input) -> VideoFacts {
    let parameters = stream.parameters();
    let (width, height) = (parameters.width(), parameters.height());
    let average = rational(stream.avg_frame_rate());
    let base = rational(stream.rate());
    let format = ffi::pixel_format(&parameters);
    let traits = ffi::pixel_traits(format);
    let (rotation, mirrored) = input.rotation(stream.index());
    let interlaced = ffi::is_interlaced(&parameters);
    let differ = |average: Rational, base: Rational| {
        (average.as_f64() - base.as_f64()).abs() > average.as_f64() * 0.01
    };
    VideoFacts {
        width,
        height,
        pixel_aspect: rational(input.pixel_aspect(stream)).unwrap_or(Rational::ONE),
        frame_rate: average.or(base).unwrap_or(Rational { num: 0, den: 1 }),
        variable_rate: !interlaced && average.zip(base).is_some_and(|(a, b)| differ(a, b)),
        base_rate: base,
        rotation,
        mirrored,
        pixel_format: format
            .descriptor()
            .map(|descriptor| descriptor.name().to_owned())
            .unwrap_or_default(),
        bit_depth: traits.map_or(8, |traits| traits.depth),
        chroma: match traits.map(|traits| (traits.components, traits.chroma_shifts)) {
            // The colours of a palette have one component.
            Some((1 | 2, _)) if format != Pixel::PAL8 => Chroma::Gray,
            Some((1 | 2, _)) => Chroma::Full,
            Some((_, (1.., 1..))) | None => Chroma::Quarter,
            Some((_, (1.., 0))) => Chroma::Half,
            Some(_) => Chroma::Full,
        },
        // FFmpeg reports alpha for any palette, used or not; VP9 declares it in a tag of its own.
        alpha: traits.is_some_and(|traits| traits.alpha && traits.components.is_multiple_of(2))
            || tags(&stream.metadata()).get("alpha_mode").is_some_and(|mode| mode == "1"),
        interlaced,
        bottom_first: ffi::is_bottom_first(&parameters),
        color: color(&parameters, input, stream.index()),
        keyframe_interval: None,
    }
}

fn color(parameters: &codec::ParametersRef<'_>, input: &Input, stream: usize) -> Color {
    let ColorNames { range, primaries, transfer, matrix } = ffi::color_names(parameters);
    let light = input.side_data(stream, AVPacketSideDataType::CONTENT_LIGHT_LEVEL);
    let mastering = input.side_data(stream, AVPacketSideDataType::MASTERING_DISPLAY_METADATA);
    Color {
        range,
        primaries,
        hdr: match transfer.as_deref() {
            Some("smpte2084") => Some(Hdr::Pq),
            Some("arib-std-b67") => Some(Hdr::Hlg),
            _ => None,
        },
        transfer,
        matrix,
        mastering_peak: mastering.and_then(|bytes| mastering_peak(&bytes)),
        max_content_light: light.and_then(|bytes| read_u32(&bytes, 0)).filter(|light| *light > 0),
    }
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

/// The peak luminance of the mastering display, in cd/m². `AVMasteringDisplayMetadata` has eight
/// rationals of primaries, two of luminance (minimum, maximum), and two flags.
fn mastering_peak(bytes: &[u8]) -> Option<f64> {
    let (num, den) = (read_u32(bytes, 72)?, read_u32(bytes, 76)?);
    let has_luminance = read_u32(bytes, 84)? != 0;
    (has_luminance && den > 0).then(|| f64::from(num) / f64::from(den)).filter(|peak| *peak > 0.0)
}

fn audio_facts(stream: &Stream<'_>) -> AudioFacts {
    let parameters = stream.parameters();
    let layout = parameters.ch_layout();
    let channels = layout.channels();
    let sample_rate = parameters.sample_rate();
    let format = ffi::sample_format(&parameters);
    let bits = [parameters.bits_per_raw_sample(), parameters.bits_per_coded_sample()];
    let lossless = parameters.id().name().starts_with("pcm_")
        || matches!(parameters.id(), codec::Id::FLAC | codec::Id::ALAC);
    AudioFacts {
        channels,
        layout: layout_name(&layout),
        sample_rate,
        sample_format: ffi::sample_name(format),
        bit_depth: bits
            .into_iter()
            .find(|bits| *bits > 0)
            .and_then(|bits| u8::try_from(bits).ok())
            .filter(|_| lossless),
    }
}
