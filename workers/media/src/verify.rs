use std::{path::Path, time::Instant};

use domain::{
    job::{FailureCode, StreamSummary},
    media::{Plan, VideoFilter},
};
use ffmpeg_the_third::{self as ffmpeg, Packet, Rescale, codec, media};

use crate::{MediaError, ffi, ffi::Input, open, probe, protocol::Report};

fn wrong(message: impl Into<String>) -> MediaError {
    MediaError::new(FailureCode::VerificationFailed, message)
}

/// Reads the finished output back: every packet demuxed, the first and last group of pictures
/// decoded, the facts compared with the plan. A wrong file is a failed attempt, never a success.
pub(crate) fn verify(path: &Path, plan: &Plan, start: Instant) -> Result<Report, MediaError> {
    let mut input = open::open(path)
        .map_err(|error| wrong(format!("the output does not open again: {error}")))?;
    let probed = probe::probe(&input).map_err(|error| wrong(error.message))?;
    if probed.facts.video.is_some() != plan.video.is_some()
        || probed.facts.audio.is_some() != plan.audio.is_some()
    {
        return Err(wrong("the output lacks a stream that was planned"));
    }
    if let (Some(video), Some(planned)) = (&probed.facts.video, &plan.video)
        && (video.width, video.height) != (planned.width, planned.height)
    {
        return Err(wrong(format!(
            "the output's picture is {}x{}, planned was {}x{}",
            video.width, video.height, planned.width, planned.height
        )));
    }
    let counted = demux_all(&mut input, probed.video)?;
    let duration = ffmpeg::Rational(1, 1_000_000);
    let duration = input.context.duration().rescale(ffmpeg::rescale::TIME_BASE, duration);
    let duration = u64::try_from(duration).unwrap_or(0);
    if let Some(planned) = plan.duration {
        let slack = slack(plan, probed.facts.video.as_ref().map_or(0.0, |v| v.frame_rate.as_f64()));
        if duration.abs_diff(planned) > slack {
            return Err(wrong(format!(
                "the output lasts {duration} µs, planned were {planned} µs"
            )));
        }
    }
    if let Some(video) = probed.video {
        decode_ends(&mut input, video, counted.last_key)?;
    }
    Ok(Report {
        duration: std::time::Duration::from_micros(duration).as_secs_f64(),
        streams: summaries(&input),
        frames: counted.frames,
        elapsed: start.elapsed().as_secs_f64(),
    })
}

/// What an honest output may differ by: a few frames of picture, and the codecs' padding.
fn slack(plan: &Plan, rate: f64) -> u64 {
    const PADDING: u64 = 300_000;
    let fps = plan.video.as_ref().and_then(|video| {
        video.filters.iter().find_map(|filter| match filter {
            VideoFilter::Fps(millifps) => Some(f64::from(*millifps) / 1000.0),
            _ => None,
        })
    });
    let rate = fps.unwrap_or(rate).max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most two seconds"
    )]
    let frames = (2_000_000.0 / rate) as u64;
    frames.saturating_add(PADDING)
}

struct Counted {
    frames: u64,
    /// Time of the last keyframe, in the stream's time base.
    last_key: i64,
}

fn demux_all(input: &mut Input, video: Option<usize>) -> Result<Counted, MediaError> {
    let mut counted = Counted { frames: 0, last_key: 0 };
    loop {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) if Some(packet.stream()) == video => {
                counted.frames = counted.frames.saturating_add(1);
                if packet.is_key() {
                    counted.last_key = packet.pts().or(packet.dts()).unwrap_or(0);
                }
            }
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => break,
            Err(error) => return Err(wrong(format!("the output breaks off: {error}"))),
        }
    }
    if video.is_some() && counted.frames == 0 {
        return Err(wrong("the output has no pictures"));
    }
    Ok(counted)
}

/// Decodes the first group of pictures and the last one, wholly.
fn decode_ends(input: &mut Input, video: usize, last_key: i64) -> Result<(), MediaError> {
    let broken = |error: ffmpeg::Error| wrong(format!("the output does not decode: {error}"));
    let Some(stream) = input.context.stream(video) else {
        return Err(wrong("the output has no video"));
    };
    let time_base = stream.time_base();
    let parameters = ffi::own_parameters(&stream).map_err(broken)?;
    let last = last_key.rescale(time_base, ffmpeg::rescale::TIME_BASE);
    for (from, whole) in [(0, false), (last, true)] {
        input.context.seek(from, ..=from).map_err(broken)?;
        let mut context = codec::Context::from_parameters(parameters.clone()).map_err(broken)?;
        ffi::prepare_decoder(&mut context, time_base, 0);
        let mut decoder = context.decoder().video().map_err(broken)?;
        let (mut keys, mut decoded) = (0_u32, 0_u64);
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut input.context) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => break,
                Err(error) => return Err(broken(error)),
            }
            if packet.stream() != video {
                continue;
            }
            keys = keys.saturating_add(u32::from(packet.is_key()));
            if keys > 1 && !whole {
                break;
            }
            decoder.send_packet(&packet).map_err(broken)?;
            decoded = decoded.saturating_add(drain(&mut decoder));
        }
        decoder.send_eof().map_err(broken)?;
        decoded = decoded.saturating_add(drain(&mut decoder));
        if decoded == 0 {
            return Err(wrong("a group of pictures of the output decodes to nothing"));
        }
    }
    Ok(())
}

fn drain(decoder: &mut codec::decoder::Video) -> u64 {
    let mut decoded = 0_u64;
    let mut frame = ffmpeg::frame::Video::empty();
    while decoder.receive_frame(&mut frame).is_ok() {
        decoded = decoded.saturating_add(1);
    }
    decoded
}

fn summaries(input: &Input) -> Vec<StreamSummary> {
    input
        .context
        .streams()
        .filter_map(|stream| {
            let parameters = stream.parameters();
            let codec = parameters.id().name().to_owned();
            match parameters.medium() {
                media::Type::Video => Some(StreamSummary {
                    kind: "video".to_owned(),
                    codec,
                    width: Some(parameters.width()),
                    height: Some(parameters.height()),
                    fps: probe::rational(stream.avg_frame_rate())
                        .map(domain::media::Rational::as_f64),
                    channels: None,
                    sample_rate: None,
                }),
                media::Type::Audio => Some(StreamSummary {
                    kind: "audio".to_owned(),
                    codec,
                    width: None,
                    height: None,
                    fps: None,
                    channels: Some(parameters.ch_layout().channels()),
                    sample_rate: Some(parameters.sample_rate()),
                }),
                _ => None,
            }
        })
        .collect()
}
