use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{DisabledBy, WebhookEvent};
use crate::{Personal, Tenant, Timestamp, WebhookId};

/// An endpoint as the API returns it, and as deliveries need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookView {
    /// The endpoint's id.
    pub id: WebhookId,
    /// The tenant that owns it.
    pub tenant: Tenant,
    /// The URL.
    pub url: Personal<String>,
    /// Event filters; all events if empty.
    pub events: BTreeSet<String>,
    /// Description.
    pub description: Personal<Option<String>>,
    /// Maximum number of concurrent deliveries.
    pub concurrency: u32,
    /// Number of its current secret; 0 for the tenant's own.
    pub secret: u32,
    /// Until when deliveries are also signed with the previous one.
    pub old_until: Option<Timestamp>,
    /// Who or what disabled it, if it is disabled.
    pub disabled_by: Option<DisabledBy>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its newest event happened.
    pub updated_at: Timestamp,
    /// Number of its events.
    pub version: u64,
    /// True once it was deleted.
    #[serde(default)]
    pub deleted: bool,
}

impl WebhookView {
    /// Folds in one event. A `None` input means that there is no row yet, a `None` result that
    /// there still is none.
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
