//! What happens to a job is one trace, whichever processes take part.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    collector::{Collector, Protocol, Span},
    fleet::Fleet,
    polling,
    receiver::Receiver,
    stack::{Stack, ffapi, free_port, http, quick},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Everything that a job causes, by the name of the span.
const EXPECTED: [&str; 15] = [
    "POST /api/v1/convert",
    "command job",
    "publish ev.{aggregate}.{tenant}.{id}",
    "publish work.{pool}.{tenant}.{job}.{attempt}",
    "process work.{pool}.{tenant}.{job}.{attempt}",
    "ack work.{pool}.{tenant}.{job}.{attempt}",
    "media",
    "probing",
    "encoding",
    "verifying",
    "storage stage",
    "deliver outputs",
    "storage publish",
    "deliver webhook",
    "POST",
];

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// True once every expected span has arrived, and the webhook of the job's end as the last of them.
fn is_whole(spans: &[Span]) -> bool {
    let has = |name: &str| !named(spans, name).is_empty();
    EXPECTED.iter().all(|name| has(name)) && !named(spans, "deliver webhook").is_empty()
}

/// Checks that every span of a trace has its parent in it, and that links lead to known spans.
fn is_connected(trace: &[Span], all: &[Span]) {
    let ids: BTreeSet<&str> = trace.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), trace.len(), "a span was pushed twice");
    for span in trace {
        let parent = span.parent.as_str();
        assert!(parent == CALLER || ids.contains(parent), "{span:#?} has no parent");
        for (trace, id) in &span.links {
            let known = all.iter().any(|span| span.trace == *trace && span.id == *id);
            assert!(known, "{span:#?} is linked to an unknown span");
        }
    }
    for consumer in ["process work.{pool}.{tenant}.{job}.{attempt}", "deliver webhook"] {
        for span in named(trace, consumer) {
            let link = (span.trace.clone(), span.parent.clone());
            assert!(span.links.contains(&link), "{span:#?} is not linked to its cause");
        }
    }
    for span in named(trace, "publish work.{pool}.{tenant}.{job}.{attempt}") {
        let round = all.iter().find(|round| {
            round.name == "dispatch" && {
                span.links.contains(&(round.trace.clone(), round.id.clone()))
            }
        });
        assert!(round.is_some(), "{span:#?} is not linked to the round that released it");
    }
}

/// Checks that a job waited, and that no span was open all that time.
fn none_lasts_while_it_waits(trace: &[Span]) {
    let accepted = named(trace, "POST /api/v1/convert")[0].end;
    let begun = named(trace, "process work.{pool}.{tenant}.{job}.{attempt}")[0].start;
    assert!(begun > accepted + 1_000_000_000, "it did not wait");
    for span in trace {
        assert!(span.start > accepted || span.end < begun, "{span:#?} was open all that time");
    }
}

/// Histograms whose buckets lead to the trace of a job.
const WITH_EXEMPLARS: [&str; 3] = [
    "http_server_request_duration_seconds",
    "ffapi_attempt_duration_seconds",
    "ffapi_webhook_attempt_duration_seconds",
];

/// Waits until a bucket of a histogram has an exemplar of this trace.
async fn has_exemplar(listener: &str, family: &str, trace: &str) {
    let ask = async || {
        let request = http().get(format!("http://{listener}/metrics"));
        let request = request.header("accept", "application/openmetrics-text; version=1.0.0");
        request.send().await.unwrap().text().await.unwrap()
    };
    let bucket = format!("{family}_bucket{{");
    let exemplar = format!(" # {{trace_id=\"{trace}\",span_id=\"");
    // The text is long: a failure would print all of it.
    let is_shown = async || {
        let text = ask().await;
        text.lines().any(|line| line.starts_with(&bucket) && line.contains(&exemplar))
    };
    polling::until(is_shown, |shown| *shown).await;
}

/// A conversion that waits for some seconds, and calls back.
fn body(input: &str, hook: &str) -> Value {
    let at = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let at = time_text(at);
    json!({
        "input": input, "output": "holiday.mp4", "operations": quick(), "not_before": at,
        "webhook_url": hook, "webhook_events": ["job.completed"],
    })
}

fn time_text(at: std::time::SystemTime) -> String {
    let millis = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    ffapi_domain::Timestamp::from_millis(u64::try_from(millis).unwrap()).to_string()
}

