use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use ffapi_domain::media::{
    AudioCodec, AudioFilter, AudioPlan, Container, Convert, Effort, MAX_FILES, MediaFacts, Plan,
    SubtitlePlan, VideoCodec, VideoFilter, VideoPlan, assign_pool, footprint_of_plan,
};
use ffmpeg_the_third::{Rational, Rescale, codec, media};

use super::passes::{self, PassResults};
use crate::{
    MediaError,
    cues::{self, Cues},
    encoders::{
        self, EncoderSettings,
        copy::{self, StreamCopy},
        frame_types::{FrameTypePlan, SourceTypes},
        hardware_probe,
        track::Track,
    },
    ffi::{self, EncoderPass},
    fonts,
    heartbeat::Heartbeat,
    open,
    packaging::mux::{Label, Mux},
    pipeline::{
        charge::{self, TaskCharge},
        context::TaskContext,
        encoded_packet::EncodedPacket,
        filtergraph::{AudioGraph, VideoGraph, cue_file, text_file},
        filtering::Filtering,
        flow::Flow,
        packet_span::PacketSpan,
        progress::ProgressReporter,
        work::Work,
    },
    protocol::{ChildMessage, PoolAssignment, Report},
    quality::target::QualityFound,
    units::{self, MICROS},
    verify::{self, Expected},
};

/// Packets that may be queued for the muxer.
const PACKET_QUEUE_CAPACITY: usize = 256;

/// Converts the inputs to one output and verifies it.
pub(crate) fn convert(request: &Convert, work: &Work<'_>) -> Result<Report, MediaError> {
    let say = work.say;
    let heartbeat = Heartbeat::new(say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    if let Some(primary) = facts.first() {
        say(ChildMessage::Facts(Box::new(primary.clone())));
    }
    let mut plan = resolve_plan(request, &facts, work)?;
    say(ChildMessage::Planned(Box::new(plan.clone())));
    let effort = Effort::of_plan(&plan, facts.first());
    let task = TaskCharge {
        charged: effort.charged,
        is_limit: facts.first().is_none_or(|primary| primary.duration.is_none()),
        bytes: effort.estimate(None).bytes,
        folders: vec![],
        seek: plan.seek,
    };
    let (permit, meter) = charge::begin(task, &facts, work)?;
    let context = context.permitted(permit, meter);
    let reporter = ProgressReporter::new(say, plan.duration, passes::count(&plan));
    plan.notes.extend(write_texts(&context, &plan)?);
    let results = passes::run(&context, &plan, &facts, &reporter)?;
    let quality = results.quality.clone();
    if let (Some(found), Some(video)) = (&quality, &mut plan.video) {
        video.quality.crf = Some(found.crf);
    }
    let expected = encode(&context, &plan, &facts, results, work.output, &reporter)?;
    reporter.stage("verifying");
    let mut files = verify::verify(work.output, &plan, &expected)?;
    files.extend(sidecars(&context, &plan, work.output)?);
    Ok(Report {
        files,
        result: result(&plan.notes, quality, work),
        frames: expected.frames,
        effort,
    })
}

/// Resolves the plan of a request for these inputs, and assigns it to a device.
pub(crate) fn resolve_plan(
    request: &Convert,
    facts: &[MediaFacts],
    work: &Work<'_>,
) -> Result<Plan, MediaError> {
    let plan = ffapi_domain::media::plan(request, Some(facts), work.capabilities);
    let mut plan = plan?;
    if let Some(video) = &mut plan.video {
        let devices = &work.capabilities.devices;
        let PoolAssignment { hardware, pool, .. } = work.assignment;
        assign_pool(video, hardware, pool, devices, &mut plan.notes)?;
    }
    work.check_memory(footprint_of_plan(&plan, facts))?;
    Ok(plan)
}

/// The result of the job, in addition to its files.
fn result(
    notes: &[String],
    quality: Option<QualityFound>,
    work: &Work<'_>,
) -> Option<serde_json::Value> {
    let mut result = work.log_notes(notes);
    if let Some(found) = quality {
        let result = result.get_or_insert_with(|| serde_json::json!({}));
        if let Some(fields) = result.as_object_mut() {
            fields.insert("quality".to_owned(), found.report);
        }
    }
    result
}

/// Writes the texts, subtitles and fonts that filters draw to the files that they read. Returns notes
/// on characters that no font has.
fn write_texts(context: &TaskContext<'_>, plan: &Plan) -> Result<Vec<String>, MediaError> {
    let mut notes = Vec::new();
    let failed = |error| MediaError::internal("the scratch folder", error);
    let filters = plan.video.iter().flat_map(|video| video.filters.iter().enumerate());
    for (index, filter) in filters {
        if let VideoFilter::Text { text, .. } = filter {
            fs::write(text_file(context.scratch, index), text).map_err(failed)?;
            notes.extend(fonts::missing_characters_note(&fonts::for_text(text).missing));
        }
    }
    for (number, source) in plan.cues.iter().enumerate() {
        let (file, _) = context.input(source.input)?;
        let fonts = fonts::attached(&open::open(file, cues::role(source))?);
        let height = plan.video.as_ref().map_or(0, |video| video.height);
        let text = read_cues(context, source)?.to_ass(height) + &fonts;
        fs::write(cue_file(context.scratch, number), text).map_err(failed)?;
    }
    Ok(notes)
}

fn read_cues(
    context: &TaskContext<'_>,
    source: &ffapi_domain::media::CueSource,
) -> Result<Cues, MediaError> {
    let (file, _) = context.input(source.input)?;
    Cues::read(open::open(file, cues::role(source))?, source)
}

/// The path that the muxer writes to: with a number pattern if each frame is a file.
fn muxer_path(output: &Path, plan: &Plan) -> PathBuf {
    if !plan.sequence {
        return output.to_owned();
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}-%06d.{}", plan.container.as_str()))
}

/// The pass that encodes the output.
fn encode(
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
        source: ffapi_domain::media::Source,
        keep: ffapi_domain::media::Window,
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

/// Writes the subtitle files that belong to the output.
fn sidecars(
    context: &TaskContext<'_>,
    plan: &Plan,
    output: &Path,
) -> Result<Vec<crate::protocol::VerifiedFile>, MediaError> {
    let wanted = plan.subtitles.iter().filter(|subtitles| subtitles.sidecar);
    let mut made = Vec::new();
    for (number, subtitles) in wanted.enumerate() {
        let cues = read_cues(context, &subtitles.source)?;
        let language = subtitles.language.as_deref().unwrap_or("und");
        let clean: String = language.chars().filter(char::is_ascii_alphanumeric).collect();
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let path = output.with_extension(format!("{clean}{suffix}.vtt"));
        let failed = |error| MediaError::internal("the subtitle file", error);
        fs::write(&path, cues.to_webvtt()).map_err(failed)?;
        made.push(crate::protocol::VerifiedFile::at_path(&path, plan.duration.map(units::seconds)));
    }
    Ok(made)
}
