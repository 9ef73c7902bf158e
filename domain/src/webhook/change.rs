use std::collections::BTreeSet;

use super::{DisabledBy, WebhookEvent, WebhookTerms};
use crate::Personal;

/// A partial update of an endpoint. `None` keeps the value that it has when the command is decided,
/// not when the client read it.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// The URL.
    pub url: Option<Personal<String>>,
    /// Event filters; all events if empty.
    pub events: Option<BTreeSet<String>>,
    /// Description.
    pub description: Option<Personal<Option<String>>>,
    /// Maximum number of concurrent deliveries.
    pub concurrency: Option<u32>,
    /// Whether events are sent to it.
    pub enabled: Option<bool>,
}

impl WebhookChange {
    /// The events that change an endpoint with these terms.
    pub(super) fn events(self, current: &WebhookTerms, enabled: bool) -> Vec<WebhookEvent> {
        let switched = self.enabled.filter(|wanted| *wanted != enabled).map(|wanted| {
            if wanted {
                WebhookEvent::Enabled {}
            } else {
                WebhookEvent::Disabled { by: DisabledBy::Owner }
            }
        });
        let terms = WebhookTerms {
            url: self.url.unwrap_or_else(|| current.url.clone()),
            events: self.events.unwrap_or_else(|| current.events.clone()),
            description: self.description.unwrap_or_else(|| current.description.clone()),
            concurrency: self.concurrency.unwrap_or(current.concurrency),
        };
        let updated = (terms != *current).then_some(WebhookEvent::Updated { terms });
        updated.into_iter().chain(switched).collect()
    }
}
