mod complexity;
mod ladder;
mod manifests;
mod shared_filters;
mod stills;
mod stream_pipeline;

use std::{fs, path::Path, thread};

use ffapi_domain::media::{
    Effort, MediaFacts, Metric, Pool, Poster, Sprite, Stream, StreamPlan, footprint_of_frames,
    footprint_of_stream, plan_stream,
};
use serde_json::{Map, Value, json};

use self::{
    manifests::{captions, captions_folder, check_files, listed, write_manifests},
    stills::Stills,
    stream_pipeline::{EncodedOutput, StreamPipeline},
};
use super::{
    TaskContext, Work,
    charge::{self, Due},
    package::Packaged,
    progress::ProgressReporter,
    quality,
};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    protocol::{ChildMessage, Report},
    verify,
};

/// Makes a film ready for streaming: one decode, every rendition, every manifest.
pub(super) fn stream(request: &Stream, work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    (work.say)(ChildMessage::Facts(Box::new(super::own(&facts)?.clone())));
    let plan = planned(request, &context, &facts, work)?;
    (work.say)(ChildMessage::PlannedStream(Box::new(plan.clone())));
    let effort = Effort::of_stream(&plan, facts.first());
    let due = Due { charged: effort.charged, folders: folders(&plan), seek: 0 };
    let (permit, meter) = charge::begin(due, &facts, work)?;
    let context = context.permitted(permit, meter);
    let broken = |error: std::io::Error| MediaError::internal("the output folder", error);
    let root = work.output.parent().unwrap_or(Path::new("out")).to_owned();
    let key = if request.encrypted { Some(new_key(&root)?) } else { None };
    let reporter = ProgressReporter::new(work.say, plan.duration, 1);
    reporter.begin(0, "encoding");
    let (poster, sprite) = (
        request.poster.as_ref().map(Poster::pictures),
        request.sprite.as_ref().map(Sprite::pictures),
    );
    let video = facts.first().and_then(MediaFacts::video).map(|(_, video)| video);
    let wanted = (poster.as_ref(), sprite.as_ref());
    let stills = Stills::prepare(wanted, &plan, video, &root, &heartbeat);
    let press =
        StreamPipeline { context: &context, facts: &facts, request, plan: &plan, root: &root, key };
    let pressed = press.run(&stills, &reporter)?;
    let made = pressed.streams;
    let packaged: Vec<Packaged> = made.iter().map(|made| made.packaged.clone()).collect();
    reporter.stage("verifying");
    check_same_cuts(&packaged)?;
    verify_all(&made, plan.duration)?;
    for made in &made {
        fs::remove_file(&made.whole).map_err(broken)?;
    }
    let captions = captions(&context, request, &plan)?;
    let mut files = listed(&packaged, request.segments);
    files.extend(pressed.stills);
    files.extend(write_manifests(&press, &packaged, &captions).map_err(broken)?);
    check_files(&root, &files)?;
    reporter.tell();
    Ok(Report {
        files,
        result: result(&plan, work, &made, pressed.found)?,
        frames: made.iter().map(|made| made.frames).max().unwrap_or(0),
        effort,
    })
}

/// The folders that a plan's files stand in.
fn folders(plan: &StreamPlan) -> Vec<String> {
    let renditions = plan.renditions.iter().map(|rendition| rendition.name.clone());
    let audio = (0..plan.audio.len()).map(stream_pipeline::audio_folder);
    renditions.chain(audio).chain((0..plan.captions.len()).map(captions_folder)).collect()
}

/// Reads every stream back, all at once: each has something to wait for.
fn verify_all(all: &[EncodedOutput], duration: Option<u64>) -> Result<(), MediaError> {
    thread::scope(|scope| {
        let checks = all.iter().map(|made| {
            let picture = made.packaged.size();
            scope.spawn(move || verify::rendition(&made.whole, made.frames, duration, picture))
        });
        let checks: Vec<_> = checks.collect();
        let ended = checks.into_iter().map(|check| {
            check.join().unwrap_or_else(|_| Err(MediaError::internal("a check", "panicked")))
        });
        ended.collect()
    })
}

/// What will be done, with a ladder by what the film takes where it is ours to choose.
pub(super) fn planned(
    request: &Stream,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
    work: &Work<'_>,
) -> Result<StreamPlan, MediaError> {
    let plan = |complexity| {
        plan_stream(request, Some(facts), complexity, work.capabilities).map_err(super::refused)
    };
    // What cannot be done is refused before anything is tried.
    let plan_without = plan(None)?;
    work.holds(footprint_of_frames(facts))?;
    let mut plan = match complexity::complexity(request, context, facts)? {
        Some(complexity) => plan(Some(complexity))?,
        None => plan_without,
    };
    work.holds(footprint_of_stream(&plan, facts))?;
    if let Some(wish) = work.place.hardware.filter(|wish| wish.prefer != Pool::Cpu) {
        let why = "segments begin at keyframes of our choice, which the processor's encoders make";
        wish.without(why, &mut plan.notes).map_err(super::refused)?;
    }
    Ok(plan)
}

/// What the job answers beside its files.
fn result(
    plan: &StreamPlan,
    work: &Work<'_>,
    made: &[EncodedOutput],
    mut found: Map<String, Value>,
) -> Result<Option<Value>, MediaError> {
    let mut judged = Map::new();
    for made in made {
        if let Some(scores) = &made.scores {
            judged.insert(made.packaged.folder.clone(), quality::pooled(scores)?);
        }
    }
    if !judged.is_empty() {
        found.insert(Metric::Vmaf.as_str().to_owned(), Value::Object(judged));
    }
    let mut result = super::noted(&plan.notes, work.say);
    if !found.is_empty() {
        let result = result.get_or_insert_with(|| json!({}));
        if let Some(fields) = result.as_object_mut() {
            fields.insert("metrics".to_owned(), Value::Object(found));
        }
    }
    Ok(result)
}

/// A key of the stream's own; it is in its file, and nowhere else.
fn new_key(root: &Path) -> Result<[u8; 16], MediaError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| MediaError::internal("a key", error))?;
    fs::write(root.join("key.bin"), key).map_err(|e| MediaError::internal("the key", e))?;
    Ok(key)
}

/// Renditions that a player can switch between have the same cuts.
fn check_same_cuts(streams: &[Packaged]) -> Result<(), MediaError> {
    let mut cuts = streams.iter().filter(|stream| stream.is_video()).map(|stream| {
        stream.segments.iter().map(|segment| segment.duration.to_bits()).collect::<Vec<_>>()
    });
    let first = cuts.next();
    if cuts.all(|cut| Some(cut) == first) {
        return Ok(());
    }
    let code = ffapi_domain::job::FailureCode::VerificationFailed;
    Err(MediaError::new(code, "the renditions are not cut at the same pictures"))
}
