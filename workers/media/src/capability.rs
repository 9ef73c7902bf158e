//! What this machine's FFmpeg can do, proved by opening each encoder and muxer, never by name.

use std::path::Path;

use domain::media::{AudioCodec, Capabilities, Container, VideoCodec};
use ffmpeg_the_third::{ChannelLayout, Rational, codec, encoder, ffi, format};

/// Opens everything once; `scratch` is a file that may be written.
pub(crate) fn prove(scratch: &Path) -> Capabilities {
    Capabilities {
        ffmpeg: format!(
            "libavcodec {}.{}",
            ffi::LIBAVCODEC_VERSION_MAJOR,
            ffi::LIBAVCODEC_VERSION_MINOR
        ),
        video_codecs: VideoCodec::ALL.iter().copied().filter(|codec| opens_video(*codec)).collect(),
        audio_codecs: AudioCodec::ALL.iter().copied().filter(|codec| opens_audio(*codec)).collect(),
        containers: Container::ALL.iter().copied().filter(|c| has_muxer(*c, scratch)).collect(),
    }
}

fn opens_video(codec: VideoCodec) -> bool {
    let Some(name) = codec.encoder() else { return true };
    let Some(codec) = encoder::find_by_name(name) else { return false };
    let Ok(mut video) = codec::Context::new_with_codec(codec).encoder().video() else {
        return false;
    };
    video.set_width(64);
    video.set_height(64);
    video.set_format(format::Pixel::YUV420P);
    video.set_time_base(Rational(1, 25));
    video.open_as_with(codec, ffmpeg_the_third::dict!("x265-params" => "log-level=none")).is_ok()
}

fn opens_audio(codec: AudioCodec) -> bool {
    let Some(name) = codec.encoder() else { return true };
    let Some(codec) = encoder::find_by_name(name) else { return false };
    let Ok(mut audio) = codec::Context::new_with_codec(codec).encoder().audio() else {
        return false;
    };
    let format = codec.audio().and_then(|codec| codec.formats()?.next());
    audio.set_rate(48_000);
    audio.set_ch_layout(ChannelLayout::STEREO);
    audio.set_time_base(Rational(1, 48_000));
    if let Some(format) = format {
        audio.set_format(format);
    }
    audio.open_as(codec).is_ok()
}

fn has_muxer(container: Container, scratch: &Path) -> bool {
    format::output_as(scratch, container.muxer()).is_ok()
}
