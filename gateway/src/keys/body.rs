use std::{collections::BTreeSet, time::Duration};

use ffapi_domain::{
    Network, Personal, Timestamp,
    key::{KeyChange, KeyTerms, Scope},
};
use poem_openapi::{Object, types::MaybeUndefined};
use serde::Deserialize;

use crate::{
    media::value,
    patch::change,
    problem::{Kind, Problem},
};

/// A key to create.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "KeyCreate")]
pub(crate) struct KeyBody {
    /// A display name.
    pub(super) name: String,
    /// A description for people.
    pub(super) description: Option<String>,
    /// The tenant that it belongs to; only an admin may name another than its own.
    pub(super) tenant: Option<String>,
    /// `jobs:read`, `jobs:write`, `keys:manage`, `audit:read`, `admin`.
    pub(super) scopes: Vec<String>,
    /// RFC 3339; the key never expires if absent.
    expires_at: Option<String>,
    /// Interval of automatic rotation: a count and `m`, `h` or `d`, like `90d`.
    rotate_every: Option<String>,
    /// It may only be used from these networks, like `10.0.0.0/8`.
    allowed_ips: Option<Vec<String>>,
    /// A limit below the account's.
    max_concurrent_jobs: Option<u32>,
    /// A limit below the account's.
    monthly_limit_minutes: Option<u64>,
}

/// Changes of a key.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPatch {
    name: Option<String>,
    #[serde(default)]
    description: MaybeUndefined<String>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    rotate_every: MaybeUndefined<String>,
    allowed_ips: Option<Vec<String>>,
    #[serde(default)]
    max_concurrent_jobs: MaybeUndefined<u32>,
    #[serde(default)]
    monthly_limit_minutes: MaybeUndefined<u64>,
}

/// A new expiry of a key.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "KeyExtend")]
pub(crate) struct ExtendBody {
    /// RFC 3339, or `null` for never; required.
    #[serde(default)]
    expires_at: MaybeUndefined<String>,
}

impl ExtendBody {
    pub(super) fn read(&self) -> Result<Option<Timestamp>, Problem> {
        match &self.expires_at {
            MaybeUndefined::Value(text) => time(text).map(Some),
            MaybeUndefined::Null => Ok(None),
            MaybeUndefined::Undefined => {
                let detail = "`expires_at` must be an RFC 3339 time, or null for never";
                Err(Problem::field(Kind::Invalid, "#/expires_at", detail))
            }
        }
    }
}

impl KeyBody {
    pub(super) fn terms(&self) -> Result<KeyTerms, Problem> {
        Ok(KeyTerms {
            expires_at: self.expires_at.as_deref().map(time).transpose()?,
            rotate_every: self.rotate_every.as_deref().map(period).transpose()?,
            allowed_ips: networks(self.allowed_ips.as_deref().unwrap_or_default())?,
            max_concurrent_jobs: self.max_concurrent_jobs,
            monthly_limit_minutes: self.monthly_limit_minutes,
        })
    }
}

impl KeyPatch {
    pub(super) fn read(self) -> Result<KeyChange, Problem> {
        let name = self.name.map(|name| text(name, "name").map(Personal::Clear)).transpose()?;
        let description = |value| text(value, "description").map(Personal::Clear);
        let rotate_every = |value: String| period(&value);
        Ok(KeyChange {
            name,
            description: change(self.description, description)?,
            scopes: self.scopes.map(scopes).transpose()?,
            rotate_every: change(self.rotate_every, rotate_every)?,
            allowed_ips: self.allowed_ips.as_deref().map(networks).transpose()?,
            max_concurrent_jobs: change(self.max_concurrent_jobs, Ok)?,
            monthly_limit_minutes: change(self.monthly_limit_minutes, Ok)?,
        })
    }
}

/// Validates a text for people.
pub(super) fn text(text: String, field: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > 1_000 {
        let detail = "a text of 1 to 1000 bytes";
        return Err(Problem::field(Kind::Invalid, &format!("#/{field}"), detail));
    }
    Ok(text)
}

pub(super) fn scopes(words: Vec<String>) -> Result<BTreeSet<Scope>, Problem> {
    if words.is_empty() {
        let detail = "a key has at least one scope";
        return Err(Problem::field(Kind::Invalid, "#/scopes", detail));
    }
    let scope = |(index, word)| value::known::<Scope>(word, &format!("#/scopes/{index}"));
    words.into_iter().enumerate().map(scope).collect()
}

pub(crate) fn networks(texts: &[String]) -> Result<BTreeSet<Network>, Problem> {
    if texts.len() > 100 {
        let detail = "at most 100 ranges";
        return Err(Problem::field(Kind::Invalid, "#/allowed_ips", detail));
    }
    let network = |(index, text): (usize, &String)| {
        let pointer = format!("#/allowed_ips/{index}");
        text.parse::<Network>()
            .map_err(|error| Problem::field(Kind::Invalid, &pointer, error.to_string()))
    };
    texts.iter().enumerate().map(network).collect()
}

fn time(text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        let detail = "a time looks like 2026-11-21T12:00:00Z";
        Problem::field(Kind::Invalid, "#/expires_at", detail)
    })
}

const MAX_PERIOD: Duration = Duration::from_hours(365 * 24);

/// Parses `30m`, `12h` or `90d` into seconds; a minute to a year.
fn period(text: &str) -> Result<u64, Problem> {
    let unit = text.chars().last().and_then(|unit| match unit {
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    });
    let count =
        text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
    let seconds = unit.zip(count).and_then(|(unit, count)| count.checked_mul(unit));
    seconds.filter(|seconds| (60..=MAX_PERIOD.as_secs()).contains(seconds)).ok_or_else(|| {
        let detail = "a period is a count and `m`, `h` or `d`, like `90d`; a minute to 365 days";
        Problem::field(Kind::Invalid, "#/rotate_every", detail)
    })
}
