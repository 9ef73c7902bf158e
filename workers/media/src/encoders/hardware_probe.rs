//! Tests a hardware encoder with a few frames, by the same code that jobs use.

use std::path::Path;

use ffapi_domain::media::{
    AssignedDevice, Pool, RateControl, Rational as Ratio, Size, Source, VideoCodec, VideoPlan,
};
use ffmpeg_the_third::{Packet, Rational, codec, format::Pixel, frame};

use super::EncoderSettings;
use crate::{
    MediaError, encoders,
    ffi::{FrameColors, HardwareDevice},
    heartbeat::Heartbeat,
    pipeline::{
        filtergraph::VideoGraph, filtering::Filtering, frame_channel::FrameReceiver,
        frame_format::FrameFormat,
    },
};

const SIZE: Size = Size { width: 320, height: 192 };

/// Succeeds if a device can encode with a codec.
pub(crate) fn probe_encoder(pool: Pool, device: &str, codec: VideoCodec) -> Result<(), MediaError> {
    let plan = VideoPlan {
        quality: RateControl { crf: Some(23), ..RateControl::default() },
        assigned: Some(AssignedDevice { pool, device: device.to_owned() }),
        ..VideoPlan::new(
            Source { input: 0, stream: 0 },
            codec,
            SIZE,
            "yuv420p",
            Ratio { num: 25, den: 1 },
        )
    };
    let say = |_| {};
    let heartbeat = Heartbeat::new(&say);
    let graph = VideoGraph { plan: &plan, planar: false, scratch: Path::new("") };
    let opened = open_device(&plan)?;
    let (filtergraph, _) = graph.filtergraph();
    let mut filtering = Filtering::build_on(&filtergraph, vec![test_frames()], opened.as_ref())?;
    let timing = filtering.output_timing()?;
    let parameters = codec::Parameters::new();
    let mut settings = EncoderSettings::new(timing, &plan, &parameters, Path::new(""));
    settings.frames = filtering.hardware_frames();
    let mut encoder = encoders::open_video(&plan, settings)?;
    let failed = |error| MediaError::internal("the device does not encode", error);
    while let Some(frame) = filtering.next(&heartbeat)? {
        encoder.send_frame(&frame).map_err(failed)?;
    }
    encoder.send_eof().map_err(failed)?;
    match encoder.receive_packet(&mut Packet::empty()) {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The device that a plan's frames are uploaded to; `None` if the encoder uploads them itself.
pub(crate) fn open_device(plan: &VideoPlan) -> Result<Option<HardwareDevice>, MediaError> {
    let Some(assigned) = plan.assigned.as_ref().filter(|device| device.pool == Pool::Vaapi) else {
        return Ok(None);
    };
    let failed = |error| MediaError::internal(&format!("{} does not open", assigned.device), error);
    HardwareDevice::open(&assigned.device).map(Some).map_err(failed)
}

/// A few black frames.
fn test_frames() -> FrameReceiver {
    const COUNT: u8 = 4;
    let Size { width, height } = SIZE;
    let one = Rational(1, 1);
    let shape = FrameFormat::Video {
        width,
        height,
        format: Pixel::YUV420P,
        time_base: Rational(1, 25),
        aspect: one,
        rate: Rational(25, 1),
        colors: FrameColors::default(),
    };
    let (sender, feed) = FrameReceiver::new(COUNT.into(), shape);
    for number in 0..COUNT {
        let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
        (0..frame.planes()).for_each(|plane| frame.data_mut(plane).fill(128));
        frame.set_pts(Some(number.into()));
        // The channel has capacity for all of them.
        sender.send_shared(&frame);
    }
    feed
}
