use serde_json::json;

use super::HookEvent;
use crate::Public;

/// Translates one event for users; what only concerns deliveries is none.
pub fn public(event: &HookEvent) -> Option<Public> {
    let says = |kind, data| Some(Public { kind, data, terminal: false });
    match event {
        HookEvent::Created { .. } => says("webhook.created", json!({})),
        HookEvent::Updated { .. } => says("webhook.updated", json!({})),
        HookEvent::SecretRotated { old_until, .. } => {
            says("webhook.secret_rotated", json!({ "old_secret_until": old_until }))
        }
        HookEvent::Disabled { by } => says("webhook.disabled", json!({ "disabled_by": by })),
        HookEvent::Enabled {} => says("webhook.enabled", json!({})),
        HookEvent::Deleted {} => says("webhook.deleted", json!({})),
        HookEvent::Tested {} | HookEvent::ReplayAsked { .. } => None,
    }
}
