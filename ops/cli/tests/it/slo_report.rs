//! The report on the objectives of a month, from a real Prometheus with recorded series.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    polling::until,
    stack::{ffapi, free_port, http},
};

/// 2026-09-16T00:00:00Z and 2026-10-01T00:00:00Z: the second half of a month.
const BEGIN: u64 = 1_789_516_800;
const END: u64 = 1_790_812_800;

/// A Prometheus on loopback that has series of `BEGIN` to `END`.
struct Prometheus {
    process: Child,
    url: String,
    _folder: TempDir,
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin").join(name)
}

/// A sample of each series every five minutes.
fn recorded(series: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in series {
        for time in (BEGIN..END).step_by(300) {
            writeln!(text, "{name} {value} {time}").unwrap();
        }
    }
    text + "# EOF\n"
}

impl Prometheus {
    async fn with(series: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, text) = (folder.path().join("data"), folder.path().join("series.txt"));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "").unwrap();
        std::fs::write(&text, recorded(series)).unwrap();
        let mut import = Command::new(tool("promtool"));
        import.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &data]);
        let imported = import.output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(tool("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://{address}");
        let ready = async || http().get(format!("{url}/-/ready")).send().await;
        until(ready, |answer| answer.as_ref().is_ok_and(|answer| answer.status().is_success()))
            .await
            .unwrap();
        Self { process, url, _folder: folder }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn report(url: &str, arguments: &[&str]) -> Output {
    let mut command = ffapi();
    command.args(["report", "slo", "--prometheus", url]).args(arguments).output().unwrap()
}

fn close(found: &Value, wanted: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - wanted).abs() <= wanted.abs() * 0.01)
}

#[tokio::test]
async fn the_report_shows_what_is_left_of_the_budgets_of_a_month() {
    let prometheus = Prometheus::with(&[
        ("ffapi:slo_budget:ratio{objective=\"availability\"}", "0.001"),
        ("ffapi:slo_budget:ratio{objective=\"latency_1s\"}", "0.01"),
        ("ffapi:http_requests:rate5m{objective=\"availability\"}", "4"),
        ("ffapi:http_requests:rate5m{objective=\"latency_1s\"}", "2"),
        ("ffapi:slo_errors:rate5m{objective=\"availability\"}", "0.001"),
        ("ffapi:slo_errors:rate5m{objective=\"latency_1s\"}", "0.04"),
        ("ffapi:http_request_duration_seconds:mean5m", "0.042"),
    ])
    .await;

    let answer = report(&prometheus.url, &["--month", "2026-09", "--json"]);
    assert!(answer.status.success(), "{answer:?}");
    let shown: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert!(close(&shown["measured_ratio"], 0.5), "{shown:#}");
    assert!(close(&shown["latency_mean_seconds"], 0.042), "{shown:#}");
    let seconds = 15.0 * 86_400.0;
    let [available, fast] = shown["objectives"].as_array().unwrap().as_slice() else {
        panic!("{shown:#}")
    };
    assert_eq!((&available["name"], &fast["name"]), (&"availability".into(), &"latency_1s".into()));
    assert!(close(&available["requests"], 4.0 * seconds), "{available:#}");
    assert!(close(&available["missed"], 0.001 * seconds), "{available:#}");
    assert!(close(&available["budget_left_ratio"], 0.75), "{available:#}");
    // Twice as many as may be were slow.
    assert!(close(&fast["budget_left_ratio"], -1.0), "{fast:#}");

    let answer = report(&prometheus.url, &["--month", "2026-09"]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.contains("measured 50.0 % of the time"), "{text}");
    assert!(text.contains("99.975 %") && text.contains("mean latency: 42 ms"), "{text}");
}

#[tokio::test]
async fn a_month_that_was_not_recorded_has_no_report() {
    let prometheus = Prometheus::with(&[]).await;
    let gone = format!("http://127.0.0.1:{}", free_port());
    for (url, month, reason) in [
        (&prometheus.url, "2026-09", "has recorded no objectives in 2026-09"),
        (&prometheus.url, "9998-01", "has not begun yet"),
        (&gone, "2026-09", "Prometheus does not respond"),
    ] {
        let answer = report(url, &["--month", month]);
        let text = String::from_utf8(answer.stderr).unwrap();
        assert!(!answer.status.success() && text.contains(reason), "{text}");
    }
}
