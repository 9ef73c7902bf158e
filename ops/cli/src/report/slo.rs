//! `ffapi report slo`: how well a month met its objectives, by the series that a Prometheus recorded
//! (docs/slo.md).

use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use ffapi_domain::{Month, Timestamp};
use serde::{Deserialize, Serialize};

use crate::arguments::SloReport;

/// The rules record every five minutes at least, and a query looks back as far for a sample.
const STEP: Duration = Duration::from_mins(5);
const QUERY_TIMEOUT: Duration = Duration::from_mins(2);

/// What a month was like.
#[derive(Debug, Serialize)]
struct Report {
    /// Like `2026-11`.
    month: String,
    /// The end of the month, or now.
    until: String,
    /// The part of the time until then in which the objectives were measured, 0 to 1.
    measured_ratio: f64,
    objectives: Vec<Objective>,
    /// The mean latency in seconds; none without requests.
    latency_mean_seconds: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Objective {
    /// As in the label `objective`.
    name: String,
    /// The part of requests that must meet it, 0 to 1.
    goal_ratio: f64,
    requests: f64,
    /// Requests that did not meet it.
    missed: f64,
    /// The part of requests that met it, 0 to 1; none without requests.
    met_ratio: Option<f64>,
    /// The part of the requests that may miss it and did not; negative for a missed objective.
    budget_left_ratio: Option<f64>,
}

impl Objective {
    fn new(name: String, budget: f64, requests: f64, missed: f64) -> Self {
        let missed_ratio = (requests > 0.0).then(|| missed / requests);
        Self {
            name,
            goal_ratio: 1.0 - budget,
            requests,
            missed,
            met_ratio: missed_ratio.map(|ratio| 1.0 - ratio),
            budget_left_ratio: missed_ratio.map(|ratio| 1.0 - ratio / budget),
        }
    }
}

/// An answer of `GET /api/v1/query`.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Data,
    #[serde(default)]
    error: String,
}

#[derive(Debug, Default, Deserialize)]
struct Data {
    result: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    /// The time, and the value as text.
    value: (f64, String),
}

/// A Prometheus, asked about the time up to an instant.
struct Prometheus {
    http: reqwest::Client,
    url: String,
    at: Timestamp,
}

impl Prometheus {
    /// The value of each objective; of a series without one, that of the empty name.
    async fn query(&self, query: &str) -> anyhow::Result<BTreeMap<String, f64>> {
        let time = self.at.to_string();
        let pairs = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("query", query), ("time", &time)])
            .finish();
        let url = format!("{}/api/v1/query?{pairs}", self.url.trim_end_matches('/'));
        let answer = self.http.get(url).send().await;
        let answer = answer.context("Prometheus does not respond")?;
        let status = answer.status();
        let answer: Answer = answer.json().await.with_context(|| {
            format!("{} is not a Prometheus: it answers {status} without JSON", self.url)
        })?;
        anyhow::ensure!(status.is_success(), "Prometheus answers {status}: {}", answer.error);
        let values = answer.data.result.into_iter().map(|Sample { mut metric, value }| {
            let objective = metric.remove("objective").unwrap_or_default();
            Ok((objective, value.1.parse().context("Prometheus answered no number")?))
        });
        values.collect()
    }
}

/// Prints the report on a month.
///
/// # Errors
/// If Prometheus cannot be asked, or recorded nothing in the month.
pub(crate) async fn print(asked: SloReport) -> anyhow::Result<()> {
    let report = report(&asked).await?;
    let mut out = std::io::stdout();
    if asked.json {
        serde_json::to_writer_pretty(&out, &report)?;
        writeln!(out)?;
    } else {
        write(&mut out, &report)?;
    }
    Ok(())
}

