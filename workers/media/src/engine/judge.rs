//! Looks at what an encoder makes beside what it is given, while it makes it.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use ffmpeg_the_third::{self as ffmpeg, codec};

use super::{
    again,
    feed::{Feed, Giver},
    filtering::Filtering,
    flow::Flow,
    quality::SideBySide,
    shape::Shape,
    track::Coded,
};
use crate::{MediaError, ffi, pulse::Pulse};

/// Pictures that may wait for what an encoder makes of them: more than any encoder looks ahead, or
/// the two would wait for each other.
const AHEAD: usize = 512;

/// Packets that may wait to be looked at; few, so that an encoder does not run away.
const BEHIND: usize = 4;

/// The ways to the judge.
pub(super) struct Evidence {
    /// For what the encoder is given.
    pub(super) given: Giver,
    /// For what it makes.
    pub(super) made: SyncSender<Coded>,
}

/// Decodes what an encoder makes and compares it.
pub(super) struct Judge {
    given: Feed,
    made: Receiver<Coded>,
    parameters: codec::Parameters,
    shape: Shape,
    depth: u32,
    threads: u32,
}

/// The score of each picture, once the flow has run.
pub(super) type Verdict = Arc<Mutex<Vec<f64>>>;

impl Judge {
    /// Judges an opened encoder of pictures like `shape` by originals like `original`, with
    /// `threads` of its own.
    pub(super) fn of(
        encoder: &ffmpeg::encoder::Encoder,
        shape: Shape,
        original: Shape,
        depth: u32,
        threads: u32,
    ) -> (Evidence, Self) {
        let (given, given_to) = Feed::new(AHEAD, original);
        let (made, packets) = sync_channel(BEHIND);
        let parameters = codec::Parameters::from(encoder);
        let judge = Self { given: given_to, made: packets, parameters, shape, depth, threads };
        (Evidence { given, made }, judge)
    }

    /// Takes its place in the flow.
    pub(super) fn sit<'env>(
        self,
        flow: &mut Flow<'env>,
        pulse: &'env Pulse<'env>,
    ) -> Result<Verdict, MediaError> {
        let Self { given, made, parameters, shape, depth, threads } = self;
        // Brightness is all that is looked at, so it is all that is scaled.
        let fit = match (given.shape.size(), shape.size()) {
            (wanted, found) if wanted == found => String::new(),
            ((width, height), _) => {
                format!("extractplanes=y,zscale=w={width}:h={height}:filter=bicubic,")
            }
        };
        let decoder = open(parameters, &shape)?;
        let (giver, found) = Feed::new(BEHIND, shape);
        let count = "setsar=1,settb=AVTB,setpts=PTS-STARTPTS";
        let side_by_side = SideBySide {
            film: Filtering::build(&format!("[in0]{fit}{count}[out]"), vec![found])?,
            reference: Filtering::build(&format!("[in0]{count}[out]"), vec![given])?,
            depth,
            threads,
        };
        flow.stage(move || decode(decoder, &made, &giver, pulse));
        let verdict = Verdict::default();
        let told = Arc::clone(&verdict);
        flow.stage(move || {
            let scores = side_by_side.run(pulse, |_| {})?;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = scores;
            Ok(())
        });
        Ok(verdict)
    }
}

fn failed(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("what was encoded cannot be decoded", error)
}

fn open(
    parameters: codec::Parameters,
    shape: &Shape,
) -> Result<ffmpeg::decoder::Video, MediaError> {
    let mut context = codec::Context::from_parameters(parameters).map_err(failed)?;
    ffi::prepare_decoder(&mut context, shape.time_base(), 1).map_err(failed)?;
    context.decoder().video().map_err(failed)
}

fn decode(
    mut decoder: ffmpeg::decoder::Video,
    packets: &Receiver<Coded>,
    giver: &Giver,
    pulse: &Pulse<'_>,
) -> Result<(), MediaError> {
    for coded in packets {
        pulse.beat();
        decoder.send_packet(&coded.packet).map_err(failed)?;
        if !pass_on(&mut decoder, giver)? {
            return Ok(());
        }
    }
    decoder.send_eof().map_err(failed)?;
    pass_on(&mut decoder, giver).map(|_| ())
}

/// Passes on what is decoded; false once nobody wants it.
fn pass_on(decoder: &mut ffmpeg::decoder::Video, giver: &Giver) -> Result<bool, MediaError> {
    loop {
        let mut frame = ffi::empty_frame();
        match decoder.receive_frame(&mut frame) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => return Ok(true),
            Err(error) if again(error) => return Ok(true),
            Err(error) => return Err(failed(error)),
        }
        frame.set_pts(frame.timestamp());
        if !giver.give(frame) {
            return Ok(false);
        }
    }
}
