use serde_json::json;

use super::KeyEvent;
use crate::PublicEvent;

/// Translates a stored event into a public one, without the key's name and scopes, which are
/// private to its holder.
pub fn public(event: &KeyEvent) -> PublicEvent {
    let event_of = |kind, data| PublicEvent { kind, data, terminal: false };
    match event {
        KeyEvent::Created { .. } => event_of("key.created", json!({})),
        KeyEvent::Updated { .. } => event_of("key.updated", json!({})),
        KeyEvent::Extended { expires_at } => {
            event_of("key.extended", json!({ "expires_at": expires_at }))
        }
        KeyEvent::RotationDue { due } => event_of("key.rotation_due", json!({ "due": due })),
        KeyEvent::Rotated { old_until, .. } => {
            event_of("key.rotated", json!({ "old_secret_until": old_until }))
        }
        KeyEvent::TokenRevoked { expires_at, .. } => {
            event_of("key.token_revoked", json!({ "expires_at": expires_at }))
        }
        KeyEvent::Revoked {} => event_of("key.revoked", json!({})),
    }
}
