//! What this machine's FFmpeg supports, found by encoding a frame with each encoder and opening
//! each muxer, since the name alone proves nothing.

use std::path::Path;

use ffapi_domain::media::{AudioCodec, Capabilities, Container, VideoCodec};
#[cfg(ffmpeg_7_1)]
use ffmpeg_the_third::codec::config::Supported;
use ffmpeg_the_third::{
    ChannelLayout, Dictionary, Error, Packet, Rational,
    codec::{self, codec::Codec},
    encoder, format, frame,
};

use crate::ffi;

/// Tries every codec and container once; `scratch` is the path of a file that may be written.
pub(crate) fn detect(scratch: &Path) -> Capabilities {
    Capabilities {
        ffmpeg: ffi::version(),
        video_codecs: VideoCodec::ALL.iter().copied().filter(|c| has_video_encoder(*c)).collect(),
        audio_codecs: AudioCodec::ALL.iter().copied().filter(|c| has_audio_encoder(*c)).collect(),
        containers: Container::ALL.iter().copied().filter(|c| has_muxer(*c, scratch)).collect(),
        engines: vec![ffi::engine()],
        devices: vec![],
    }
}

fn has_video_encoder(codec: VideoCodec) -> bool {
    codec.encoder().is_none_or(|name| encode_video_frame(name).is_ok())
}

fn has_audio_encoder(codec: AudioCodec) -> bool {
    codec.encoder().is_none_or(|name| encode_audio_frame(name).is_ok())
}

fn encode_video_frame(name: &str) -> Result<(), Error> {
    const SIDE: u32 = 64;
    let codec = encoder::find_by_name(name).ok_or(Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    let format = first_pixel_format(codec).unwrap_or(format::Pixel::YUV420P);
    video.set_width(SIDE);
    video.set_height(SIDE);
    video.set_format(format);
    video.set_time_base(Rational(1, 25));
    let mut options = Dictionary::new();
    if name == "libx265" {
        options.set("x265-params", "log-level=none");
    }
    let mut opened = video.open_as_with(codec, options)?;
    let mut frame = frame::Video::new(format, SIDE, SIDE);
    (0..frame.planes()).for_each(|plane| frame.data_mut(plane).fill(0));
    frame.set_pts(Some(0));
    encode_and_drain(&mut opened, &frame)
}

/// The first pixel format that an encoder takes; none if it takes any.
#[cfg(ffmpeg_7_1)]
fn first_pixel_format(codec: Codec) -> Option<format::Pixel> {
    match codec.video()?.supported_formats() {
        Supported::Specific(mut formats) => formats.next(),
        Supported::All => None,
    }
}

/// The first pixel format that an encoder takes; none if it takes any.
#[cfg(not(ffmpeg_7_1))]
fn first_pixel_format(codec: Codec) -> Option<format::Pixel> {
    codec.video()?.formats()?.next()
}

/// The first sample format that an encoder takes; none if it takes any.
#[cfg(ffmpeg_7_1)]
fn first_sample_format(codec: Codec) -> Option<format::Sample> {
    match codec.audio()?.supported_formats() {
        Supported::Specific(mut formats) => formats.next(),
        Supported::All => None,
    }
}

/// The first sample format that an encoder takes; none if it takes any.
#[cfg(not(ffmpeg_7_1))]
fn first_sample_format(codec: Codec) -> Option<format::Sample> {
    codec.audio()?.formats()?.next()
}

fn encode_audio_frame(name: &str) -> Result<(), Error> {
    let codec = encoder::find_by_name(name).ok_or(Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    let planar = format::Sample::F32(format::sample::Type::Planar);
    let format = first_sample_format(codec).unwrap_or(planar);
    audio.set_rate(48_000);
    audio.set_ch_layout(ChannelLayout::STEREO);
    audio.set_time_base(Rational(1, 48_000));
    audio.set_format(format);
    let mut opened = audio.open_as(codec)?;
    let samples = match ffi::frame_size(&opened) {
        0 => 1_024,
        size => usize::try_from(size).unwrap_or(1_024),
    };
    let mut frame = frame::Audio::new(format, samples, ffmpeg_the_third::ChannelLayoutMask::STEREO);
    ffi::silence(&mut frame);
    frame.set_rate(48_000);
    frame.set_pts(Some(0));
    encode_and_drain(&mut opened, &frame)
}

/// Encodes one frame and drains the encoder.
///
/// # Errors
/// When it fails or ends without a packet.
fn encode_and_drain(encoder: &mut encoder::Encoder, frame: &frame::Frame) -> Result<(), Error> {
    encoder.send_frame(frame)?;
    encoder.send_eof()?;
    let mut packets = 0_u32;
    loop {
        match encoder.receive_packet(&mut Packet::empty()) {
            Ok(()) => packets = packets.saturating_add(1),
            Err(Error::Eof) if packets > 0 => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn has_muxer(container: Container, scratch: &Path) -> bool {
    format::output_as(scratch, container.muxer()).is_ok()
}
