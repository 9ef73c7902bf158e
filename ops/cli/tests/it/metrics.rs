//! What a service that has worked shows under `/metrics` is what docs/metrics.md says, in both
//! directions.

mod exposition;
mod faults;
mod reads;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use reqwest::{StatusCode, header};

use self::exposition::{Family, families};
use crate::{
    fleet::Fleet,
    polling::until,
    receiver::{Got, Receiver},
    stack::{Stack, ffapi, free_port, http},
};

/// Names of the semantic conventions that promtool objects to: it takes any `_count` for a part of a
/// histogram.
const ALLOWED_COMPLAINTS: [&str; 1] = ["db_client_connection_count"];

/// The public part of a key of age whose private part nobody has.
const RECIPIENT: &str = "age1k45l8vwh3g8fxrf7ch2tueukc425y7vynvm63c066m5tw07r9feq9m0pya";

struct Scraped {
    url: String,
}

impl Scraped {
    async fn text(&self, accept: &str) -> (String, String) {
        let answer = http().get(&self.url).header(header::ACCEPT, accept).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let format = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (format, answer.text().await.unwrap())
    }

    async fn families(&self) -> BTreeMap<String, Family> {
        families(&self.text("text/plain").await.1)
    }

    /// The value of the series of a family that has these labels; 0 if there is none.
    async fn value(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.families().await;
        families.get(family).map_or(0.0, |family| family.value(labels))
    }
}

/// A service whose metrics are shown on a port of their own.
async fn stack(settings: &[(&str, &str)]) -> (Stack, Scraped) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut all = vec![("FFAPI_METRICS__LISTEN", address.as_str())];
    all.extend(settings);
    let stack = Stack::with(&all).await;
    (stack, Scraped { url: format!("http://{address}/metrics") })
}

/// A row of the tables in docs/metrics.md.
struct Documented {
    name: String,
    /// The row without its last cell.
    row: String,
    /// The roles of which a process shows it.
    roles: String,
}

fn documented() -> Vec<Documented> {
    let text = include_str!("../../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let documented = rows.map(|line| {
        let (row, roles) = line.trim_end_matches(" |").rsplit_once("| ").unwrap();
        let name = row.split('`').nth(1).unwrap().to_owned();
        Documented { name, row: format!("{row}|"), roles: roles.to_owned() }
    });
    documented.collect()
}

/// What a table says of a family, but the roles.
fn row(name: &str, family: &Family) -> String {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let base = name.strip_suffix("_total").unwrap_or(name);
    let units = ["seconds", "bytes", "ratio"];
    let unit = units.into_iter().find(|unit| base.ends_with(&format!("_{unit}"))).unwrap_or("");
    format!("| `{name}` | {} | {unit} | {} | {} |", family.kind, labels.join(", "), family.help)
}

/// True for what the work of the test could have left in a label: a tenant, an id, a name, a host.
fn is_of_a_tenant(value: &str) -> bool {
    let mut words = value.split(|c: char| !c.is_ascii_hexdigit());
    words.any(|word| word.len() >= 12)
        || ["default", work::OTHER_TENANT].contains(&value)
        || [".mp4", "127.0.0.1", "localhost"].iter().any(|part| value.contains(part))
}

