use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use ffapi_domain::media::{
    AudioCodec, AudioFilter, AudioPlan, Chroma, Container, Convert, Effort, MAX_FILES, MediaFacts,
    Micros, Plan, SubtitlePlan, VideoCodec, VideoFilter, VideoPlan, footprint_of_plan, place,
};
use ffmpeg_the_third::{Rational, Rescale, codec};

use super::{
    TaskContext, Work,
    charge::{self, Due},
    copy::{self, Copying},
    encoder::{self, EncoderSettings},
    filtergraph::{AudioGraph, VideoGraph, cue_file, text_file},
    flow::Flow,
    frame_types::{self, FrameTypePlan},
    hardware_probe,
    mux::{Label, Mux},
    passes::{self, Findings},
    progress::ProgressReporter,
    target::Found,
    track::{EncodedPacket, Track},
};
use crate::{
    MediaError,
    cues::{self, Cues},
    ffi::EncoderPass,
    heartbeat::Heartbeat,
    open,
    protocol::{ChildMessage, Place, Report},
    verify::{self, Expected},
};

/// Packets that may wait for the muxer.
const CODED: usize = 256;

/// Makes the output and verifies it.
pub(super) fn convert(request: &Convert, work: &Work<'_>) -> Result<Report, MediaError> {
    let say = work.say;
    let heartbeat = Heartbeat::new(say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    if let Some(own) = facts.first() {
        say(ChildMessage::Facts(Box::new(own.clone())));
    }
    let mut plan = planned(request, &facts, work)?;
    say(ChildMessage::Planned(Box::new(plan.clone())));
    let effort = Effort::of_plan(&plan, facts.first());
    let due = Due { charged: effort.charged, folders: vec![], seek: plan.seek };
    let (permit, meter) = charge::begin(due, &facts, work)?;
    let context = context.permitted(permit, meter);
    let reporter = ProgressReporter::new(say, plan.duration, passes::count(&plan));
    write_texts(&context, &plan)?;
    let findings = passes::run(&context, &plan, &facts, &reporter)?;
    let quality = findings.quality.clone();
    if let (Some(found), Some(video)) = (&quality, &mut plan.video) {
        video.quality.crf = Some(found.crf);
    }
    let expected = encode(&context, &plan, &facts, findings, work.output, &reporter)?;
    reporter.stage("verifying");
    let mut files = verify::verify(work.output, &plan, &expected)?;
    files.extend(sidecars(&context, &plan, work.output)?);
    Ok(Report { files, result: result(&plan.notes, quality, say), frames: expected.frames, effort })
}

/// What becomes of these inputs, and where.
pub(super) fn planned(
    request: &Convert,
    facts: &[MediaFacts],
    work: &Work<'_>,
) -> Result<Plan, MediaError> {
    let plan = ffapi_domain::media::plan(request, Some(facts), work.capabilities);
    let mut plan = plan.map_err(super::refused)?;
    if let Some(video) = &mut plan.video {
        let devices = &work.capabilities.devices;
        let Place { hardware, pool, .. } = work.place;
        place(video, hardware, pool, devices, &mut plan.notes).map_err(super::refused)?;
    }
    work.holds(footprint_of_plan(&plan, facts))?;
    Ok(plan)
}

/// What the job answers beside its file.
fn result(
    notes: &[String],
    quality: Option<Found>,
    say: &(dyn Fn(ChildMessage) + Sync),
) -> Option<serde_json::Value> {
    let mut result = super::noted(notes, say);
    if let Some(found) = quality {
        let result = result.get_or_insert_with(|| serde_json::json!({}));
        if let Some(fields) = result.as_object_mut() {
            fields.insert("quality".to_owned(), found.told);
        }
    }
    result
}

/// Puts the words that filters draw where they look for them.
fn write_texts(context: &TaskContext<'_>, plan: &Plan) -> Result<(), MediaError> {
    let failed = |error| MediaError::internal("the scratch folder", error);
    let filters = plan.video.iter().flat_map(|video| video.filters.iter().enumerate());
    for (place, filter) in filters {
        if let VideoFilter::Text { text, .. } = filter {
            fs::write(text_file(context.scratch, place), text).map_err(failed)?;
        }
    }
    for (number, source) in plan.cues.iter().enumerate() {
        let cues = read_cues(context, source)?;
        fs::write(cue_file(context.scratch, number), cues.to_ass()).map_err(failed)?;
    }
    Ok(())
}

fn read_cues(
    context: &TaskContext<'_>,
    source: &ffapi_domain::media::CueSource,
) -> Result<Cues, MediaError> {
    let file = context.inputs.get(source.input);
    let (file, _) = file.ok_or_else(|| MediaError::internal("the plan", "has no such input"))?;
    Cues::read(open::open(file, cues::role(source))?, source)
}

/// True if the faster scaler applies.
pub(super) fn is_planar(facts: &[MediaFacts], video: &VideoPlan) -> bool {
    let found = facts.get(video.source.input).and_then(MediaFacts::video);
    found.is_some_and(|(_, f)| {
        f.bit_depth == 8
            && f.chroma == Chroma::Quarter
            && f.pixel_format == "yuv420p"
            && !f.alpha
            && f.width % 2 == 0
            && f.height % 2 == 0
    })
}

/// What a picture encoder is told beside the plan, when it works alone.
pub(super) fn canvas<'a>(
    time_base: Rational,
    aspect: Rational,
    rate: Rational,
    video: &VideoPlan,
    source: &'a codec::Parameters,
    scratch: &'a Path,
) -> EncoderSettings<'a> {
    let planned = Rational(
        i32::try_from(video.rate.num).unwrap_or(0),
        i32::try_from(video.rate.den).unwrap_or(1),
    );
    let rate = if rate.numerator() > 0 { rate } else { planned };
    EncoderSettings {
        time_base,
        aspect,
        rate: (rate.numerator() > 0).then_some(rate),
        source,
        global_header: false,
        pass: EncoderPass::Only,
        statistics: None,
        scratch,
        threads: 0,
        keys_on_demand: false,
        frames: None,
    }
}

