//! What the bodies of all kinds of job have in common.

use std::{collections::BTreeMap, ops::RangeInclusive};

use ffapi_domain::{
    Personal, Timestamp,
    job::{JobSpec, PresetRef, Priority},
    location::Location,
    media::{Fallback, Hardware, MediaRequest, Pool},
    preset::PresetSelector,
};
use poem_openapi::{Enum, Object};
use serde::Deserialize;

use crate::{
    media::value,
    problem::{Kind, Problem},
    webhooks::callback,
};

/// A job's priority among its tenant's jobs.
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

/// The hardware that a job should run on.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Hardware")]
pub(crate) struct HardwareBody {
    /// `cpu`, `vaapi`, `nvenc` or `qsv`; `/capabilities` lists what is available.
    prefer: String,
    /// What happens if that hardware is missing or cannot do the job: `cpu` (the default) runs it
    /// on the CPU with a warning; `fail` rejects it.
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

/// A request body that creates a job.
pub(crate) trait Create {
    /// The route: the scope of its idempotency keys.
    const ROUTE: &'static str;

    /// The media request, parsed strictly.
    fn media(&self) -> Result<MediaRequest, Problem>;

    /// The options that every kind of job has.
    fn options(&self) -> JobOptions<'_>;

    /// The job that the body describes.
    fn spec(&self) -> Result<JobSpec, Problem> {
        let request = self.media()?;
        let options = self.options();
        let metadata = options.metadata.cloned().unwrap_or_default();
        let fits = |(name, value): (&String, &String)| {
            (1..=64).contains(&name.len()) && value.len() <= 1024
        };
        if metadata.len() > 32 || !metadata.iter().all(fits) {
            let detail =
                "at most 32 labels, each with a name of 1 to 64 and a value of up to 1024 bytes";
            return Err(Problem::field(Kind::Invalid, "#/metadata", detail));
        }
        let is_put = request.output().and_then(Personal::as_ref).is_some_and(Location::is_put);
        if is_put && options.keep.is_some() {
            let detail = "outputs that are put at URLs are not kept here: leave `keep` out";
            return Err(Problem::field(Kind::Invalid, "#/keep", detail));
        }
        let not_before = options.not_before.map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                let detail = "a time looks like 2026-11-21T12:00:00Z";
                Problem::field(Kind::Invalid, "#/not_before", detail)
            })
        });
        Ok(JobSpec {
            priority: options.priority.map_or(Priority::Normal, Priority::from),
            metadata: Personal::Clear(metadata),
            not_before: not_before.transpose()?,
            hardware: options.hardware.map(HardwareBody::read).transpose()?,
            callback: callback(options.webhook_url, options.webhook_events)?,
            preset: options.preset.map(pinned).transpose()?,
            keep: options.keep.map(keep).transpose()?,
            ..JobSpec::of(request)
        })
    }
}

/// How long outputs may be kept, in seconds: the cleanup has this precision, and times end some day.
const KEEP: RangeInclusive<u64> = 60..=10 * 365 * 24 * 3_600;

fn keep(seconds: u64) -> Result<u64, Problem> {
    if KEEP.contains(&seconds) {
        return Ok(seconds);
    }
    let (min, max) = (KEEP.start(), KEEP.end());
    let detail = format!("outputs are kept for {min} to {max} seconds");
    Err(Problem::field(Kind::Invalid, "#/keep", detail))
}

/// A preset as `presets::apply` pinned it.
fn pinned(text: &str) -> Result<PresetRef, Problem> {
    let wanted: Option<PresetSelector> = text.parse().ok();
    let pinned = wanted.and_then(|PresetSelector { name, version, global }| {
        Some(PresetRef { name, version: version?, global })
    });
    let detail = "a preset cannot be used here";
    pinned.ok_or_else(|| Problem::field(Kind::Invalid, "#/preset", detail))
}

/// The options that every kind of job has.
pub(crate) struct JobOptions<'a> {
    pub(super) priority: Option<PriorityWord>,
    pub(super) metadata: Option<&'a BTreeMap<String, String>>,
    pub(super) not_before: Option<&'a str>,
    pub(super) hardware: Option<&'a HardwareBody>,
    pub(super) webhook_url: Option<&'a str>,
    pub(super) webhook_events: Option<&'a [String]>,
    /// Already pinned: `name@version`.
    pub(super) preset: Option<&'a str>,
    pub(super) keep: Option<u64>,
}
