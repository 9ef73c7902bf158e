//! The pass that encodes the output.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use ffapi_domain::media::{
    AudioCodec, AudioFilter, AudioPlan, Container, MAX_FILES, MediaFacts, Plan, Source,
    SubtitlePlan, VideoCodec, VideoFilter, VideoPlan, Window,
};
use ffmpeg_the_third::{Rational, Rescale, codec, media};

use super::texts::read_cues;
use crate::{
    MediaError,
    encoders::{
        self, EncoderSettings,
        copy::{self, StreamCopy},
        frame_types::{FrameTypePlan, SourceTypes},
        hardware_probe,
        track::Track,
    },
    ffi::{self, EncoderPass},
    packaging::mux::{Label, Mux},
    pipeline::{
        context::TaskContext,
        encoded_packet::EncodedPacket,
        filtergraph::{AudioGraph, VideoGraph},
        filtering::Filtering,
        flow::Flow,
        packet_span::PacketSpan,
        progress::ProgressReporter,
    },
    tasks::passes::PassResults,
    units::MICROS,
    verify::Expected,
};

/// Packets that may be queued for the muxer.
const PACKET_QUEUE_CAPACITY: usize = 256;

/// The path that the muxer writes to: with a number pattern if each frame is a file.
fn muxer_path(output: &Path, plan: &Plan) -> PathBuf {
    if !plan.sequence {
        return output.to_owned();
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}-%06d.{}", plan.container.as_str()))
}

/// The pass that encodes the output.
pub(super) fn encode(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    results: PassResults,
    output: &Path,
    reporter: &ProgressReporter<'_>,
) -> Result<Expected, MediaError> {
    let mut flow = context.flow(facts)?;
    let mut mux = Mux::create(&muxer_path(output, plan), plan)?;
    let (encoded, to_mux) = sync_channel(PACKET_QUEUE_CAPACITY);
    let mut builder = OutputBuilder {
        context,
        plan,
        encoded,
        frames: Arc::new(AtomicU64::new(0)),
        counted: false,
        results,
    };
    if let Some(video) = &plan.video {
        builder.add_video(&mut flow, &mut mux, video)?;
    }
    for (number, audio) in plan.audio.iter().enumerate() {
        builder.add_audio(&mut flow, &mut mux, audio, number)?;
    }
    for subtitles in plan.subtitles.iter().filter(|subtitles| !subtitles.sidecar) {
        builder.add_subtitles(&mut flow, &mut mux, subtitles)?;
    }
    let OutputBuilder { encoded, frames, counted, .. } = builder;
    drop(encoded);
    mux.write_header()?;
    let has_video = plan.video.is_some();
    let written = Arc::new(Mutex::new(PacketSpan::default()));
    let target = Arc::clone(&written);
    flow.add_stage(move || {
        let span = mux.run(&to_mux, has_video, reporter)?;
        *target.lock().unwrap_or_else(PoisonError::into_inner) = span;
        Ok(())
    });
    flow.run(plan.part())?;
    let written = *written.lock().unwrap_or_else(PoisonError::into_inner);
    let frames = frames.load(Ordering::Relaxed);
    if plan.sequence && frames > MAX_FILES {
        let detail = format!(
            "that would be more than {MAX_FILES} images; trim the input or lower its `fps`"
        );
        return Err(MediaError::new(ffapi_domain::job::FailureCode::Unsupported, detail));
    }
    Ok(Expected { frames, counted, duration: written.duration() })
}

/// Adds the stages of one output file to a flow.
struct OutputBuilder<'a, 'env> {
    context: &'env TaskContext<'env>,
    plan: &'a Plan,
    encoded: SyncSender<EncodedPacket>,
    frames: Arc<AtomicU64>,
    /// True if the number of frames is verified.
    counted: bool,
    results: PassResults,
}

