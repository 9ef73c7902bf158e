//! What an account's jobs were charged and made.

use std::{fmt::Write as _, sync::Arc};

use ffapi_domain::{Timestamp, key::Scope};
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
    positions,
    problem::{Kind, Problem},
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
    /// Numbers of jobs, charged media minutes, seconds of work and bytes of outputs, as JSON, or as CSV
    /// with `Accept: text/csv`.
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
        let query = UsageQuery {
            group_by: groups(names)?,
            from: day("from", from.0)?,
            to: day("to", to.0)?,
        };
        let rows = sums(&gateway, principal, &query, min_position.0.as_deref()).await?;
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let is_csv = accept.0.is_some_and(|accept| accept.contains("text/csv"));
        let (kind, body) = if is_csv {
            ("text/csv; charset=utf-8", csv(&names, &rows))
        } else {
            ("application/json", in_json(&names, &rows).to_string())
        };
        Ok(Raw(Response::builder().header(header::CONTENT_TYPE, kind).body(body)))
    }
}

fn malformed(field: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Malformed, &format!("#{field}"), detail)
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
    positions::catch_up::<Usage>(gateway, tenant, min_position).await?;
    if query.group_by.iter().any(|group| matches!(group, UsageGroup::Label(_))) {
        positions::catch_up::<JobList>(gateway, tenant, min_position).await?;
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

/// Media minutes, to a thousandth.
fn minutes(micros: i64) -> f64 {
    let seconds =
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64();
    (seconds / 60.0 * 1_000.0).round() / 1_000.0
}

fn seconds(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

fn in_json(names: &[&str], rows: &[UsageRow]) -> Value {
    let shown = |row: &UsageRow| {
        let keys = names.iter().zip(&row.keys);
        let mut fields: Map<String, Value> =
            keys.map(|(name, key)| ((*name).to_owned(), key.as_str().into())).collect();
        fields.insert("jobs".to_owned(), row.jobs.into());
        fields.insert("media_minutes".to_owned(), minutes(row.micros).into());
        fields.insert("processing_seconds".to_owned(), seconds(row.seconds).into());
        fields.insert("output_bytes".to_owned(), row.bytes.into());
        Value::Object(fields)
    };
    json!({ "data": rows.iter().map(shown).collect::<Vec<_>>() })
}

fn csv(names: &[&str], rows: &[UsageRow]) -> String {
    let mut text = format!(
        "{},jobs,media_minutes,processing_seconds,output_bytes\r\n",
        names.iter().map(|name| cell(name)).collect::<Vec<_>>().join(",")
    );
    for row in rows {
        let keys: Vec<String> = row.keys.iter().map(|key| cell(key)).collect();
        let UsageRow { jobs, micros, bytes, .. } = row;
        let (minutes, seconds) = (minutes(*micros), seconds(row.seconds));
        let _ = write!(text, "{},{jobs},{minutes},{seconds},{bytes}\r\n", keys.join(","));
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

    #[test]
    fn usage_is_shown_as_json_and_as_csv_that_spreadsheets_read() {
        let row = |keys: &[&str]| UsageRow {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            jobs: 2,
            micros: 90_000_000,
            seconds: 3.25,
            bytes: 10,
        };
        let names = ["day", "label.team"];
        let rows = [row(&["2026-11-29", "a, \"b\""]), row(&["2026-11-30", "=1+1"])];
        assert_eq!(
            csv(&names, &rows),
            "day,label.team,jobs,media_minutes,processing_seconds,output_bytes\r\n\
             2026-11-29,\"a, \"\"b\"\"\",2,1.5,3.25,10\r\n\
             2026-11-30,'=1+1,2,1.5,3.25,10\r\n"
        );
        let expected = json!({ "day": "2026-11-30", "label.team": "=1+1", "jobs": 2,
            "media_minutes": 1.5, "processing_seconds": 3.25, "output_bytes": 10 });
        assert_eq!(in_json(&names, &rows)["data"][1], expected);
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
