use std::{
    path::Path,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use domain::media::{Container, Plan};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, Rational, Rescale, codec, format};

use super::stage::{Coded, MICROS};
use crate::{
    MediaError, ffi,
    protocol::{Progress, Said},
};

/// The output file.
pub(super) struct Mux {
    output: format::context::Output,
}

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

fn broken(error: ffmpeg::Error) -> MediaError {
    MediaError::new(
        match error {
            ffmpeg::Error::Other { errno: nix::libc::ENOSPC | nix::libc::EFBIG } => {
                domain::job::FailureCode::ResourceExhausted
            }
            _ => domain::job::FailureCode::Internal,
        },
        format!("the output cannot be written: {error}"),
    )
}

impl Mux {
    pub(super) fn create(path: &Path, container: Container) -> Result<Self, MediaError> {
        let output = format::output_as(path, container.muxer()).map_err(broken)?;
        Ok(Self { output })
    }

    pub(super) fn wants_global_header(&self) -> bool {
        self.output.format().flags().contains(format::Flags::GLOBAL_HEADER)
    }

    /// Adds a stream for an opened encoder; answers its index.
    pub(super) fn add(
        &mut self,
        encoder: &codec::Context,
        time_base: Rational,
        rate: Option<Rational>,
    ) -> Result<usize, MediaError> {
        let mut stream = self.output.add_stream(codec::Id::None).map_err(broken)?;
        stream.copy_parameters_from_context(encoder);
        stream.set_time_base(time_base);
        if let Some(rate) = rate {
            stream.set_avg_frame_rate(rate);
        }
        Ok(stream.index())
    }

    pub(super) fn begin(&mut self, container: Container) -> Result<(), MediaError> {
        let mut options = Dictionary::new();
        if matches!(container, Container::Mp4 | Container::Mov) {
            // Players can start before the whole file is there.
            options.set("movflags", "+faststart");
        }
        self.output.write_header_with(options).map_err(broken)?;
        Ok(())
    }

    /// Writes packets until every stage is done, and tells how far it is.
    pub(super) fn run(
        mut self,
        packets: &Receiver<Coded>,
        plan: &Plan,
        say: &(dyn Fn(Said) + Sync),
    ) -> Result<(), MediaError> {
        let start = Instant::now();
        let mut told = start;
        let (mut done, mut frames) = (0_u64, 0_u64);
        let bases: Vec<Rational> = self.output.streams().map(|stream| stream.time_base()).collect();
        for Coded { mut packet, stream, time_base } in packets {
            let to = bases.get(stream).copied().unwrap_or(time_base);
            // The picture is the first stream, if there is one; it is what progress counts.
            if stream == 0 {
                let end = packet.pts().unwrap_or(0).saturating_add(packet.duration());
                done = done.max(u64::try_from(end.rescale(time_base, MICROS)).unwrap_or(0));
                frames = frames.saturating_add(u64::from(plan.video.is_some()));
            }
            packet.set_stream(stream);
            packet.rescale_ts(time_base, to);
            packet.set_position(-1);
            ffi::write_packet(&mut self.output, &mut packet).map_err(broken)?;
            if told.elapsed() >= TICK {
                told = Instant::now();
                say(Said::Progress(progress(start, done, plan.duration, frames)));
            }
        }
        self.output.write_trailer().map_err(broken)?;
        ffi::close_file(&mut self.output).map_err(broken)?;
        say(Said::Progress(progress(start, done, plan.duration, frames)));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown, not counted")]
fn progress(start: Instant, done: u64, total: Option<u64>, frames: u64) -> Progress {
    let elapsed = start.elapsed().as_secs_f64().max(0.001);
    Progress {
        done,
        total,
        frames,
        fps: frames as f64 / elapsed,
        speed: done as f64 / 1_000_000.0 / elapsed,
    }
}
