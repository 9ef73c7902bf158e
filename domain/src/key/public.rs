use serde_json::json;

use super::KeyEvent;
use crate::PublicEvent;

/// Translates one event for users. What a key is called and what it may is its holder's business.
pub fn public(event: &KeyEvent) -> PublicEvent {
    let says = |kind, data| PublicEvent { kind, data, terminal: false };
    match event {
        KeyEvent::Created { .. } => says("key.created", json!({})),
        KeyEvent::Updated { .. } => says("key.updated", json!({})),
        KeyEvent::Extended { expires_at } => {
            says("key.extended", json!({ "expires_at": expires_at }))
        }
        KeyEvent::RotationDue { due } => says("key.rotation_due", json!({ "due": due })),
        KeyEvent::Rotated { old_until, .. } => {
            says("key.rotated", json!({ "old_secret_until": old_until }))
        }
        KeyEvent::Revoked {} => says("key.revoked", json!({})),
    }
}
