//! The data about a job in the webhook of its terminal event: a handler needs no request to act on it.

use ffapi_domain::{
    Decider, JobId, Tenant, Timestamp,
    job::{
        EventMetadata, Job, JobEvent, JobUsage, JobView, OutputFile, PlaybackOutputs, output_path,
    },
};
use ffapi_nats::{Codec, CodecError, Decision, Log, PageLimits, subject};
use serde_json::{Map, Value, json};

use crate::ProjectionError;

/// Outputs that are listed.
const MAX_OUTPUTS: usize = 50;
/// What is read of a job's history at once.
const PAGE: PageLimits = PageLimits { messages: 1_000, bytes: 1024 * 1024 };

/// The job as it was after the message at `sequence`; none if a message cannot be read.
pub(super) async fn view(
    log: &Log,
    codec: &Codec,
    tenant: &Tenant,
    id: JobId,
    sequence: u64,
) -> Result<Option<JobView>, ProjectionError> {
    let subject = subject::aggregate(Job::CATEGORY, tenant, id);
    let (mut job, mut from) = (None, 1);
    loop {
        let page = log.page_within(&subject, from, PAGE).await?;
        for message in page.messages.iter().filter(|message| message.sequence <= sequence) {
            let decision: Decision<JobEvent> = match codec.read(message).await {
                Ok(decision) => decision,
                Err(CodecError::Unreadable(_)) => return Ok(None),
                Err(error) => return Err(ProjectionError::from_codec(message.sequence, error)),
            };
            let at = Timestamp::from_millis(decision.at);
            let trace_id = decision.trace_id();
            let meta = EventMetadata { id, tenant: tenant.clone(), at, trace_id };
            let events = decision.events.iter();
            job = events.fold(job, |job, event| JobView::apply(job, event, &meta));
        }
        match page.messages.last() {
            Some(last) if page.has_more && last.sequence < sequence => {
                from = last.sequence.saturating_add(1);
            }
            _ => return Ok(job),
        }
    }
}

/// Adds the job to the data of its terminal event.
pub(super) fn describe(kind: &str, job: &JobView, data: &mut Map<String, Value>) {
    let summary = &job.summary;
    data.insert("kind".to_owned(), json!(summary.kind));
    data.insert("batch_id".to_owned(), json!(summary.batch_id));
    data.insert("metadata".to_owned(), json!(summary.metadata));
    if kind != "job.completed" {
        return;
    }
    let path = format!("/api/v1/jobs/{}", summary.id);
    let bytes = job.outputs.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
    let duration = job.outputs.iter().filter_map(|file| file.duration).reduce(f64::max);
    data.insert("outputs".to_owned(), outputs(job));
    data.insert("outputs_total".to_owned(), json!(job.outputs.len()));
    data.insert("bytes".to_owned(), json!(bytes));
    data.insert("duration".to_owned(), json!(duration));
    data.insert("usage".to_owned(), json!(job.usage.as_ref().map(usage)));
    data.insert("links".to_owned(), json!({ "self": path, "outputs": format!("{path}/outputs") }));
    let PlaybackOutputs { playback, dash, poster, sprite, download } = job.playback();
    for (field, name) in [
        ("playback_url", playback),
        ("dash_url", dash),
        ("poster_url", poster),
        ("sprite_url", sprite),
        ("download_url", download),
    ] {
        if let Some(name) = name {
            data.insert(field.to_owned(), json!(output_path(summary.id, name)));
        }
    }
}

fn usage(usage: &JobUsage) -> Value {
    json!({
        "media_minutes": usage.media_minutes(),
        "processing_seconds": usage.seconds,
        "cpu_seconds": usage.cpu_seconds,
        "output_bytes": usage.bytes,
    })
}

/// The outputs that a handler starts from: of a stream its manifests, whose segments they name.
fn outputs(job: &JobView) -> Value {
    let is_manifest = |file: &&OutputFile| {
        let name = file.name.as_ref();
        let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
        matches!(extension, Some("m3u8" | "mpd")) && name.is_some_and(|name| !name.contains('/'))
    };
    let has_manifests = job.outputs.iter().any(|file| is_manifest(&file));
    let listed = job.outputs.iter().filter(|file| !has_manifests || is_manifest(file));
    let shown = listed.take(MAX_OUTPUTS).map(|file| {
        let stored = file.name.as_ref().filter(|_| !file.is_put());
        json!({
            "name": file.name,
            "size": file.size,
            "sha256": file.sha256,
            "duration": file.duration,
            "url": stored.map(|name| output_path(job.summary.id, name)),
        })
    });
    Value::Array(shown.collect())
}
