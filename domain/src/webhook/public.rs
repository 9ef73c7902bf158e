use serde_json::json;

use super::WebhookEvent;
use crate::PublicEvent;

/// Translates one event for users; what only concerns deliveries is none.
pub fn public(event: &WebhookEvent) -> Option<PublicEvent> {
    let says = |kind, data| Some(PublicEvent { kind, data, terminal: false });
    match event {
        WebhookEvent::Created { .. } => says("webhook.created", json!({})),
        WebhookEvent::Updated { .. } => says("webhook.updated", json!({})),
        WebhookEvent::SecretRotated { old_until, .. } => {
            says("webhook.secret_rotated", json!({ "old_secret_until": old_until }))
        }
        WebhookEvent::Disabled { by } => says("webhook.disabled", json!({ "disabled_by": by })),
        WebhookEvent::Enabled {} => says("webhook.enabled", json!({})),
        WebhookEvent::Deleted {} => says("webhook.deleted", json!({})),
        WebhookEvent::Tested {} | WebhookEvent::ReplayAsked { .. } => None,
    }
}
