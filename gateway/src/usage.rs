//! What an account's jobs were charged and made.

use std::{fmt::Write as _, sync::Arc};

use ffapi_domain::{Timestamp, key::Scope, quota};
use ffapi_projections::{
    JobList, Usage,
    usage::{self, UsageGroup, UsageQuery, UsageRow},
};
use poem::{Response, Result, http::header, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Query},
};
use serde_json::{Map, Value, json};

use crate::{
    auth::{Auth, Principal},
    prices::{Cost, PriceTable, Priced},
    problem::Problem,
    reply::Raw,
    state::Gateway,
    tenant_slots,
};

pub(crate) struct UsageApi;

/// Maximum number of groups in a response, and of what they are grouped by.
const MAX_GROUPS: u32 = 10_000;
const MAX_KEYS: usize = 4;

#[OpenApi(prefix_path = "/api/v1")]
impl UsageApi {
    /// Sum what jobs were charged and made
    ///
    /// Numbers of jobs, charged media minutes, seconds of work and of CPU time, bytes of outputs, and the
    /// cost if the service has a price table, as JSON, or as CSV with `Accept: text/csv`.
    #[oai(path = "/usage", method = "get", operation_id = "getUsage")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn usage(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        /// Up to four of `day`, `month`, `kind`, `codec`, `status` and `label.<name>`, separated by commas;
        /// `month` if absent.
        group_by: Query<Option<String>>,
        /// The first day, like `2026-11-01`.
        from: Query<Option<String>>,
        /// The day after the last one.
        to: Query<Option<String>>,
        min_position: Query<Option<String>>,
        #[oai(name = "Accept")] accept: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require(Scope::JobsRead)?;
        let names = group_by.0.as_deref().unwrap_or("month");
        let prices = gateway.prices.as_ref();
        let mut group_by = groups(names)?;
        if prices.is_some() {
            // Its price depends on it.
            group_by.push(UsageGroup::Kind);
        }
        let query = UsageQuery { group_by, from: day("from", from.0)?, to: day("to", to.0)? };
        let rows = sums(&gateway, principal, &query, min_position.0.as_deref()).await?;
        let groups = match prices {
            Some(prices) => priced(prices, rows),
            None => rows.into_iter().map(UsageGroupSum::from).collect(),
        };
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let is_csv = accept.0.is_some_and(|accept| accept.contains("text/csv"));
        let (kind, body) = if is_csv {
            ("text/csv; charset=utf-8", csv(&names, &groups))
        } else {
            ("application/json", in_json(&names, &groups).to_string())
        };
        Ok(Raw(Response::builder().header(header::CONTENT_TYPE, kind).body(body)))
    }
}

fn malformed(field: &str, detail: impl Into<String>) -> Problem {
    Problem::parameter(field, detail)
}

fn groups(text: &str) -> Result<Vec<UsageGroup>, Problem> {
    let group = |name: &str| match name.trim() {
        "day" => Some(UsageGroup::Day),
        "month" => Some(UsageGroup::Month),
        "kind" => Some(UsageGroup::Kind),
        "codec" => Some(UsageGroup::Codec),
        "status" => Some(UsageGroup::Status),
        name => name.strip_prefix("label.").map(|label| UsageGroup::Label(label.to_owned())),
    };
    let groups: Option<Vec<UsageGroup>> = text.split(',').map(group).collect();
    groups.filter(|groups| groups.len() <= MAX_KEYS).ok_or_else(|| {
        let detail = format!(
            "up to {MAX_KEYS} of day, month, kind, codec, status and label.<name>, separated by commas"
        );
        malformed("group_by", detail)
    })
}

fn day(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let is_day = |text: &String| format!("{text}T00:00:00Z").parse::<Timestamp>().is_ok();
    match text {
        Some(text) if !is_day(&text) => Err(malformed(field, "a day looks like 2026-11-29")),
        text => Ok(text),
    }
}

async fn sums(
    gateway: &Gateway,
    principal: &Principal,
    query: &UsageQuery,
    min_position: Option<&str>,
) -> Result<Vec<UsageRow>, Problem> {
    let tenant = &principal.tenant;
    gateway.reads.catch_up::<Usage>(tenant, min_position).await?;
    if query.group_by.iter().any(|group| matches!(group, UsageGroup::Label(_))) {
        gateway.reads.catch_up::<JobList>(tenant, min_position).await?;
    }
    let _slot = tenant_slots::of_list(tenant).await?;
    let more = MAX_GROUPS.saturating_add(1);
    let rows = usage::sums(&gateway.database, tenant, query, more).await?;
    if rows.len() > usize::try_from(MAX_GROUPS).unwrap_or(usize::MAX) {
        let detail = format!("that would be over {MAX_GROUPS} groups; choose fewer days or keys");
        return Err(malformed("group_by", detail));
    }
    Ok(rows)
}

/// The sums of one group, and their cost.
#[derive(Debug)]
struct UsageGroupSum {
    row: UsageRow,
    cost: Option<Cost>,
}

impl From<UsageRow> for UsageGroupSum {
    fn from(row: UsageRow) -> Self {
        Self { row, cost: None }
    }
}

/// Prices rows, of which the kind is the last key, and sums those whose other keys are the same.
fn priced(prices: &PriceTable, rows: Vec<UsageRow>) -> Vec<UsageGroupSum> {
    let mut sums: Vec<(UsageRow, f64)> = Vec::new();
    for mut row in rows {
        let kind = row.keys.pop().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "far from what a float cannot count")]
        let amount = prices.amount(Priced {
            kind: &kind,
            jobs: row.completed as f64,
            media_minutes: exact_minutes(row.micros),
            cpu_seconds: row.cpu_seconds,
            output_bytes: row.bytes as f64,
        });
        match sums.last_mut().filter(|(sum, _)| sum.keys == row.keys) {
            Some((sum, total)) => {
                sum.add(&row);
                *total += amount;
            }
            None => sums.push((row, amount)),
        }
    }
    let shown = sums.into_iter();
    shown.map(|(row, amount)| UsageGroupSum { row, cost: Some(prices.cost(amount)) }).collect()
}