/// The name that the muxer writes to: with a place for a number where there is a file a picture.
fn written(output: &Path, plan: &Plan) -> PathBuf {
    if !plan.sequence {
        return output.to_owned();
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}-%06d.{}", plan.container.as_str()))
}

/// The pass that makes the file.
fn encode(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    findings: Findings,
    output: &Path,
    reporter: &ProgressReporter<'_>,
) -> Result<Expected, MediaError> {
    let mut flow = context.flow(facts)?;
    let mut mux = Mux::create(&written(output, plan), plan)?;
    let (coded, to_mux) = sync_channel(CODED);
    let mut maker = Maker {
        context,
        plan,
        coded,
        frames: Arc::new(AtomicU64::new(0)),
        counted: false,
        findings,
    };
    if let Some(video) = &plan.video {
        maker.picture(&mut flow, &mut mux, video)?;
    }
    for (number, audio) in plan.audio.iter().enumerate() {
        maker.sound(&mut flow, &mut mux, audio, number)?;
    }
    for subtitles in plan.subtitles.iter().filter(|subtitles| !subtitles.sidecar) {
        maker.subtitles(&mut flow, &mut mux, subtitles)?;
    }
    let Maker { coded, frames, counted, .. } = maker;
    drop(coded);
    mux.begin()?;
    let pictures = plan.video.is_some();
    flow.stage(move || mux.run(&to_mux, pictures, reporter));
    flow.run(plan.seek)?;
    let frames = frames.load(Ordering::Relaxed);
    if plan.sequence && frames > MAX_FILES {
        let detail = format!("that would be over {MAX_FILES} pictures; trim it or lower its `fps`");
        return Err(MediaError::new(ffapi_domain::job::FailureCode::Unsupported, detail));
    }
    Ok(Expected { frames, counted })
}

/// Puts the stages of one file together.
struct Maker<'a, 'env> {
    context: &'env TaskContext<'env>,
    plan: &'a Plan,
    coded: SyncSender<EncodedPacket>,
    frames: Arc<AtomicU64>,
    counted: bool,
    findings: Findings,
}

