//! Verifies a finished output by reading it back, so that a wrong file fails the attempt.

mod animated_webp;
mod ends;
mod expected;
mod mismatch;
mod packets;

use std::path::Path;

use ffapi_domain::{
    job::StreamSummary,
    media::{AudioCodec, Container, MediaFacts, Plan, Role, StreamDetail, VideoCodec},
};
use ffmpeg_the_third::{self as ffmpeg, media};

pub(crate) use self::expected::{Expected, ExpectedRendition};
use self::{
    ends::{decode_ends, decode_first},
    mismatch::mismatch,
    packets::demux_all,
};
use crate::{MediaError, ffi::Input, open, probe, protocol::VerifiedFile};

/// Demuxes every packet, decodes the first and the last GOP and both ends of the audio, counts
/// frames, and compares the facts with the plan. Returns the files of the output.
///
/// # Errors
/// `verification_failed` when the output does not match the plan, or what was encoded;
///
pub(crate) fn verify(
    output: &Path,
    plan: &Plan,
    expected: &Expected,
) -> Result<Vec<VerifiedFile>, MediaError> {
    if plan.sequence {
        return images(output, plan, expected);
    }
    if plan.container == Container::Webp {
        return Ok(vec![animated_webp::verify(output, plan, expected)?]);
    }
    let mut input = open::made(output, Role::Media)
        .map_err(|error| mismatch(format!("the output cannot be opened: {error}")))?;
    let facts = probe::probe_media(&input).map_err(|error| mismatch(error.message))?;
    check_streams(&facts, plan)?;
    let video = facts.video().map(|(stream, _)| stream.index);
    let counted = demux_all(&mut input, video)?;
    if expected.counted && counted.frames != expected.frames {
        return Err(mismatch(format!(
            "the output has {} frames, {} were encoded",
            counted.frames, expected.frames
        )));
    }
    let stated = u64::try_from(input.context.duration()).unwrap_or(0);
    // These containers do not state their duration; it is taken from the packets.
    let unstated = matches!(plan.container, Container::Aac | Container::Mp3 | Container::Ts);
    let duration = if unstated { counted.span.whole() } else { stated };
    if !plan.container.is_images() {
        check_duration(duration, plan, expected, &facts)?;
    }
    let audio: Vec<u32> = facts.audio_streams().map(|(stream, _)| stream.index).collect();
    let start = input.origin();
    decode_ends(output, start, video.map(|video| (video, &counted)), &audio, duration)?;
    Ok(vec![VerifiedFile {
        streams: summaries(&input),
        ..VerifiedFile::at_path(
            output,
            (!plan.container.is_images())
                .then(|| std::time::Duration::from_micros(duration).as_secs_f64()),
        )
    }])
}

fn check_streams(facts: &MediaFacts, plan: &Plan) -> Result<(), MediaError> {
    let subtitles = plan.subtitles.iter().filter(|subtitles| !subtitles.sidecar).count();
    if facts.video().is_some() != plan.video.is_some()
        || facts.audio_streams().count() != plan.audio.len()
        || facts.subtitles().count() != subtitles
    {
        return Err(mismatch("the output lacks a planned stream"));
    }
    if let (Some((stream, video)), Some(planned)) = (facts.video(), &plan.video)
        && planned.codec != VideoCodec::Copy
    {
        if (video.width, video.height) != (planned.width, planned.height) {
            return Err(mismatch(format!(
                "the output's video is {}x{}, planned was {}x{}",
                video.width, video.height, planned.width, planned.height
            )));
        }
        if VideoCodec::of_stream(&stream.codec) != Some(planned.codec) {
            let planned = planned.codec.as_str();
            let detail = format!("the output's video is {}, planned was {planned}", stream.codec);
            return Err(mismatch(detail));
        }
    }
    for ((stream, audio), planned) in facts.audio_streams().zip(&plan.audio) {
        let same = audio.channels == planned.channels
            && AudioCodec::of_stream(&stream.codec) == Some(planned.codec);
        if planned.codec != AudioCodec::Copy && !same {
            return Err(mismatch(format!(
                "the output's audio is {} with {} channels, planned was {} with {}",
                stream.codec,
                audio.channels,
                planned.codec.as_str(),
                planned.channels
            )));
        }
    }
    Ok(())
}

/// An audio frame, and the padding that codecs add before the first and after the last, in
/// microseconds.
const AUDIO_PADDING: u64 = 120_000;