fn promtool_accepts(text: &str) {
    let mut promtool =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/bin/promtool"))
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let allowed = |line: &&str| ALLOWED_COMPLAINTS.iter().any(|name| line.starts_with(name));
    let complaints: Vec<&str> = complaints.lines().filter(|line| !allowed(line)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn metrics_of_a_service_that_has_worked_are_those_of_the_document() {
    let backups = tempfile::tempdir().unwrap();
    let store = backups.path().display().to_string();
    let settings = [
        ("FFAPI_BACKUP__STORE", store.as_str()),
        ("FFAPI_BACKUP__RECIPIENTS", RECIPIENT),
        ("FFAPI_EGRESS__ALLOW", "127.0.0.1/32"),
        ("FFAPI_WEBHOOKS__SCHEDULE", "[1,1,1]"),
        ("FFAPI_TIERS__FREE__REQUESTS_PER_HOUR", "3"),
    ];
    let (stack, metrics) = stack(&settings).await;
    work::of_every_kind(&stack, &metrics).await;
    let shown = metrics.families().await;
    let shown_rows: Vec<String> = shown.iter().map(|(name, family)| row(name, family)).collect();
    let documented_rows: Vec<String> = documented().into_iter().map(|of| of.row).collect();
    let missing = |from: &[String], of: &[String]| -> Vec<String> {
        of.iter().filter(|row| !from.contains(row)).cloned().collect()
    };
    let (undocumented, gone) =
        (missing(&documented_rows, &shown_rows), missing(&shown_rows, &documented_rows));
    assert!(
        undocumented.is_empty() && gone.is_empty(),
        "not in docs/metrics.md:\n{}\nonly there:\n{}",
        undocumented.join("\n"),
        gone.join("\n")
    );
    assert!(shown.len() >= 60, "{}", shown.len());
    promtool_accepts(&metrics.text("text/plain").await.1);
    let process = ["target_info"];
    let families = shown.iter().filter(|(name, _)| !process.contains(&name.as_str()));
    let samples = families.flat_map(|(_, family)| &family.samples);
    for (name, value) in samples.flat_map(|(labels, _)| labels) {
        assert!(!is_of_a_tenant(value), "{name} is {value}");
    }
    let series = shown.values().map(|family| family.samples.len()).sum::<usize>();
    assert!(series < 8_000, "{series} series");
}

#[tokio::test]
async fn the_format_is_the_one_that_the_client_accepts() {
    let (_stack, metrics) = stack(&[]).await;
    let (format, text) = metrics.text("text/plain;version=0.0.4").await;
    assert!(format.starts_with("text/plain; version=0.0.4"), "{format}");
    assert!(text.contains("# TYPE process_cpu_seconds_total counter"), "{text}");
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let (format, text) = metrics.text(prometheus).await;
    assert_eq!(format, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("# TYPE process_cpu_seconds counter"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("service_name=\"ffapi\""), "{text}");
    for (path, status) in [("/", StatusCode::NOT_FOUND), ("/metrics", StatusCode::OK)] {
        let url = metrics.url.replace("/metrics", path);
        assert_eq!(http().get(url).send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_configured_address_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let data = ffapi_embedded::temporary_folder().unwrap();
    let up = |variables: &[(&str, String)]| {
        let mut command = ffapi();
        command.env_remove("FFAPI_METRICS__LISTEN").envs(variables.iter().cloned());
        command.args(["up", "--data-dir"]).arg(data.path()).output().unwrap()
    };
    let port = address.port().to_string();
    for variables in [
        [("FFAPI_METRICS__LISTEN", address.to_string())],
        [("OTEL_EXPORTER_PROMETHEUS_PORT", port)],
    ] {
        let output = up(&variables);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{error}");
        assert!(error.contains(&format!("cannot listen on {address} for metrics")), "{error}");
    }
}

#[tokio::test]
async fn each_role_shows_what_the_document_says_of_it() {
    let mut fleet = Fleet::of(&[]).await;
    let (documented, mut shown) = (documented(), BTreeSet::new());
    // With the last family that each shows after its start.
    for (role, last) in [
        ("projector", "ffapi_dead_letters"),
        ("conductor", "ffapi_queue_jobs"),
        ("worker", "ffapi_worker_slots"),
        ("gateway", "ffapi_cache_entries"),
    ] {
        let address = format!("127.0.0.1:{}", free_port());
        fleet.start_with(role, &[("FFAPI_METRICS__LISTEN", &address)]);
        let metrics = Scraped { url: format!("http://{address}/metrics") };
        let service = format!("ffapi-{role}");
        let started = async || {
            let answer = http().get(&metrics.url).send().await.ok()?;
            let families = families(&answer.text().await.ok()?);
            families.contains_key(last).then_some(families)
        };
        let families = until(started, Option::is_some).await.unwrap();
        assert!(families["target_info"].value(&[("service_name", &service)]) > 0.0);
        for name in families.keys() {
            let of = documented.iter().find(|of| of.name == *name).unwrap();
            let belongs = of.roles == "every" || of.roles.split(", ").any(|known| known == role);
            assert!(belongs, "{role} shows {name}, which is of {}", of.roles);
        }
        for of in documented.iter().filter(|of| families.contains_key(&of.name)) {
            shown.insert(of.name.clone());
        }
    }
    assert!(shown.len() >= 40, "{shown:#?}");
}

#[tokio::test]
async fn metrics_are_pushed_by_otlp() {
    let receiver = Receiver::new().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=media"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
        ("OTEL_SERVICE_NAME", "transcoding"),
    ];
    let _stack = Stack::with(&settings).await;
    let has = |got: &Got, text: &str| got.body.contains(text);
    let got =
        receiver.until("/v1/metrics", |got| got.iter().any(|got| has(got, "ffapi.queue.jobs")));
    let got = got.await.pop().unwrap();
    assert_eq!(got.headers["content-type"], "application/x-protobuf");
    assert_eq!(got.headers["x-tenant"], "media");
    for text in ["service.name", "transcoding", "ffapi.projection.lag", "process.cpu"] {
        assert!(has(&got, text), "{text}");
    }
}

#[tokio::test]
async fn jobs_that_wait_for_a_pool_without_workers_are_shown() {
    let mut fleet = Fleet::of(&[]).await;
    let address = format!("127.0.0.1:{}", free_port());
    fleet.start("projector");
    fleet.start_with("conductor", &[("FFAPI_METRICS__LISTEN", &address)]);
    // A gateway that knows a worker rejects hardware that none has.
    fleet.start("gateway");
    let ready = |status, _: &serde_json::Value| status == StatusCode::OK;
    fleet.until(&fleet.urls[0], "/health/ready", ready).await;
    let body = serde_json::json!({
        "input": "a.mp4", "output": "b.mp4", "operations": [{ "type": "transcode" }],
        "hardware": { "prefer": "nvenc", "fallback": "fail" },
    });
    let answer = fleet.post("/convert", body.to_string().into(), "").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
    let metrics = Scraped { url: format!("http://{address}/metrics") };
    let waiting = [("pool", "nvenc"), ("priority", "normal"), ("reason", "no_worker")];
    until(async || metrics.value("ffapi_queue_jobs", &waiting).await, |jobs| *jobs >= 1.0).await;
    let age = async || metrics.value("ffapi_queue_oldest_age_seconds", &[("pool", "nvenc")]).await;
    until(age, |age| *age > 1.0).await;
    assert!(metrics.value("ffapi_fleet_slots", &[("pool", "nvenc")]).await < 1.0);
}

#[tokio::test]
async fn eventually_consistent_reads_ask_the_log_nothing() {
    for (consistency, asks) in [("read-your-writes", true), ("eventual", false)] {
        let (stack, metrics) = stack(&[("FFAPI_GATEWAY__CONSISTENCY", consistency)]).await;
        let job = stack.post("/probe", &serde_json::json!({ "input": "none.mp4" })).await;
        let job = job.text("/job/id").to_owned();
        assert_eq!(stack.finished(&job).await.text("/status"), "failed");
        stack.list_has("/jobs?status=failed", 1).await;
        let name = "ffapi_read_wait_duration_seconds_count";
        let text = metrics.text("text/plain").await.1;
        let counts = text.lines().filter(|line| line.starts_with(name));
        let asked: f64 =
            counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
        assert_eq!(asked > 0.0, asks, "{consistency}: {asked}");
    }
}
