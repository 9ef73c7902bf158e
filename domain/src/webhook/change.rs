use std::collections::BTreeSet;

use super::{DisabledBy, WebhookEvent, WebhookTerms};
use crate::Personal;

/// What shall be otherwise. What is none stays as it is when this is decided, and not as whoever asks
/// for it has read it.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Where.
    pub url: Option<Personal<String>>,
    /// Of what; of everything if empty.
    pub events: Option<BTreeSet<String>>,
    /// For a person.
    pub description: Option<Personal<Option<String>>>,
    /// Deliveries at once.
    pub concurrency: Option<u32>,
    /// Whether it is sent to.
    pub enabled: Option<bool>,
}

impl WebhookChange {
    /// What happens by it to an endpoint that stands so.
    pub(super) fn events(self, have: &WebhookTerms, enabled: bool) -> Vec<WebhookEvent> {
        let able = self.enabled.filter(|wanted| *wanted != enabled).map(|wanted| {
            if wanted {
                WebhookEvent::Enabled {}
            } else {
                WebhookEvent::Disabled { by: DisabledBy::Owner }
            }
        });
        let terms = WebhookTerms {
            url: self.url.unwrap_or_else(|| have.url.clone()),
            events: self.events.unwrap_or_else(|| have.events.clone()),
            description: self.description.unwrap_or_else(|| have.description.clone()),
            concurrency: self.concurrency.unwrap_or(have.concurrency),
        };
        let updated = (terms != *have).then_some(WebhookEvent::Updated { terms });
        updated.into_iter().chain(able).collect()
    }
}
