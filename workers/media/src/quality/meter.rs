//! Measures the quality of an encoder's output against its input, while it encodes.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use ffmpeg_the_third::{self as ffmpeg, codec};

use super::vmaf::SideBySide;
use crate::{
    MediaError,
    ffi::{self, FrameColors},
    heartbeat::Heartbeat,
    pipeline::{
        encoded_packet::EncodedPacket,
        filtering::Filtering,
        flow::Flow,
        frame_channel::{FrameReceiver, FrameSender},
        frame_format::FrameFormat,
    },
};

/// Original frames that may be queued until they are encoded: more than the lookahead of any
/// encoder, which would cause a deadlock otherwise.
const ORIGINAL_QUEUE_CAPACITY: usize = 512;

/// Packets that may be queued to be measured: few, so that the encoder does not get far ahead.
const ENCODED_QUEUE_CAPACITY: usize = 4;

/// The sending halves of a meter's channels.
pub(crate) struct MeterInputs {
    /// For the frames that the encoder gets.
    pub(crate) original: FrameSender,
    /// For the packets that it outputs.
    pub(crate) encoded: SyncSender<EncodedPacket>,
}

/// Decodes the output of an encoder and compares it with the original.
pub(crate) struct QualityMeter {
    original: FrameReceiver,
    encoded: Receiver<EncodedPacket>,
    parameters: codec::Parameters,
    shape: FrameFormat,
    depth: u32,
    threads: u32,
}

/// The score of each frame; filled once the flow has run.
pub(crate) type Scores = Arc<Mutex<Vec<f64>>>;

impl QualityMeter {
    /// A meter for an opened encoder of frames of format `shape`, whose originals have the format
    /// `original`; with `threads` additional threads.
    pub(crate) fn of(
        encoder: &ffmpeg::encoder::Encoder,
        shape: FrameFormat,
        original: FrameFormat,
        depth: u32,
        threads: u32,
    ) -> (MeterInputs, Self) {
        let (original, frames) = FrameReceiver::new(ORIGINAL_QUEUE_CAPACITY, original);
        let (encoded, packets) = sync_channel(ENCODED_QUEUE_CAPACITY);
        let parameters = codec::Parameters::from(encoder);
        let shape = shape.with_colors(FrameColors::of_codec(encoder, None));
        let meter = Self { original: frames, encoded: packets, parameters, shape, depth, threads };
        (MeterInputs { original, encoded }, meter)
    }

    /// Adds the stages of the meter to a flow.
    pub(crate) fn attach<'env>(
        self,
        flow: &mut Flow<'env>,
        heartbeat: &'env Heartbeat<'env>,
    ) -> Result<Scores, MediaError> {
        let Self { original, encoded, parameters, shape, depth, threads } = self;
        // VMAF only uses luma, so only luma is scaled.
        let fit = match (original.shape.size(), shape.size()) {
            (wanted, actual) if wanted == actual => String::new(),
            ((width, height), _) => {
                // Luma has the same range before and after.
                format!(
                    "extractplanes=y,zscale=w={width}:h={height}:filter=bicubic:rin=full:r=full,"
                )
            }
        };
        let decoder = open(parameters, &shape)?;
        let (sender, decoded) = FrameReceiver::new(ENCODED_QUEUE_CAPACITY, shape);
        let from_zero = "setsar=1,settb=AVTB,setpts=PTS-STARTPTS";
        let side_by_side = SideBySide {
            distorted: Filtering::build(&format!("[in0]{fit}{from_zero}[out]"), vec![decoded])?,
            reference: Filtering::build(&format!("[in0]{from_zero}[out]"), vec![original])?,
            depth,
            threads,
        };
        flow.add_stage(move || decode(decoder, &encoded, &sender, heartbeat));
        let scores = Scores::default();
        let result = Arc::clone(&scores);
        flow.add_stage(move || {
            let scores = side_by_side.run(heartbeat, |_| {})?;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = scores;
            Ok(())
        });
        Ok(scores)
    }
}

fn failed(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("the encoded output cannot be decoded", error)
}

fn open(
    parameters: codec::Parameters,
    shape: &FrameFormat,
) -> Result<ffmpeg::decoder::Video, MediaError> {
    let mut context = codec::Context::from_parameters(parameters).map_err(failed)?;
    ffi::prepare_decoder(&mut context, shape.time_base(), 1).map_err(failed)?;
    context.decoder().video().map_err(failed)
}

fn decode(
    mut decoder: ffmpeg::decoder::Video,
    packets: &Receiver<EncodedPacket>,
    sender: &FrameSender,
    heartbeat: &Heartbeat<'_>,
) -> Result<(), MediaError> {
    for packet in packets {
        heartbeat.beat();
        decoder.send_packet(&packet.packet).map_err(failed)?;
        if !send_frames(&mut decoder, sender)? {
            return Ok(());
        }
    }
    decoder.send_eof().map_err(failed)?;
    send_frames(&mut decoder, sender).map(|_| ())
}

/// Sends the frames that are decoded; false once the receiver is closed.
fn send_frames(
    decoder: &mut ffmpeg::decoder::Video,
    sender: &FrameSender,
) -> Result<bool, MediaError> {
    loop {
        let mut frame = ffi::empty_frame();
        match decoder.receive_frame(&mut frame) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => return Ok(true),
            Err(error) if ffi::is_eagain(error) => return Ok(true),
            Err(error) => return Err(failed(error)),
        }
        frame.set_pts(frame.timestamp());
        if !sender.send(frame) {
            return Ok(false);
        }
    }
}