#[tokio::test]
async fn a_job_continues_the_trace_of_its_caller_until_its_webhook() {
    let (collector, receiver) = (Collector::new(Protocol::Http).await, Receiver::new().await);
    let metrics = format!("127.0.0.1:{}", free_port());
    let stack = Stack::with(&[
        ("FFAPI_METRICS__LISTEN", &metrics),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=media"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
    ])
    .await;
    let input = stack.upload_bunny().await;
    let request = stack
        .request(Method::POST, "/convert")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&body(&input, &format!("{}/hook", receiver.url)));
    let submitted = stack.send(request).await;
    assert_eq!(submitted.status, reqwest::StatusCode::CREATED, "{submitted:#?}");
    let job = submitted.text("/job/id");
    assert_eq!(stack.finished(job).await.text("/trace_id"), TRACE);
    let trace = collector.trace(TRACE, is_whole).await;
    is_connected(&trace, &collector.all());
    none_lasts_while_it_waits(&trace);
    assert_eq!(collector.headers.lock().unwrap()["x-tenant"], "media");
    let attempt = named(&trace, "process work.{pool}.{tenant}.{job}.{attempt}")[0];
    assert_eq!(attempt.attributes["job"], job);
    for family in WITH_EXEMPLARS {
        has_exemplar(&metrics, family, TRACE).await;
    }
    let got = receiver.until("/hook", |got| !got.is_empty()).await;
    let sent = got[0].headers["traceparent"].to_str().unwrap();
    let delivery = named(&trace, "deliver webhook")[0];
    assert_eq!(sent, format!("00-{TRACE}-{}-01", delivery.id));
    let is_linked = |span: &Span| {
        trace.iter().any(|cause| span.links.contains(&(cause.trace.clone(), cause.id.clone())))
    };
    let is_batch = |span: &Span| {
        let consumer = span.attributes.get("messaging.consumer.group.name");
        span.name == "process EVENTS" && consumer.is_some_and(|name| name == "job_detail")
    };
    let batches = polling::until(
        async || collector.all(),
        |spans| spans.iter().any(|span| is_batch(span) && is_linked(span)),
    );
    assert!(batches.await.iter().filter(|span| is_batch(span)).all(|span| span.parent.is_empty()));
    // A collector's readers need not be allowed to read the job.
    for span in collector.all() {
        let text = format!("{span:?}");
        let private = ["holiday", "/hook", "127.0.0.1"].iter().find(|part| text.contains(**part));
        assert_eq!(private, None, "{text}");
    }
}

#[tokio::test]
async fn a_job_is_one_trace_over_all_processes_of_a_fleet() {
    let (collector, receiver) = (Collector::new(Protocol::Grpc).await, Receiver::new().await);
    let mut fleet = Fleet::of(&[]).await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
    ];
    for role in ["projector", "conductor", "worker", "gateway", "gateway"] {
        fleet.start_with(role, &settings);
    }
    for url in &fleet.urls {
        fleet.until(url, "/health/ready", |status, _| status.is_success()).await;
    }
    let input = fleet.upload().await;
    let body = body(&input, &format!("{}/hook", receiver.url)).to_string();
    let submitted = fleet.post("/convert", body.into(), "").await;
    let job = fleet.completed(submitted.text("/job/id")).await;
    let id = job["trace_id"].as_str().unwrap();
    let mut trace = collector.trace(id, is_whole).await;
    // Its root has no parent.
    let root = trace.iter_mut().find(|span| span.parent.is_empty()).unwrap();
    assert_eq!(root.name, "POST /api/v1/convert");
    CALLER.clone_into(&mut root.parent);
    is_connected(&trace, &collector.all());
    none_lasts_while_it_waits(&trace);
    let services: BTreeSet<&str> = trace.iter().map(|span| span.service.as_str()).collect();
    let expected = ["ffapi-conductor", "ffapi-gateway", "ffapi-worker"];
    assert_eq!(services, BTreeSet::from(expected));
}

#[tokio::test]
async fn without_an_exporter_a_job_and_its_webhook_have_one_trace_id() {
    let receiver = Receiver::new().await;
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    let input = stack.upload_bunny().await;
    let submitted = stack.post("/convert", &body(&input, &format!("{}/hook", receiver.url))).await;
    let job = stack.finished(submitted.text("/job/id")).await;
    assert_eq!(job.text("/trace_id").len(), 32, "{job:#?}");
    let got = receiver.until("/hook", |got| !got.is_empty()).await;
    let sent = got[0].headers["traceparent"].to_str().unwrap();
    let (trace, flags) = (sent.split('-').nth(1).unwrap(), sent.split('-').nth(3).unwrap());
    assert_eq!((trace, flags), (job.text("/trace_id"), "00"));
}

#[test]
fn variables_that_would_be_ignored_are_rejected() {
    for (name, value) in [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ] {
        let data = ffapi_embedded::temporary_folder().unwrap();
        let output = ffapi()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .env(name, value)
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(value), "{name}: {error}");
    }
}
