use serde_json::json;

use super::WebhookEvent;
use crate::PublicEvent;

/// Translates a stored event into a public one; `None` for events that only concern deliveries.
pub fn public(event: &WebhookEvent) -> Option<PublicEvent> {
    let event_of = |kind, data| Some(PublicEvent { kind, data, terminal: false });
    match event {
        WebhookEvent::Created { .. } => event_of("webhook.created", json!({})),
        WebhookEvent::Updated { .. } => event_of("webhook.updated", json!({})),
        WebhookEvent::SecretRotated { old_until, .. } => {
            event_of("webhook.secret_rotated", json!({ "old_secret_until": old_until }))
        }
        WebhookEvent::Disabled { by } => event_of("webhook.disabled", json!({ "disabled_by": by })),
        WebhookEvent::Enabled {} => event_of("webhook.enabled", json!({})),
        WebhookEvent::Deleted {} => event_of("webhook.deleted", json!({})),
        WebhookEvent::Tested {} | WebhookEvent::ReplayAsked { .. } => None,
    }
}