fn exact_minutes(micros: i64) -> f64 {
    quota::minutes(u64::try_from(micros).unwrap_or(0))
}

/// Media minutes, to a thousandth.
fn minutes(micros: i64) -> f64 {
    (exact_minutes(micros) * 1_000.0).round() / 1_000.0
}

fn seconds(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

fn in_json(names: &[&str], groups: &[UsageGroupSum]) -> Value {
    let shown = |UsageGroupSum { row, cost }: &UsageGroupSum| {
        let keys = names.iter().zip(&row.keys);
        let mut fields: Map<String, Value> =
            keys.map(|(name, key)| ((*name).to_owned(), key.as_str().into())).collect();
        fields.insert("jobs".to_owned(), row.jobs.into());
        fields.insert("media_minutes".to_owned(), minutes(row.micros).into());
        fields.insert("processing_seconds".to_owned(), seconds(row.seconds).into());
        fields.insert("cpu_seconds".to_owned(), seconds(row.cpu_seconds).into());
        fields.insert("output_bytes".to_owned(), row.bytes.into());
        if let Some(Cost { amount, currency }) = cost {
            fields.insert("cost".to_owned(), json!({ "amount": amount, "currency": currency }));
        }
        Value::Object(fields)
    };
    json!({ "data": groups.iter().map(shown).collect::<Vec<_>>() })
}

fn csv(names: &[&str], groups: &[UsageGroupSum]) -> String {
    let has_cost = groups.iter().any(|group| group.cost.is_some());
    let mut text = format!(
        "{},jobs,media_minutes,processing_seconds,cpu_seconds,output_bytes{}\r\n",
        names.iter().map(|name| cell(name)).collect::<Vec<_>>().join(","),
        if has_cost { ",cost,currency" } else { "" },
    );
    for UsageGroupSum { row, cost } in groups {
        let keys: Vec<String> = row.keys.iter().map(|key| cell(key)).collect();
        let UsageRow { jobs, micros, bytes, .. } = row;
        let (minutes, worked) = (minutes(*micros), seconds(row.seconds));
        let (keys, cpu) = (keys.join(","), seconds(row.cpu_seconds));
        let _ = write!(text, "{keys},{jobs},{minutes},{worked},{cpu},{bytes}");
        if let Some(Cost { amount, currency }) = cost {
            let _ = write!(text, ",{amount},{}", cell(currency));
        }
        text.push_str("\r\n");
    }
    text
}

/// A text in CSV (RFC 4180). One that a spreadsheet would take as a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(keys: &[&str]) -> UsageRow {
        UsageRow {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            jobs: 2,
            completed: 1,
            micros: 90_000_000,
            seconds: 3.25,
            cpu_seconds: 36.0,
            bytes: 10,
        }
    }

    #[test]
    fn usage_is_shown_as_json_and_as_csv_that_spreadsheets_read() {
        let names = ["day", "label.team"];
        let rows = [row(&["2026-11-29", "a, \"b\""]), row(&["2026-11-30", "=1+1"])];
        let groups = rows.map(UsageGroupSum::from);
        assert_eq!(
            csv(&names, &groups),
            "day,label.team,jobs,media_minutes,processing_seconds,cpu_seconds,output_bytes\r\n\
             2026-11-29,\"a, \"\"b\"\"\",2,1.5,3.25,36,10\r\n\
             2026-11-30,'=1+1,2,1.5,3.25,36,10\r\n"
        );
        let expected = json!({ "day": "2026-11-30", "label.team": "=1+1", "jobs": 2,
            "media_minutes": 1.5, "processing_seconds": 3.25, "cpu_seconds": 36.0,
            "output_bytes": 10 });
        assert_eq!(in_json(&names, &groups)["data"][1], expected);
    }

    #[test]
    fn groups_are_priced_by_the_kinds_of_their_jobs() {
        let prices: PriceTable = serde_json::from_value(json!({ "currency": "EUR", "job": 1.0,
            "media_minute": 2.0, "media_minute_by_kind": { "analyze": 0.0 }, "cpu_hour": 100.0 }))
        .unwrap();
        let rows = [["2026-11", "analyze"], ["2026-11", "convert"], ["2026-12", "probe"]];
        let groups = priced(&prices, rows.iter().map(|keys| row(keys)).collect());
        // Each: 1 job, 36 s of CPU time for 1.0; 1.5 minutes for 3.0 unless it is an analysis.
        assert_eq!(
            csv(&["month"], &groups),
            "month,jobs,media_minutes,processing_seconds,cpu_seconds,output_bytes,cost,currency\r\n\
             2026-11,4,3,6.5,72,20,7,EUR\r\n2026-12,2,1.5,3.25,36,10,5,EUR\r\n"
        );
        assert_eq!(in_json(&["month"], &groups)["data"][0]["cost"]["amount"], 7.0);
    }

    #[test]
    fn groups_and_days_are_checked() {
        assert_eq!(groups("day, label.a").unwrap().len(), 2);
        for bad in ["", "year", "day,kind,codec,status,month", "label"] {
            assert!(groups(bad).is_err(), "{bad}");
        }
        for (text, valid) in [("2026-11-29", true), ("2026-13-01", false), ("x", false)] {
            assert_eq!(day("from", Some(text.to_owned())).is_ok(), valid, "{text}");
        }
    }
}