impl<'env> Maker<'_, 'env> {
    fn picture(
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
            return self.copy(flow, mux, video.source, copy::kept(cuts), &label);
        }
        let planar = is_planar(flow.facts(), video);
        let look = VideoGraph { plan: video, planar, scratch: self.context.scratch };
        let device = hardware_probe::open_device(video)?;
        let palette = self.findings.palette.as_ref();
        let (text, fed) = look.script();
        let mut filtering = flow.filter_on(text, fed, palette, device.as_ref())?;
        let (time_base, aspect, rate) = filtering.outcome()?;
        let parameters = super::parameters(flow, video.source)?;
        let mut wanted = canvas(time_base, aspect, rate, video, &parameters, self.context.scratch);
        wanted.global_header = mux.wants_global_header();
        wanted.frames = filtering.hardware_frames();
        wanted.threads = self.context.threads;
        if video.quality.two_pass {
            wanted.pass = EncoderPass::Second;
            wanted.statistics = self.findings.statistics.take();
        }
        let rate = wanted.rate;
        let encoder = encoder::open_picture(video, wanted)?;
        let stream = mux.add(&encoder, Some(video.codec), time_base, rate, &label)?;
        self.counted = true;
        let track = Track {
            filtering,
            encoder,
            time_base,
            stream,
            coded: Some(self.coded.clone()),
            picture: true,
            limit: most_pictures(self.plan),
            until: self.until(video, time_base),
            keys_every: None,
            sent: Arc::clone(&self.frames),
            seen_by: vec![],
            cadence: FrameTypePlan::own(frame_types::is_heeded(video, flow.facts())),
        };
        let heartbeat = self.context.heartbeat;
        flow.stage(move || track.run(heartbeat, None).map(|_| ()));
        Ok(())
    }

    /// Where the picture ends, if only that says how long the last one stands.
    fn until(&self, video: &VideoPlan, time_base: Rational) -> Option<i64> {
        let end = i64::try_from(self.plan.duration?).ok()?;
        let varies = !video.constant_rate && !self.plan.container.is_images();
        varies.then(|| end.rescale(super::MICROS, time_base))
    }

    fn sound(
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
            return self.copy(flow, mux, audio.source, copy::kept(cuts), &label);
        }
        let kind = encoder::Kind::of(audio);
        let gain = self.findings.gains.get(number).copied().flatten();
        let mix = AudioGraph { plan: audio, sample_format: kind.format.name(), gain };
        let mut filtering = flow.filter(mix.script(), None)?;
        let encoder = encoder::open_sound(audio, mux.wants_global_header())?;
        filtering.set_frame_size(crate::ffi::frame_size(&encoder));
        let (time_base, ..) = filtering.outcome()?;
        let stream = mux.add(&encoder, None, time_base, None, &label)?;
        let track = Track {
            filtering,
            encoder,
            time_base,
            stream,
            coded: Some(self.coded.clone()),
            picture: false,
            limit: None,
            until: None,
            keys_every: None,
            sent: Arc::new(AtomicU64::new(0)),
            seen_by: vec![],
            cadence: FrameTypePlan::own(false),
        };
        let heartbeat = self.context.heartbeat;
        flow.stage(move || track.run(heartbeat, None).map(|_| ()));
        Ok(())
    }

    fn copy(
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
        let origin = input.start_time().unwrap_or(0).rescale(super::MICROS, time_base);
        let number = mux.add_copy(&stream, label)?;
        let copying = Copying {
            packets,
            coded: self.coded.clone(),
            stream: number,
            time_base,
            origin,
            keep,
            hides: self.plan.container.has_edit_list(),
        };
        let heartbeat = self.context.heartbeat;
        flow.stage(move || {
            copying.run(heartbeat);
            Ok(())
        });
        Ok(())
    }

    fn subtitles(
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
        // What comes behind the film would make it longer.
        let cues = read_cues(self.context, &plan.source)?.until(self.plan.duration);
        let label = Label { language: plan.language.clone(), title: None, default: false };
        let stream = mux.add_subtitles(codec, &cues.header(codec), &label)?;
        let coded = self.coded.clone();
        flow.stage(move || {
            let time_base = Rational(1, 1_000);
            for (mut packet, start, lasts) in cues.packets(codec) {
                packet.set_pts(Some(start));
                packet.set_dts(Some(start));
                packet.set_duration(lasts);
                packet.set_flags(codec::packet::Flags::KEY);
                if coded.send(EncodedPacket { packet, stream, time_base }).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(())
    }
}

/// A picture file without a number in its name takes one picture; more files than a job may list
/// are not made only to be thrown away.
fn most_pictures(plan: &Plan) -> Option<u64> {
    let most = if plan.sequence { MAX_FILES.saturating_add(1) } else { 1 };
    plan.container.is_images().then_some(most)
}

/// Writes the subtitles that stand beside the output.
fn sidecars(
    context: &TaskContext<'_>,
    plan: &Plan,
    output: &Path,
) -> Result<Vec<crate::protocol::MadeFile>, MediaError> {
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
        made.push(crate::protocol::MadeFile::plain(&path, plan.duration.map(seconds)));
    }
    Ok(made)
}

/// Seconds, for a report.
#[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
pub(super) fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1_000_000.0
}