/// Compares a duration with what was written.
fn check_duration(
    duration: u64,
    plan: &Plan,
    expected: &Expected,
    facts: &MediaFacts,
) -> Result<(), MediaError> {
    let rate = facts.video().map_or(0.0, |(_, video)| video.frame_rate.as_f64());
    let copied = plan.video.as_ref().is_some_and(|video| video.codec == VideoCodec::Copy);
    let varies = plan.video.as_ref().is_some_and(|video| !video.constant_rate);
    // Copied packets end where the remaining ones can still be decoded.
    let frames = if copied {
        16.0
    } else if varies {
        3.0
    } else {
        1.5
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds at most")]
    let slack = if rate > 0.0 { (frames * 1_000_000.0 / rate.max(0.2)) as u64 } else { 0 };
    let slack = slack.saturating_add(AUDIO_PADDING);
    if duration.saturating_add(slack) < expected.duration {
        let written = expected.duration;
        return Err(mismatch(format!("the output lasts {duration} µs, written were {written} µs")));
    }
    Ok(())
}

/// Verifies a rendition by its concatenated segments: its size, duration and number of frames, and
/// that it decodes.
pub(crate) fn rendition(whole: &Path, expected: &ExpectedRendition) -> Result<(), MediaError> {
    let ExpectedRendition { frames, duration, size } = *expected;
    let mut input = open::made(whole, Role::Media)
        .map_err(|error| mismatch(format!("the segments cannot be opened: {error}")))?;
    let facts = probe::probe_media(&input).map_err(|error| mismatch(error.message))?;
    let found = facts.video().map(|(_, video)| (video.width, video.height));
    if found != size {
        return Err(mismatch(format!("the segments are {found:?}, planned were {size:?}")));
    }
    let (video, has_video) = (facts.video().map(|(stream, _)| stream.index), size.is_some());
    let counted = demux_all(&mut input, video)?;
    if has_video && counted.frames != frames {
        let detail = format!("the segments have {} frames, {frames} were encoded", counted.frames);
        return Err(mismatch(detail));
    }
    let rate = facts.video().map_or(0.0, |(_, video)| video.frame_rate.as_f64());
    let frame = if rate > 0.0 {
        std::time::Duration::from_secs_f64(1.5 / rate)
    } else {
        std::time::Duration::ZERO
    };
    let slack = AUDIO_PADDING.saturating_add(u64::try_from(frame.as_micros()).unwrap_or(0));
    let found = counted.span.whole();
    if found.abs_diff(duration) > slack {
        return Err(mismatch(format!("the segments last {found} µs, written were {duration} µs")));
    }
    let start = input.origin();
    match (video, facts.audio()) {
        (Some(video), _) => decode_ends(whole, start, Some((video, &counted)), &[], 0),
        (None, Some((stream, _))) => decode_ends(whole, start, None, &[stream.index], found),
        (None, None) => Err(mismatch("the segments have no streams")),
    }
}

/// Verifies an image sequence: one file for each frame that was encoded.
fn images(
    output: &Path,
    plan: &Plan,
    expected: &Expected,
) -> Result<Vec<VerifiedFile>, MediaError> {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Vec::new();
    for number in 1..=expected.frames {
        let name = format!("{stem}-{number:06}.{}", plan.container.as_str());
        files.push(image(&output.with_file_name(name), plan)?);
    }
    if files.is_empty() {
        return Err(mismatch("the output has no frames"));
    }
    Ok(files)
}

/// Verifies one image of a sequence.
fn image(path: &Path, plan: &Plan) -> Result<VerifiedFile, MediaError> {
    let size = plan.video.as_ref().map_or((0, 0), |video| (video.width, video.height));
    let input = picture(path, size)?;
    Ok(VerifiedFile { streams: summaries(&input), ..VerifiedFile::at_path(path, None) })
}

/// Opens and decodes a file that must be one intact image of a size.
pub(crate) fn picture(path: &Path, size: (u32, u32)) -> Result<Input, MediaError> {
    let mut input = open::made(path, Role::Image).map_err(|error| mismatch(error.message))?;
    let facts = probe::probe(&input);
    let found = facts.streams.first().and_then(|stream| match &stream.detail {
        StreamDetail::Video(video) => Some((video.width, video.height)),
        _ => None,
    });
    if found != Some(size) {
        return Err(mismatch(format!("an image of the output is {found:?}, planned was {size:?}")));
    }
    decode_first(&mut input, 0)?;
    Ok(input)
}

fn summaries(input: &Input) -> Vec<StreamSummary> {
    let summary = |stream: ffmpeg::Stream<'_>| {
        let parameters = stream.parameters();
        let mut summary = StreamSummary {
            kind: String::new(),
            codec: parameters.id().name().to_owned(),
            width: None,
            height: None,
            fps: None,
            channels: None,
            sample_rate: None,
        };
        match parameters.medium() {
            media::Type::Video => {
                "video".clone_into(&mut summary.kind);
                summary.width = Some(parameters.width());
                summary.height = Some(parameters.height());
                summary.fps = probe::rational(stream.avg_frame_rate())
                    .map(ffapi_domain::media::Rational::as_f64);
            }
            media::Type::Audio => {
                "audio".clone_into(&mut summary.kind);
                summary.channels = Some(parameters.ch_layout().channels());
                summary.sample_rate = Some(parameters.sample_rate());
            }
            media::Type::Subtitle => "subtitle".clone_into(&mut summary.kind),
            _ => return None,
        }
        Some(summary)
    };
    input.context.streams().filter_map(summary).collect()
}
