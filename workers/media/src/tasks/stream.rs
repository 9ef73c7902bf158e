mod complexity;
mod encoder_track;
mod ladder;
mod manifests;
mod outputs;
mod shared_filters;
mod stills;
mod stream_pipeline;

use std::{fs, path::Path, thread, time::Duration};

use ffapi_domain::media::{
    Effort, JobPlan, MediaFacts, Metric, Pool, Poster, Sprite, Stream, StreamPlan,
    footprint_of_frames, footprint_of_stream, plan_stream,
};
use serde_json::{Map, Value, json};

use self::{
    manifests::{captions, captions_folder, check_files, list_files, write_manifests},
    outputs::EncodedOutput,
    stills::{StillRequests, Stills},
    stream_pipeline::StreamPipeline,
};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    packaging::Packaged,
    pipeline::{
        charge::{self, TaskCharge},
        context::TaskContext,
        progress::ProgressReporter,
        work::Work,
    },
    protocol::{ChildMessage, Report},
    quality::vmaf,
    verify::{self, ExpectedRendition},
};

/// Packages a video for streaming: one decode, all renditions, all manifests.
pub(crate) fn stream(request: &Stream, work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    (work.say)(ChildMessage::Facts(Box::new(
        crate::pipeline::context::primary_facts(&facts)?.clone(),
    )));
    let plan = resolve_plan(request, &context, &facts, work)?;
    let effort = Effort::of_stream(&plan, facts.first());
    let task = TaskCharge {
        charged: effort.charged,
        is_limit: false,
        bytes: effort.estimate(None).bytes,
        folders: folders(&plan),
        seek: 0,
    };
    let (permit, meter) = charge::begin(task, &facts, work)?;
    let context = context.permitted(permit, meter);
    let broken = |error: std::io::Error| MediaError::internal("the output folder", error);
    let root = work.output.parent().unwrap_or(Path::new("out")).to_owned();
    let key = if request.encrypted { Some(new_key(&root)?) } else { None };
    let reporter = ProgressReporter::new(work.say, plan.duration, 1);
    reporter.begin_pass(0, "encoding");
    let (poster, sprite) = (
        request.poster.as_ref().map(Poster::pictures),
        request.sprite.as_ref().map(Sprite::pictures),
    );
    let video = facts.first().and_then(MediaFacts::video).map(|(_, video)| video);
    let wanted = StillRequests { poster: poster.as_ref(), sprite: sprite.as_ref() };
    let stills = Stills::prepare(wanted, &plan, video, &root, &heartbeat);
    let pipeline =
        StreamPipeline { context: &context, facts: &facts, request, plan: &plan, root: &root, key };
    let outputs = pipeline.run(&stills, &reporter)?;
    let encoded = outputs.streams;
    let packaged: Vec<Packaged> = encoded.iter().map(|output| output.packaged.clone()).collect();
    reporter.stage("verifying");
    check_same_cuts(&packaged)?;
    verify_all(&encoded)?;
    for output in &encoded {
        fs::remove_file(&output.clear_copy).map_err(broken)?;
    }
    let captions = captions(&context, request, &plan)?;
    let mut files = list_files(&packaged);
    files.extend(outputs.stills);
    files.extend(write_manifests(&pipeline, &packaged, &captions).map_err(broken)?);
    check_files(&root, &files)?;
    reporter.report();
    Ok(Report {
        files,
        result: result(&plan, work, &encoded, outputs.metrics)?,
        frames: encoded.iter().map(|output| output.frames).max().unwrap_or(0),
        effort,
        plan: Some(JobPlan::Stream(Box::new(plan))),
    })
}

/// The folders of a plan's output files.
fn folders(plan: &StreamPlan) -> Vec<String> {
    let renditions = plan.renditions.iter().map(|rendition| rendition.name.clone());
    let audio = (0..plan.audio.len()).map(encoder_track::audio_folder);
    renditions.chain(audio).chain((0..plan.captions.len()).map(captions_folder)).collect()
}

/// Verifies all streams by reading them back, in parallel.
fn verify_all(outputs: &[EncodedOutput]) -> Result<(), MediaError> {
    thread::scope(|scope| {
        let checks = outputs.iter().map(|output| {
            let seconds = Duration::from_secs_f64(output.packaged.duration());
            let expected = ExpectedRendition {
                frames: output.frames,
                duration: u64::try_from(seconds.as_micros()).unwrap_or(u64::MAX),
                size: output.packaged.size(),
            };
            scope.spawn(move || verify::rendition(&output.clear_copy, &expected))
        });
        let checks: Vec<_> = checks.collect();
        let results = checks.into_iter().map(|check| {
            check.join().unwrap_or_else(|_| Err(MediaError::internal("a check", "panicked")))
        });
        results.collect()
    })
}

/// Resolves the plan of a request; without given renditions, the ladder depends on the complexity
/// of the video.
pub(crate) fn resolve_plan(
    request: &Stream,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
    work: &Work<'_>,
) -> Result<StreamPlan, MediaError> {
    let plan = |complexity| {
        plan_stream(request, Some(facts), complexity, work.capabilities).map_err(MediaError::from)
    };
    // An impossible request is rejected before any sample is encoded.
    let default_plan = plan(None)?;
    work.check_memory(footprint_of_frames(facts))?;
    let mut plan = match complexity::complexity(request, context, facts)? {
        Some(complexity) => plan(Some(complexity))?,
        None => default_plan,
    };
    work.check_memory(footprint_of_stream(&plan, facts))?;
    if let Some(hardware) = work.assignment.hardware.filter(|hardware| hardware.prefer != Pool::Cpu)
    {
        let reason = "segments begin at forced keyframes, which only the CPU encoders support";
        hardware.without(reason, &mut plan.notes)?;
    }
    Ok(plan)
}

/// The result of the job, in addition to its files.
fn result(
    plan: &StreamPlan,
    work: &Work<'_>,
    outputs: &[EncodedOutput],
    mut metrics: Map<String, Value>,
) -> Result<Option<Value>, MediaError> {
    let mut vmaf = Map::new();
    for output in outputs {
        if let Some(scores) = &output.scores {
            vmaf.insert(output.packaged.folder.clone(), vmaf::pooled(scores)?);
        }
    }
    if !vmaf.is_empty() {
        metrics.insert(Metric::Vmaf.as_str().to_owned(), Value::Object(vmaf));
    }
    let mut result = work.log_notes(&plan.notes);
    if !metrics.is_empty() {
        let result = result.get_or_insert_with(|| json!({}));
        if let Some(fields) = result.as_object_mut() {
            fields.insert("metrics".to_owned(), Value::Object(metrics));
        }
    }
    Ok(result)
}

/// Generates the encryption key of the stream, and stores it in its key file only.
fn new_key(root: &Path) -> Result<[u8; 16], MediaError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| MediaError::internal("a key", error))?;
    fs::write(root.join("key.bin"), key).map_err(|e| MediaError::internal("the key", e))?;
    Ok(key)
}

/// Checks that all renditions have the same segment boundaries, so that a player can switch between
/// them.
fn check_same_cuts(streams: &[Packaged]) -> Result<(), MediaError> {
    let mut cuts = streams.iter().filter(|stream| stream.is_video()).map(|stream| {
        stream.segments.iter().map(|segment| segment.duration.to_bits()).collect::<Vec<_>>()
    });
    let first = cuts.next();
    if cuts.all(|cut| Some(cut) == first) {
        return Ok(());
    }
    let code = ffapi_domain::job::FailureCode::VerificationFailed;
    Err(MediaError::new(code, "the segments of the renditions do not begin at the same frames"))
}
