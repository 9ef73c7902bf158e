use std::collections::BTreeSet;

use ffapi_domain::{
    Personal,
    catalogue::is_known,
    webhook::{Callback, WebhookChange, WebhookCommand, WebhookTerms},
};
use ffapi_nats::Position;
use poem_openapi::{Object, types::MaybeUndefined};
use serde::Deserialize;
use url::Url;

use crate::{
    egress_checks::check_host,
    patch::change,
    problem::{Kind, Problem},
    state::Gateway,
};

/// A webhook to create.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "WebhookCreate")]
pub(crate) struct WebhookBody {
    /// The endpoint, `https://…` or `http://…`.
    url: String,
    /// Event types, or groups like `job.*`; if absent, all but steps within an attempt
    /// (`job.outputs_sealed`, `job.attempt_failed`, `job.attempt_abandoned`).
    events: Option<Vec<String>>,
    /// A description for people, up to 500 bytes.
    description: Option<String>,
    /// Concurrent deliveries, 1 to 16; 4 if absent. Deliveries of one job are sent one at a time.
    concurrency: Option<u32>,
}

/// Changes of a webhook.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    url: Option<String>,
    events: Option<Vec<String>>,
    /// `null` removes it.
    #[serde(default)]
    description: MaybeUndefined<String>,
    concurrency: Option<u32>,
    /// False to disable deliveries, true to enable them again.
    enabled: Option<bool>,
}

/// The range of events to replay.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "WebhookReplay")]
pub(crate) struct ReplayBody {
    /// Events after this position are sent again; a value of `X-Log-Position` or an event's `id`.
    after: String,
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

impl WebhookBody {
    pub(super) fn terms(self, gateway: &Gateway) -> Result<WebhookTerms, Problem> {
        Ok(WebhookTerms {
            url: endpoint(gateway, &self.url, "#/url")?,
            events: events(self.events.as_deref().unwrap_or_default(), "#/events")?,
            description: Personal::Clear(self.description.map(description).transpose()?),
            concurrency: concurrency(self.concurrency.unwrap_or(4))?,
        })
    }
}

impl WebhookPatch {
    pub(super) fn read(self, gateway: &Gateway) -> Result<WebhookChange, Problem> {
        let url = self.url.map(|url| endpoint(gateway, &url, "#/url")).transpose()?;
        let events = self.events.map(|names| events(&names, "#/events")).transpose()?;
        let description = change(self.description, description)?.map(Personal::Clear);
        let concurrency = self.concurrency.map(concurrency).transpose()?;
        Ok(WebhookChange { url, events, description, concurrency, enabled: self.enabled })
    }
}

impl ReplayBody {
    pub(super) fn read(&self, gateway: &Gateway) -> Result<WebhookCommand, Problem> {
        let after: Position =
            self.after.parse().map_err(|error: ffapi_nats::ParsePositionError| {
                invalid("#/after", error.to_string())
            })?;
        let epoch = gateway.commands.log().identity().epoch;
        if after.epoch != epoch {
            let detail = format!("the log was restored and is now in epoch {epoch}");
            return Err(invalid("#/after", detail));
        }
        Ok(WebhookCommand::Replay { sequence: after.sequence, index: after.index })
    }
}

/// Parses the `webhook_url` and `webhook_events` of a job or batch.
pub(crate) fn callback(
    url: Option<&str>,
    names: Option<&[String]>,
) -> Result<Option<Callback>, Problem> {
    let Some(url) = url else {
        if names.is_some() {
            return Err(invalid("#/webhook_events", "`webhook_events` needs a `webhook_url`"));
        }
        return Ok(None);
    };
    let url = parse_url(url, "#/webhook_url")?;
    let events = events(names.unwrap_or_default(), "#/webhook_events")?;
    Ok(Some(Callback { url: Personal::Clear(url.to_string()), events }))
}

/// Parses an endpoint and checks its host, as far as possible before the name is resolved.
fn endpoint(gateway: &Gateway, text: &str, pointer: &str) -> Result<Personal<String>, Problem> {
    let url = parse_url(text, pointer)?;
    check_host(&gateway.egress, &url, pointer)?;
    Ok(Personal::Clear(url.to_string()))
}

fn parse_url(text: &str, pointer: &str) -> Result<Url, Problem> {
    let detail = "a URL like https://example.com/hook, without user name or password";
    let bad = || invalid(pointer, detail);
    let url = Url::parse(text).map_err(|_| bad())?;
    let valid = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && text.len() <= 2_048;
    valid.then_some(url).ok_or_else(bad)
}

fn events(names: &[String], pointer: &str) -> Result<BTreeSet<String>, Problem> {
    let unknown = names.iter().position(|name| !is_known(name));
    if let Some(nth) = unknown {
        let pointer = format!("{pointer}/{nth}");
        let detail = "unknown event type; `GET /asyncapi.json` lists them, `job.*` is all of jobs";
        return Err(invalid(&pointer, detail));
    }
    Ok(names.iter().cloned().collect())
}

fn description(text: String) -> Result<String, Problem> {
    if text.len() > 500 || text.contains('\0') {
        return Err(invalid("#/description", "a description has up to 500 bytes, without NUL"));
    }
    Ok(text)
}

fn concurrency(count: u32) -> Result<u32, Problem> {
    if (1..=16).contains(&count) {
        return Ok(count);
    }
    Err(invalid("#/concurrency", "a webhook has 1 to 16 concurrent deliveries"))
}
