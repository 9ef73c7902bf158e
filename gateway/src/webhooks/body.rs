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
    patch::change,
    problem::{Kind, Problem},
    state::Gateway,
};

/// A webhook to make.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "WebhookCreate")]
pub(crate) struct WebhookBody {
    /// Where to: `https://…` or `http://…`.
    url: String,
    /// Of what: names of events, or whole groups like `job.*`; of everything if absent.
    events: Option<Vec<String>>,
    /// For a person; up to 500 bytes.
    description: Option<String>,
    /// 1 to 16 deliveries at once; 4 if absent. Those of one job come one after the other.
    concurrency: Option<u32>,
}

/// What changes of a webhook.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    url: Option<String>,
    events: Option<Vec<String>>,
    /// `null` takes it away.
    #[serde(default)]
    description: MaybeUndefined<String>,
    concurrency: Option<u32>,
    /// False to send nothing, true to send again.
    enabled: Option<bool>,
}

/// From where on everything is sent once more.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "WebhookReplay")]
pub(crate) struct ReplayBody {
    /// A position, as `X-Log-Position` or an event's `id` gave it.
    after: String,
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

impl WebhookBody {
    pub(super) fn terms(self, gateway: &Gateway) -> Result<WebhookTerms, Problem> {
        Ok(WebhookTerms {
            url: address(gateway, &self.url, "#/url")?,
            events: events(self.events.as_deref().unwrap_or_default(), "#/events")?,
            description: Personal::Clear(self.description.map(description).transpose()?),
            concurrency: concurrency(self.concurrency.unwrap_or(4))?,
        })
    }
}

impl WebhookPatch {
    pub(super) fn read(self, gateway: &Gateway) -> Result<WebhookChange, Problem> {
        let url = self.url.map(|url| address(gateway, &url, "#/url")).transpose()?;
        let events = self.events.map(|names| events(&names, "#/events")).transpose()?;
        let description = change(self.description, description)?.map(Personal::Clear);
        let concurrency = self.concurrency.map(concurrency).transpose()?;
        Ok(WebhookChange { url, events, description, concurrency, enabled: self.enabled })
    }
}

impl ReplayBody {
    pub(super) fn read(&self, gateway: &Gateway) -> Result<WebhookCommand, Problem> {
        let after: Position = self
            .after
            .parse()
            .map_err(|error: ffapi_nats::BadPosition| invalid("#/after", error.to_string()))?;
        let epoch = gateway.commands.log().identity().epoch;
        if after.epoch != epoch {
            let detail = format!("the log is in epoch {epoch} since it was restored");
            return Err(invalid("#/after", detail));
        }
        Ok(WebhookCommand::Replay { sequence: after.sequence, index: after.index })
    }
}

/// An endpoint of a job's or batch's own.
pub(crate) fn callback(
    url: Option<&str>,
    names: Option<&[String]>,
) -> Result<Option<Callback>, Problem> {
    let Some(url) = url else {
        if names.is_some() {
            return Err(invalid("#/webhook_events", "events need a `webhook_url` to go to"));
        }
        return Ok(None);
    };
    let url = web(url, "#/webhook_url")?;
    let events = events(names.unwrap_or_default(), "#/webhook_events")?;
    Ok(Some(Callback { url: Personal::Clear(url.to_string()), events }))
}

/// An address that may be sent to, as far as it can be known before it is looked up.
fn address(gateway: &Gateway, text: &str, pointer: &str) -> Result<Personal<String>, Problem> {
    let url = web(text, pointer)?;
    crate::jobs::submit::check_host(gateway, &url, pointer)?;
    Ok(Personal::Clear(url.to_string()))
}

fn web(text: &str, pointer: &str) -> Result<Url, Problem> {
    let detail = "a web address like https://example.com/hook, without user or password";
    let bad = || invalid(pointer, detail);
    let url = Url::parse(text).map_err(|_| bad())?;
    let fine = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && text.len() <= 2_048;
    fine.then_some(url).ok_or_else(bad)
}

fn events(names: &[String], pointer: &str) -> Result<BTreeSet<String>, Problem> {
    let unknown = names.iter().position(|name| !is_known(name));
    if let Some(nth) = unknown {
        let pointer = format!("{pointer}/{nth}");
        let detail =
            "no event is called so; `GET /asyncapi.json` names them, `job.*` is all of jobs";
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

fn concurrency(at_once: u32) -> Result<u32, Problem> {
    if (1..=16).contains(&at_once) {
        return Ok(at_once);
    }
    Err(invalid("#/concurrency", "1 to 16 deliveries at once"))
}
