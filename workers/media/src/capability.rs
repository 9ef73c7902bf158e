//! What this machine's FFmpeg supports, found by encoding a frame with each encoder and opening
//! each muxer, since the name alone proves nothing.

use std::path::Path;

use ffapi_domain::media::{AudioCodec, Capabilities, Container, VideoCodec};
use ffmpeg_the_third::{
    ChannelLayout, Dictionary, Error, Packet, Rational, codec, encoder, format, frame,
};

/// Tries every codec and container once; `scratch` is the path of a file that may be written.
pub(crate) fn detect(scratch: &Path) -> Capabilities {
    Capabilities {
        ffmpeg: crate::ffi::version(),
        video_codecs: VideoCodec::ALL.iter().copied().filter(|c| has_video_encoder(*c)).collect(),
        audio_codecs: AudioCodec::ALL.iter().copied().filter(|c| has_audio_encoder(*c)).collect(),
        containers: Container::ALL.iter().copied().filter(|c| has_muxer(*c, scratch)).collect(),
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
    let first = codec.video().and_then(|codec| codec.formats()?.next());
    let format = first.unwrap_or(format::Pixel::YUV420P);
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

fn encode_audio_frame(name: &str) -> Result<(), Error> {
    let codec = encoder::find_by_name(name).ok_or(Error::EncoderNotFound)?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    let first = codec.audio().and_then(|codec| codec.formats()?.next());
    let format = first.unwrap_or(format::Sample::F32(format::sample::Type::Planar));
    audio.set_rate(48_000);
    audio.set_ch_layout(ChannelLayout::STEREO);
    audio.set_time_base(Rational(1, 48_000));
    audio.set_format(format);
    let mut opened = audio.open_as(codec)?;
    let samples = match crate::ffi::frame_size(&opened) {
        0 => 1_024,
        size => usize::try_from(size).unwrap_or(1_024),
    };
    let mut frame = frame::Audio::new(format, samples, ffmpeg_the_third::ChannelLayoutMask::STEREO);
    crate::ffi::silence(&mut frame);
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
