use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering, mpsc::sync_channel},
};

use ffapi_domain::media::{MediaFacts, Metric, Rendition, Stream, StreamPlan, Window};
use ffmpeg_the_third::Rescale;
use serde_json::{Map, Value};

use super::{
    encoder_track::{EncoderTrack, TrackOpener},
    ladder,
    outputs::{EncodedOutput, PendingOutput},
    shared_filters::SharedFilters,
    stills::{self, Stills},
};
use crate::{
    MediaError,
    encoders::{frame_types::FrameTypePlan, track::Track},
    packaging::{SegmentBoundaries, Segmenter, SegmenterSettings},
    pipeline::{
        context::TaskContext, encoded_packet::EncodedPacket, flow::Flow, frame_format::FrameFormat,
        progress::ProgressReporter,
    },
    protocol::VerifiedFile,
    quality::meter::QualityMeter,
    tasks::analyze,
    units::MICROS,
};

/// Packets that may be queued for a segmenter.
const PACKET_QUEUE_CAPACITY: usize = 256;
/// The same if quality is measured: each meter keeps one original frame for every queued packet.
const METERED_QUEUE_CAPACITY: usize = 4;

/// Encodes all streams of a request in one pass over the input.
pub(super) struct StreamPipeline<'a> {
    pub(super) context: &'a TaskContext<'a>,
    pub(super) facts: &'a [MediaFacts],
    pub(super) request: &'a Stream,
    pub(super) plan: &'a StreamPlan,
    /// The output folder.
    pub(super) root: &'a Path,
    /// AES-128 key of the segments, if they are encrypted.
    pub(super) key: Option<[u8; 16]>,
}

/// Everything that one pass over the input produces.
pub(super) struct StreamOutputs {
    pub(super) streams: Vec<EncodedOutput>,
    /// The files of poster and sprite.
    pub(super) stills: Vec<VerifiedFile>,
    /// The metrics of the input, by name.
    pub(super) metrics: Map<String, Value>,
}

