//! Looks at what an encoder makes beside what it is given, while it makes it.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use ffmpeg_the_third::{self as ffmpeg, codec};

use super::{
    again,
    filtering::Filtering,
    flow::Flow,
    frame_channel::{FrameReceiver, FrameSender},
    frame_format::FrameFormat,
    quality::SideBySide,
    track::EncodedPacket,
};
use crate::{MediaError, ffi, heartbeat::Heartbeat};

/// Pictures that may wait for what an encoder makes of them: more than any encoder looks ahead, or
/// the two would wait for each other.
const AHEAD: usize = 512;

/// Packets that may wait to be looked at; few, so that an encoder does not run away.
const BEHIND: usize = 4;

/// The ways to the judge.
pub(super) struct MeterInputs {
    /// For what the encoder is given.
    pub(super) given: FrameSender,
    /// For what it makes.
    pub(super) made: SyncSender<EncodedPacket>,
}

/// Decodes what an encoder makes and compares it.
pub(super) struct QualityMeter {
    given: FrameReceiver,
    made: Receiver<EncodedPacket>,
    parameters: codec::Parameters,
    shape: FrameFormat,
    depth: u32,
    threads: u32,
}

/// The score of each picture, once the flow has run.
pub(super) type Scores = Arc<Mutex<Vec<f64>>>;

impl QualityMeter {
    /// Judges an opened encoder of pictures like `shape` by originals like `original`, with
    /// `threads` of its own.
    pub(super) fn of(
        encoder: &ffmpeg::encoder::Encoder,
        shape: FrameFormat,
        original: FrameFormat,
        depth: u32,
        threads: u32,
    ) -> (MeterInputs, Self) {
        let (given, given_to) = FrameReceiver::new(AHEAD, original);
        let (made, packets) = sync_channel(BEHIND);
        let parameters = codec::Parameters::from(encoder);
        let judge = Self { given: given_to, made: packets, parameters, shape, depth, threads };
        (MeterInputs { given, made }, judge)
    }

    /// Takes its place in the flow.
    pub(super) fn sit<'env>(
        self,
        flow: &mut Flow<'env>,
        heartbeat: &'env Heartbeat<'env>,
    ) -> Result<Scores, MediaError> {
        let Self { given, made, parameters, shape, depth, threads } = self;
        // Brightness is all that is looked at, so it is all that is scaled.
        let fit = match (given.shape.size(), shape.size()) {
            (wanted, found) if wanted == found => String::new(),
            ((width, height), _) => {
                format!("extractplanes=y,zscale=w={width}:h={height}:filter=bicubic,")
            }
        };
        let decoder = open(parameters, &shape)?;
        let (sender, found) = FrameReceiver::new(BEHIND, shape);
        let count = "setsar=1,settb=AVTB,setpts=PTS-STARTPTS";
        let side_by_side = SideBySide {
            film: Filtering::build(&format!("[in0]{fit}{count}[out]"), vec![found])?,
            reference: Filtering::build(&format!("[in0]{count}[out]"), vec![given])?,
            depth,
            threads,
        };
        flow.stage(move || decode(decoder, &made, &sender, heartbeat));
        let scores = Scores::default();
        let told = Arc::clone(&scores);
        flow.stage(move || {
            let scores = side_by_side.run(heartbeat, |_| {})?;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = scores;
            Ok(())
        });
        Ok(scores)
    }
}

fn failed(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("what was encoded cannot be decoded", error)
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
    for coded in packets {
        heartbeat.beat();
        decoder.send_packet(&coded.packet).map_err(failed)?;
        if !pass_on(&mut decoder, sender)? {
            return Ok(());
        }
    }
    decoder.send_eof().map_err(failed)?;
    pass_on(&mut decoder, sender).map(|_| ())
}

/// Passes on what is decoded; false once nobody wants it.
fn pass_on(decoder: &mut ffmpeg::decoder::Video, sender: &FrameSender) -> Result<bool, MediaError> {
    loop {
        let mut frame = ffi::empty_frame();
        match decoder.receive_frame(&mut frame) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => return Ok(true),
            Err(error) if again(error) => return Ok(true),
            Err(error) => return Err(failed(error)),
        }
        frame.set_pts(frame.timestamp());
        if !sender.give(frame) {
            return Ok(false);
        }
    }
}
