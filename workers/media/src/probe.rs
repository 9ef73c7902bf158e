use domain::media::{AudioFacts, MediaFacts, Rational, VideoFacts};
use ffmpeg_the_third::{self as ffmpeg, Rescale, Stream, media};

use crate::{MediaError, ffi::Input};

/// Which streams a conversion takes, and what is known of them.
pub(crate) struct Probed {
    pub(crate) facts: MediaFacts,
    pub(crate) video: Option<usize>,
    pub(crate) audio: Option<usize>,
}

/// Reads off an opened input what the plan needs.
pub(crate) fn probe(input: &Input) -> Result<Probed, MediaError> {
    let best = |kind| {
        let stream = input.context.streams().best(kind)?;
        let cover =
            stream.disposition().contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC);
        (!cover).then_some(stream)
    };
    let video = best(media::Type::Video);
    let audio = best(media::Type::Audio);
    if video.is_none() && audio.is_none() {
        return Err(MediaError::input("the input holds no video and no audio"));
    }
    let duration = u64::try_from(input.context.duration()).ok().filter(|duration| *duration > 0);
    let facts = MediaFacts {
        format: input.context.format().name().to_owned(),
        duration,
        video: video.as_ref().map(|stream| video_facts(stream, input)).transpose()?,
        audio: audio.as_ref().map(audio_facts).transpose()?,
    };
    Ok(Probed {
        facts,
        video: video.map(|stream| stream.index()),
        audio: audio.map(|stream| stream.index()),
    })
}

pub(crate) fn rational(ratio: ffmpeg::Rational) -> Option<Rational> {
    let num = u32::try_from(ratio.numerator()).ok()?;
    let den = u32::try_from(ratio.denominator()).ok()?;
    (num > 0 && den > 0).then_some(Rational { num, den })
}

fn video_facts(stream: &Stream<'_>, input: &Input) -> Result<VideoFacts, MediaError> {
    let parameters = stream.parameters();
    let (width, height) = (parameters.width(), parameters.height());
    if width == 0 || height == 0 {
        return Err(MediaError::input("the input's picture has no size; it is damaged"));
    }
    Ok(VideoFacts {
        codec: parameters.id().name().to_owned(),
        width,
        height,
        pixel_aspect: rational(stream.sample_aspect_ratio()).unwrap_or(Rational { num: 1, den: 1 }),
        frame_rate: rational(stream.avg_frame_rate())
            .or_else(|| rational(stream.rate()))
            .unwrap_or(Rational { num: 0, den: 1 }),
        rotation: input.rotation(stream.index()),
        duration: duration(stream),
    })
}

/// A stream's own length, if the container says.
fn duration(stream: &Stream<'_>) -> Option<u64> {
    let micros = stream.duration().rescale(stream.time_base(), ffmpeg::rescale::TIME_BASE);
    u64::try_from(micros).ok().filter(|_| stream.duration() > 0)
}

fn audio_facts(stream: &Stream<'_>) -> Result<AudioFacts, MediaError> {
    let parameters = stream.parameters();
    let channels = parameters.ch_layout().channels();
    let sample_rate = parameters.sample_rate();
    if channels == 0 || sample_rate == 0 {
        return Err(MediaError::input("the input's sound has no channels or rate; it is damaged"));
    }
    let codec = parameters.id().name().to_owned();
    Ok(AudioFacts { codec, channels, sample_rate, duration: duration(stream) })
}