impl<'a> StreamPipeline<'a> {
    /// Decodes the input once for all outputs.
    pub(super) fn run(
        &self,
        stills: &'a Stills<'a>,
        reporter: &ProgressReporter<'a>,
    ) -> Result<StreamOutputs, MediaError> {
        let primary = crate::pipeline::context::primary_facts(self.facts)?;
        let mut flow = self.context.flow(self.facts)?;
        let renditions = &self.plan.renditions;
        let opener = TrackOpener {
            context: self.context,
            facts: self.facts,
            request: self.request,
            plan: self.plan,
            measures_vmaf: self.measures_vmaf(),
        };
        let mut shared = SharedFilters::of(renditions, &mut flow, self.context, self.facts)?;
        let mut tracks = Vec::new();
        for rendition in renditions {
            tracks.push(opener.video(&mut flow, shared.as_mut(), rendition)?);
        }
        self.share_frame_types(&mut tracks);
        let meters = self.meters(&mut tracks)?;
        let heartbeat = self.context.heartbeat;
        if let Some(shared) = shared {
            flow.add_stage(move || shared.run(heartbeat));
        }
        let mut pending = Vec::new();
        for track in tracks {
            let primary_reporter = pending.is_empty().then_some(reporter);
            pending.push(self.add_track(&mut flow, track, primary_reporter, reporter)?);
        }
        for (number, audio) in self.plan.audio.iter().enumerate() {
            let primary_reporter = pending.is_empty().then_some(reporter);
            let track = opener.audio(&mut flow, audio, number)?;
            pending.push(self.add_track(&mut flow, track, primary_reporter, reporter)?);
        }
        for (meter, output) in meters.into_iter().zip(&mut pending) {
            output.scores = Some(meter.attach(&mut flow, self.context.heartbeat)?);
        }
        let observed =
            analyze::observe(&mut flow, primary, &self.request.metrics, heartbeat, None)?;
        let still_files = stills::add_stages(&mut flow, primary, stills, heartbeat)?;
        flow.run(Window::WHOLE)?;
        let mut metrics = Map::new();
        observed.insert_results(primary.duration, &mut metrics)?;
        let streams = pending.into_iter().map(PendingOutput::finish).collect();
        let stills =
            std::mem::take(&mut *still_files.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(StreamOutputs { streams, stills, metrics })
    }

    /// Makes one rendition decide the frame types of all. Not if quality is measured: then the
    /// originals are kept until the last encoder is done with them, and the frames that the
    /// followers hold would cost more than is saved.
    fn share_frame_types(&self, tracks: &mut [EncoderTrack<'_>]) {
        let same_time_base = |pair: &[EncoderTrack<'_>]| matches!(pair, [one, other] if one.time_base == other.time_base);
        if self.measures_vmaf() || !tracks.windows(2).all(same_time_base) {
            return;
        }
        let Some(leader) = ladder::leader(&self.plan.renditions) else { return };
        let (before, rest) = tracks.split_at_mut(leader);
        let Some((leader, after)) = rest.split_first_mut() else { return };
        let followers = before.iter_mut().chain(after).map(|track| &mut track.frame_types);
        FrameTypePlan::share(&mut leader.frame_types, followers);
    }

    fn measures_vmaf(&self) -> bool {
        self.request.metrics.contains(&Metric::Vmaf)
    }

    /// The quality meter of each rendition. The input of the largest rendition's encoder is the
    /// original for all, and the comparison is at its size.
    fn meters(&self, tracks: &mut [EncoderTrack<'_>]) -> Result<Vec<QualityMeter>, MediaError> {
        if !self.measures_vmaf() {
            return Ok(vec![]);
        }
        let shapes: Vec<FrameFormat> = tracks
            .iter_mut()
            .map(|track| track.filtering.video_format())
            .collect::<Result<_, MediaError>>()?;
        let is_10_bit = |rendition: &Rendition| rendition.video.pixel_format.contains("10");
        let largest = ladder::largest(&self.plan.renditions);
        let depth = if self.plan.renditions.get(largest).is_some_and(is_10_bit) { 10 } else { 8 };
        let Some(original) = shapes.get(largest).cloned() else { return Ok(vec![]) };
        let mut meters = Vec::new();
        let mut observers = Vec::new();
        for (track, shape) in tracks.iter_mut().zip(shapes) {
            // All renditions are measured at the same time: no meter gets additional threads.
            let (inputs, meter) =
                QualityMeter::of(&track.encoder, shape, original.clone(), depth, 0);
            observers.push(inputs.original);
            track.to_meter = Some(inputs.encoded);
            meters.push(meter);
        }
        if let Some(largest) = tracks.get_mut(largest) {
            largest.observers = observers;
        }
        Ok(meters)
    }

    /// The number of segments of each stream, with some more for inputs that are longer than they state;
    /// those of a day if the input states no length.
    fn expected_segments(&self) -> usize {
        const DAY: u64 = 24 * 3_600 * 1_000_000;
        let count = self.plan.duration.unwrap_or(DAY).div_ceil(self.plan.segment.max(1));
        let count = count.saturating_add(count / 16).saturating_add(16);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Adds the stages of a track and its segmenter to the flow. `primary_reporter` is given for
    /// the track that counts as the progress of the task.
    fn add_track<'env>(
        &self,
        flow: &mut Flow<'env>,
        track: EncoderTrack<'env>,
        primary_reporter: Option<&'env ProgressReporter<'a>>,
        reporter: &ProgressReporter<'_>,
    ) -> Result<PendingOutput, MediaError>
    where
        'a: 'env,
    {
        let EncoderTrack {
            filtering,
            encoder,
            time_base,
            rate,
            hevc,
            packaged,
            to_meter,
            observers,
            frame_types,
        } = track;
        let is_video = packaged.is_video();
        let interval = i64::try_from(self.plan.segment).unwrap_or(i64::MAX);
        let clear_copy = self.context.scratch.join(format!("{}.whole", packaged.folder));
        let mut segmenter = Segmenter::create(
            &encoder,
            SegmenterSettings {
                hevc,
                time_base,
                rate,
                format: self.request.segments,
                layout: self.request.layout,
                expected_segments: self.expected_segments(),
                folder: self.root.join(&packaged.folder),
                clear_copy: clear_copy.clone(),
                boundaries: SegmentBoundaries { interval, at_keyframes: is_video },
                key: self.key,
            },
        )?;
        let (encoded, packets) = sync_channel(if to_meter.is_some() {
            METERED_QUEUE_CAPACITY
        } else {
            PACKET_QUEUE_CAPACITY
        });
        let segmented = Arc::new(Mutex::new(None));
        let track = if is_video {
            Track { keyframes_every: Some(interval), ..Track::video(filtering, encoder, time_base) }
        } else {
            Track::audio(filtering, encoder, time_base)
        };
        let track = Track { encoded: Some(encoded), observers, frame_types, ..track };
        let sent = Arc::clone(&track.sent);
        let heartbeat = self.context.heartbeat;
        flow.add_stage(move || track.run(heartbeat, primary_reporter).map(|_| ()));
        let finished = Arc::clone(&segmented);
        let reached = reporter.output(&packaged.folder);
        flow.add_stage(move || {
            for encoded in packets {
                if let Some(reporter) = primary_reporter.filter(|_| is_video) {
                    reporter.frame();
                }
                let at = encoded.packet.pts().unwrap_or(0).rescale(time_base, MICROS);
                reached.fetch_max(u64::try_from(at).unwrap_or(0), Ordering::Relaxed);
                if let Some(meter) = &to_meter {
                    let EncodedPacket { packet, stream, time_base } = &encoded;
                    let packet = packet.clone();
                    // A meter that has ended reports its own error.
                    let _ = meter.send(EncodedPacket {
                        packet,
                        stream: *stream,
                        time_base: *time_base,
                    });
                }
                segmenter.write_packet(encoded.packet)?;
            }
            drop(to_meter);
            *finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(segmenter.finish()?);
            Ok(())
        });
        Ok(PendingOutput { packaged, clear_copy, sent, segmented, scores: None })
    }
}
