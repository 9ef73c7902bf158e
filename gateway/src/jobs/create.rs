//! The bodies that make jobs: one file each.

mod analyze;
mod any;
mod convert;
mod probe;
mod stream;
mod thumbnails;

use std::collections::BTreeMap;

use ffapi_domain::{
    Personal, Timestamp,
    job::{JobSpec, PresetRef, Priority},
    media::{Fallback, Hardware, MediaRequest, Pool},
    preset::Wanted,
};
use poem_openapi::{Enum, Object};
use serde::Deserialize;

pub(crate) use self::any::AnyBody;
pub(super) use self::{
    analyze::AnalyzeBody, convert::ConvertBody, probe::ProbeBody, stream::StreamBody,
    thumbnails::ThumbnailsBody,
};
use crate::{
    media::value,
    problem::{Kind, Problem},
    webhooks::callback,
};

/// A job's place among its tenant's.
#[derive(Debug, Clone, Copy, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "Priority")]
pub(crate) enum PriorityWord {
    Low,
    Normal,
    High,
}

impl From<PriorityWord> for Priority {
    fn from(word: PriorityWord) -> Self {
        match word {
            PriorityWord::Low => Self::Low,
            PriorityWord::Normal => Self::Normal,
            PriorityWord::High => Self::High,
        }
    }
}

/// What a job would like to run on.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Hardware")]
pub(crate) struct HardwareBody {
    /// `cpu`, `vaapi`, `nvenc` or `qsv`; `/capabilities` says what there is.
    prefer: String,
    /// Without it, or where it cannot do what is asked: `cpu` does it and says so, which is usual;
    /// `fail` refuses.
    fallback: Option<String>,
}

impl HardwareBody {
    fn read(&self) -> Result<Hardware, Problem> {
        let fallback = value::word::<Fallback>(self.fallback.clone(), "#/hardware/fallback")?;
        Ok(Hardware {
            prefer: value::known::<Pool>(self.prefer.clone(), "#/hardware/prefer")?,
            fallback: fallback.unwrap_or(Fallback::usual()),
        })
    }
}

/// A body that makes a job.
pub(crate) trait Create {
    /// Keys that make a request safe to send again are its own.
    const ROUTE: &'static str;

    /// The media work, read strictly.
    fn media(&self) -> Result<MediaRequest, Problem>;

    /// What every kind of job has.
    fn terms(&self) -> Terms<'_>;

    /// The job that is asked for.
    fn spec(&self) -> Result<JobSpec, Problem> {
        let request = self.media()?;
        let terms = self.terms();
        let metadata = terms.metadata.cloned().unwrap_or_default();
        let fits = |(name, value): (&String, &String)| {
            (1..=64).contains(&name.len()) && value.len() <= 1024
        };
        if metadata.len() > 32 || !metadata.iter().all(fits) {
            let detail =
                "at most 32 labels, each with a name of 1 to 64 and a value of up to 1024 bytes";
            return Err(Problem::field(Kind::Invalid, "#/metadata", detail));
        }
        let not_before = terms.not_before.map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                let detail = "a time looks like 2026-11-21T12:00:00Z";
                Problem::field(Kind::Invalid, "#/not_before", detail)
            })
        });
        Ok(JobSpec {
            priority: terms.priority.map_or(Priority::Normal, Priority::from),
            metadata: Personal::Clear(metadata),
            not_before: not_before.transpose()?,
            hardware: terms.hardware.map(HardwareBody::read).transpose()?,
            callback: callback(terms.webhook_url, terms.webhook_events)?,
            preset: terms.preset.map(pinned).transpose()?,
            ..JobSpec::of(request)
        })
    }
}

/// A preset as `presets::apply` pinned it.
fn pinned(text: &str) -> Result<PresetRef, Problem> {
    let wanted: Option<Wanted> = text.parse().ok();
    let pinned = wanted.and_then(|Wanted { name, version, global }| {
        Some(PresetRef { name, version: version?, global })
    });
    let detail = "no preset can be used here";
    pinned.ok_or_else(|| Problem::field(Kind::Invalid, "#/preset", detail))
}

/// What every kind of job has.
pub(crate) struct Terms<'a> {
    priority: Option<PriorityWord>,
    metadata: Option<&'a BTreeMap<String, String>>,
    not_before: Option<&'a str>,
    hardware: Option<&'a HardwareBody>,
    webhook_url: Option<&'a str>,
    webhook_events: Option<&'a [String]>,
    /// Pinned already: `name@version`.
    preset: Option<&'a str>,
}