async fn report(asked: &SloReport) -> anyhow::Result<Report> {
    let now = Timestamp::from(SystemTime::now());
    let month = asked.month.unwrap_or_else(|| Month::of(now));
    let until = month.end().min(now);
    let elapsed = until.since(month.start());
    anyhow::ensure!(!elapsed.is_zero(), "{month} has not begun yet");
    let http = reqwest::Client::builder().timeout(QUERY_TIMEOUT).build()?;
    let prometheus = Prometheus { http, url: asked.prometheus.clone(), at: until };
    let (seconds, step) = (elapsed.as_secs().max(1), STEP.as_secs());
    // Of the whole time, also if the rules were evaluated more often for a part of it.
    let sum = |series: &str| format!("sum_over_time({series}[{seconds}s:{step}s]) * {step}");
    let budgets =
        prometheus.query(&format!("last_over_time(ffapi:slo_budget:ratio[{seconds}s])")).await?;
    anyhow::ensure!(
        !budgets.is_empty(),
        "Prometheus has recorded no objectives in {month}: are the rules of docs/slo.md loaded, and does its \
         retention reach back?"
    );
    let measured = format!(
        "count_over_time(ffapi:slo_budget:ratio{{objective=\"availability\"}}[{seconds}s:{step}s])"
    );
    let measured = prometheus.query(&measured).await?;
    let measured = measured.get("availability").copied().unwrap_or_default() * STEP.as_secs_f64();
    let requests = prometheus.query(&sum("ffapi:http_requests:rate5m")).await?;
    let missed = prometheus.query(&sum("ffapi:slo_errors:rate5m")).await?;
    let objectives = budgets.into_iter().map(|(objective, budget)| {
        let of = |values: &BTreeMap<String, f64>| values.get(&objective).copied();
        let (requests, missed) = (of(&requests), of(&missed));
        Objective::new(objective, budget, requests.unwrap_or(0.0), missed.unwrap_or(0.0))
    });
    let objectives = objectives.collect();
    // Weighted by requests.
    let timed = "ffapi:http_requests:rate5m{objective=\"latency_1s\"}";
    let mean = format!(
        "sum_over_time((ffapi:http_request_duration_seconds:mean5m * on () {timed} >= 0)[{seconds}s:{step}s]) \
         / on () sum_over_time({timed}[{seconds}s:{step}s])"
    );
    let mean = prometheus.query(&mean).await?;
    Ok(Report {
        month: month.to_string(),
        until: until.to_string(),
        measured_ratio: (measured / elapsed.as_secs_f64()).min(1.0),
        objectives,
        latency_mean_seconds: mean.into_values().next().filter(|mean| mean.is_finite()),
    })
}

fn write(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let percent = |ratio: Option<f64>, digits| {
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.digits$} %", ratio * 100.0))
    };
    writeln!(
        out,
        "objectives of {}, until {}, measured {} of the time",
        report.month,
        report.until,
        percent(Some(report.measured_ratio), 1),
    )?;
    writeln!(
        out,
        "{:<16} {:>9} {:>14} {:>12} {:>11} {:>13}",
        "objective", "goal", "requests", "missed", "met", "budget left"
    )?;
    for objective in &report.objectives {
        writeln!(
            out,
            "{:<16} {:>9} {:>14.0} {:>12.0} {:>11} {:>13}",
            objective.name,
            percent(Some(objective.goal_ratio), 1),
            objective.requests,
            objective.missed,
            percent(objective.met_ratio, 3),
            percent(objective.budget_left_ratio, 1),
        )?;
    }
    if let Some(mean) = report.latency_mean_seconds {
        writeln!(out, "mean latency: {:.0} ms (goal: below 100 ms)", mean * 1_000.0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(requests: f64, missed: f64) -> Objective {
        Objective::new("availability".to_owned(), 0.25, requests, missed)
    }

    #[test]
    fn an_objective_shows_what_is_left_of_its_budget() {
        let cases = [
            (100.0, 0.0, Some(1.0), Some(1.0)),
            (100.0, 12.5, Some(0.875), Some(0.5)),
            (100.0, 50.0, Some(0.5), Some(-1.0)),
            (0.0, 0.0, None, None),
        ];
        for (requests, missed, met, left) in cases {
            let shown = objective(requests, missed);
            assert_eq!((shown.met_ratio, shown.budget_left_ratio), (met, left), "{requests}");
        }
    }

    #[test]
    fn a_month_without_requests_has_no_ratios() {
        let report = Report {
            month: "2026-11".to_owned(),
            until: "2026-12-01T00:00:00.000Z".to_owned(),
            measured_ratio: 0.5,
            objectives: vec![objective(0.0, 0.0)],
            latency_mean_seconds: None,
        };
        let mut out = Vec::new();
        write(&mut out, &report).unwrap();
        let expected = "\
objectives of 2026-11, until 2026-12-01T00:00:00.000Z, measured 50.0 % of the time
objective             goal       requests       missed         met   budget left
availability        75.0 %              0            0           -             -
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
