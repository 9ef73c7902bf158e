//! A webhook endpoint: the URL that a tenant's selected events are sent to, while it is enabled.

mod callback;
mod change;
mod decide;
mod event;
mod public;
mod quota;
#[cfg(test)]
mod tests;
mod view;

pub use callback::{Callback, wants};
pub use change::WebhookChange;
pub use decide::{Webhook, WebhookCommand, WebhookRejection, WebhookState};
pub use event::{DisabledBy, WebhookEvent, WebhookTerms};
pub use public::public;
pub use quota::{
    WebhookCensus, WebhookClaims, WebhookQuota, WebhookQuotaCommand, WebhookQuotaEvent,
    WebhookQuotaRejection,
};
pub use view::WebhookView;
