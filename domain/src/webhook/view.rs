use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{DisabledBy, WebhookEvent};
use crate::{Personal, Tenant, Timestamp, WebhookId};

/// An endpoint as it is shown, and as deliveries need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookView {
    /// Its name.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Where.
    pub url: Personal<String>,
    /// Of what; of everything if empty.
    pub events: BTreeSet<String>,
    /// For a person.
    pub description: Personal<Option<String>>,
    /// Deliveries at once.
    pub concurrency: u32,
    /// The number of its newest secret; 0 for the tenant's own.
    pub secret: u32,
    /// Until when the one before signs as well.
    pub old_until: Option<Timestamp>,
    /// Who disabled it, if somebody did.
    pub disabled_by: Option<DisabledBy>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the newest thing happened.
    pub updated_at: Timestamp,
    /// Count of its events.
    pub version: u64,
    /// It is gone.
    #[serde(default)]
    pub deleted: bool,
}

impl WebhookView {
    /// Folds one event in. `None` in means no row yet; `None` out means still none.
    pub fn apply(
        row: Option<Self>,
        event: &WebhookEvent,
        id: WebhookId,
        tenant: &Tenant,
        at: Timestamp,
    ) -> Option<Self> {
        let mut row = match (row, event) {
            (None, WebhookEvent::Created { terms }) => Self {
                id,
                tenant: tenant.clone(),
                url: terms.url.clone(),
                events: terms.events.clone(),
                description: terms.description.clone(),
                concurrency: terms.concurrency,
                secret: 1,
                old_until: None,
                disabled_by: None,
                created_at: at,
                updated_at: at,
                version: 0,
                deleted: false,
            },
            (None, _) => return None,
            (Some(row), _) => row,
        };
        row.version = row.version.saturating_add(1);
        row.updated_at = at;
        match event {
            WebhookEvent::Created { .. }
            | WebhookEvent::Tested {}
            | WebhookEvent::ReplayAsked { .. } => {}
            WebhookEvent::Updated { terms } => {
                row.url = terms.url.clone();
                row.events.clone_from(&terms.events);
                row.description = terms.description.clone();
                row.concurrency = terms.concurrency;
            }
            WebhookEvent::SecretRotated { secret, old_until } => {
                row.secret = *secret;
                row.old_until = Some(*old_until);
            }
            WebhookEvent::Disabled { by } => row.disabled_by = Some(*by),
            WebhookEvent::Enabled {} => row.disabled_by = None,
            WebhookEvent::Deleted {} => row.deleted = true,
        }
        Some(row)
    }
}