impl<'env> OutputBuilder<'_, 'env> {
    fn add_video(
        &mut self,
        flow: &mut Flow<'env>,
        mux: &mut Mux,
        video: &VideoPlan,
    ) -> Result<(), MediaError> {
        let label = Label { default: true, ..Label::default() };
        if video.codec == VideoCodec::Copy {
            let cuts = video.filters.iter().filter_map(|filter| match filter {
                VideoFilter::Trim(window) => Some(*window),
                _ => None,
            });
            return self.add_copy(flow, mux, video.source, copy::kept_window(cuts), &label);
        }
        let graph = VideoGraph::of(video, flow.facts(), self.context.scratch);
        let device = hardware_probe::open_device(video)?;
        let palette = self.results.palette.as_ref();
        let (text, inputs) = graph.filtergraph();
        let mut filtering = flow.filter_on(text, inputs, palette, device.as_ref())?;
        let timing = filtering.output_timing()?;
        let time_base = timing.time_base;
        let parameters = flow.parameters(video.source)?;
        let mut settings = EncoderSettings::new(timing, video, &parameters, self.context.scratch);
        settings.headers = mux.header_placement();
        settings.frames = filtering.hardware_frames();
        settings.threads = self.context.threads;
        if video.quality.two_pass {
            settings.pass = EncoderPass::Second;
            settings.statistics = self.results.statistics.take();
        }
        let rate = settings.rate;
        let encoder = encoders::open_video(video, settings)?;
        let stream = mux.add(&encoder, Some(video.codec), time_base, rate, &label)?;
        self.counted = true;
        let track = Track {
            stream,
            encoded: Some(self.encoded.clone()),
            limit: max_frames(self.plan),
            until: self.video_end(video, time_base),
            sent: Arc::clone(&self.frames),
            frame_types: FrameTypePlan::new(SourceTypes::of(video, flow.facts())),
            ..Track::video(filtering, encoder, time_base)
        };
        let heartbeat = self.context.heartbeat;
        flow.add_stage(move || track.run(heartbeat, None).map(|_| ()));
        Ok(())
    }

    /// The end of the video, where only that determines the duration of the last frame.
    fn video_end(&self, video: &VideoPlan, time_base: Rational) -> Option<i64> {
        let duration = self.plan.duration.filter(|_| !self.plan.duration_is_estimate);
        let end = i64::try_from(duration?).ok()?;
        let variable_rate = !video.constant_rate && !self.plan.container.is_images();
        variable_rate.then(|| end.rescale(MICROS, time_base))
    }

    fn add_audio(
        &mut self,
        flow: &mut Flow<'env>,
        mux: &mut Mux,
        audio: &AudioPlan,
        number: usize,
    ) -> Result<(), MediaError> {
        let label = Label {
            language: audio.language.clone(),
            title: audio.title.clone(),
            default: number == 0,
        };
        if audio.codec == AudioCodec::Copy {
            let cuts = audio.filters.iter().filter_map(|filter| match filter {
                AudioFilter::Trim(window) => Some(*window),
                _ => None,
            });
            return self.add_copy(flow, mux, audio.source, copy::kept_window(cuts), &label);
        }
        let format = encoders::AudioEncoder::of(audio).format;
        let gain = self.results.gains.get(number).copied().flatten();
        let graph = AudioGraph { plan: audio, sample_format: format.name(), gain };
        let mut filtering = flow.filter(graph.filtergraph(), None)?;
        let encoder = encoders::open_audio(audio, mux.header_placement())?;
        filtering.set_frame_size(ffi::frame_size(&encoder));
        // The part that is kept of a video may have no audio.
        let silent = self.plan.duration.filter(|_| self.plan.video.is_some());
        let silence = silent.map(|duration| Filtering::generated_audio(&graph.silence(duration)));
        let mut silence = silence.transpose()?;
        if let Some(silence) = &mut silence {
            silence.set_frame_size(ffi::frame_size(&encoder));
        }
        let time_base = filtering.output_timing()?.time_base;
        let stream = mux.add(&encoder, None, time_base, None, &label)?;
        let track = Track {
            stream,
            encoded: Some(self.encoded.clone()),
            silence,
            ..Track::audio(filtering, encoder, time_base)
        };
        let heartbeat = self.context.heartbeat;
        flow.add_stage(move || track.run(heartbeat, None).map(|_| ()));
        Ok(())
    }

    fn add_copy(
        &self,
        flow: &mut Flow<'env>,
        mux: &mut Mux,
        source: Source,
        keep: Window,
        label: &Label,
    ) -> Result<(), MediaError> {
        let packets = flow.packets(source);
        let input = flow.input(source.input)?;
        let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
        let stream = input.context.stream(index);
        let stream =
            stream.ok_or_else(|| MediaError::internal("the plan", "has no such stream"))?;
        let time_base = stream.time_base();
        let origin = input.origin().rescale(MICROS, time_base);
        let kind = match stream.parameters().medium() {
            media::Type::Audio => "audio",
            _ => "video",
        };
        let number = mux.add_copy(&stream, keep, label)?;
        let copy = StreamCopy {
            packets,
            encoded: self.encoded.clone(),
            stream: number,
            kind,
            time_base,
            origin,
            keep,
            has_edit_list: self.plan.container.has_edit_list(),
        };
        let heartbeat = self.context.heartbeat;
        flow.add_stage(move || copy.run(heartbeat));
        Ok(())
    }

    fn add_subtitles(
        &self,
        flow: &mut Flow<'env>,
        mux: &mut Mux,
        plan: &SubtitlePlan,
    ) -> Result<(), MediaError> {
        let codec = match self.plan.container {
            Container::Webm => codec::Id::WEBVTT,
            Container::Mkv => codec::Id::ASS,
            _ => codec::Id::MOV_TEXT,
        };
        // Subtitles after the end of the video would make the output longer.
        let cues = read_cues(self.context, &plan.source)?.until(self.plan.duration);
        let label = Label { language: plan.language.clone(), title: None, default: false };
        let stream = mux.add_subtitles(codec, &cues.header(codec), &label)?;
        let encoded = self.encoded.clone();
        flow.add_stage(move || {
            let time_base = Rational(1, 1_000);
            for (mut packet, start, duration) in cues.packets(codec) {
                packet.set_pts(Some(start));
                packet.set_dts(Some(start));
                packet.set_duration(duration);
                packet.set_flags(codec::packet::Flags::KEY);
                if encoded.send(EncodedPacket { packet, stream, time_base }).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(())
    }
}

/// The maximum number of frames of image outputs: 1 for a single file; for a sequence, one more
/// than a job may list, which is enough to detect that there are too many.
fn max_frames(plan: &Plan) -> Option<u64> {
    let max = if plan.sequence { MAX_FILES.saturating_add(1) } else { 1 };
    plan.container.is_images().then_some(max)
}
