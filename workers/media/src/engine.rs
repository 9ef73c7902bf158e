//! One conversion as a pipeline of threads: demux → decode → filter and encode → mux.

mod audio;
mod demux;
mod graph;
mod mux;
mod pulse;
mod stage;
mod video;

use std::{path::Path, sync::mpsc::sync_channel, thread, time::Instant};

use domain::media::{Capabilities, Convert, Plan};

use self::{audio::AudioStage, mux::Mux, pulse::Pulse, video::VideoStage};
use crate::{
    MediaError, open,
    probe::{self, Probed},
    protocol::{Report, Said},
    verify,
};

/// What one conversion works on.
pub(crate) struct Conversion<'a> {
    pub(crate) input: &'a Path,
    pub(crate) output: &'a Path,
    pub(crate) request: &'a Convert,
    pub(crate) capabilities: &'a Capabilities,
    /// Told how far it is, from any thread.
    pub(crate) say: &'a (dyn Fn(Said) + Sync),
}

/// Packets that may wait for a decoder, frames for an encoder, packets for the muxer.
const PACKETS: usize = 64;
const FRAMES: usize = 8;
const CODED: usize = 256;

/// Makes the output and verifies it.
pub(crate) fn convert(conversion: &Conversion<'_>) -> Result<Report, MediaError> {
    let start = Instant::now();
    let mut input = open::open(conversion.input)?;
    let probed = probe::probe(&input)?;
    (conversion.say)(Said::Facts(probed.facts.clone()));
    let plan =
        domain::media::plan(conversion.request, Some(&probed.facts), conversion.capabilities)
            .map_err(|refusal| {
                MediaError::new(
                    domain::job::FailureCode::Unsupported,
                    format!("{}: {}", refusal.pointer, refusal.detail),
                )
            })?;
    (conversion.say)(Said::Planned(Box::new(plan.clone())));

    let Probed { facts, video, audio } = probed;
    let video = video.filter(|_| plan.video.is_some());
    let audio = audio.filter(|_| plan.audio.is_some());
    let mut mux = Mux::create(conversion.output, plan.container)?;
    let video = match (video, &plan.video, &facts.video) {
        (Some(index), Some(plan), Some(facts)) => {
            Some(VideoStage::prepare(&input, index, plan, facts, &mut mux)?)
        }
        _ => None,
    };
    let audio = match (audio, &plan.audio) {
        (Some(index), Some(plan)) => Some(AudioStage::prepare(&input, index, plan, &mut mux)?),
        _ => None,
    };
    mux.begin(plan.container)?;
    demux::seek(&mut input, plan.seek)?;
    run(input, video, audio, mux, &plan, conversion.say)?;
    verify::verify(conversion.output, &plan, start)
}

fn run(
    mut input: crate::ffi::Input,
    video: Option<VideoStage>,
    audio: Option<AudioStage>,
    mux: Mux,
    plan: &Plan,
    say: &(dyn Fn(Said) + Sync),
) -> Result<(), MediaError> {
    let pulse = &Pulse::new(say);
    thread::scope(|scope| {
        let (coded, to_mux) = sync_channel(CODED);
        let mut threads = Vec::new();
        let mut wanted = Vec::new();
        if let Some(stage) = video {
            let (packets, from_demux) = sync_channel(PACKETS);
            let (frames, from_decoder) = sync_channel(FRAMES);
            wanted.push((stage.decode.index, packets));
            let VideoStage { decode, encode, .. } = stage;
            let coded = coded.clone();
            threads.push(scope.spawn(move || decode.run(&from_demux, &frames)));
            threads.push(scope.spawn(move || encode.run(&from_decoder, &coded, pulse)));
        }
        if let Some(stage) = audio {
            let (packets, from_demux) = sync_channel(PACKETS);
            let (frames, from_decoder) = sync_channel(FRAMES);
            wanted.push((stage.decode.index, packets));
            let AudioStage { decode, encode } = stage;
            let coded = coded.clone();
            threads.push(scope.spawn(move || decode.run(&from_demux, &frames)));
            threads.push(scope.spawn(move || encode.run(&from_decoder, &coded, pulse)));
        }
        drop(coded);
        let muxing = scope.spawn(move || mux.run(&to_mux, plan, say));
        demux::run(&mut input, wanted);
        let mut outcome = Ok(());
        // The most downstream error comes first: those upstream only saw a closed channel.
        let joined = |thread: thread::ScopedJoinHandle<'_, Result<(), MediaError>>| {
            thread.join().unwrap_or_else(|_| Err(MediaError::internal("a stage", "panicked")))
        };
        for result in [joined(muxing)].into_iter().chain(threads.into_iter().rev().map(joined)) {
            outcome = outcome.and(result);
        }
        outcome
    })
}
