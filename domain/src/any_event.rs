//! All aggregates whose events are in the log. A new one is added here, and the compiler then names
//! every place that must consider it.

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    account::AccountEvent,
    batch::BatchEvent,
    dispatch::DispatchEvent,
    job::JobEvent,
    key::{KeyEvent, KeyQuotaEvent},
    output::OutputEvent,
    preset::PresetEvent,
    queue_quota::QueueQuotaEvent,
    quota::QuotaEvent,
    restoration::LogEvent,
    storage_quota::StorageQuotaEvent,
    upload::UploadEvent,
    webhook::{WebhookEvent, WebhookQuotaEvent},
};

/// Defines [`Category`] and [`AnyEvent`] from one table: variant, event type, and the category's name
/// in subjects.
macro_rules! categories {
    ($($(#[doc = $says:literal])+ $variant:ident($event:ty) = $name:literal),+ $(,)?) => {
        /// A category of streams in the log: an aggregate, or a process that appends events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Category {
            $($(#[doc = $says])+ $variant),+
        }

        impl Category {
            /// All categories.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name: the second token of the subjects of its messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The category with this name; `None` if there is none.
            pub fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        /// An event of any category. It is deserialized from its category's name and the event
        /// itself, `{"job": …}`, and serialized as the event alone, as the log has it.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        pub enum AnyEvent {
            $($(#[doc = $says])+ #[serde(rename = $name)] $variant($event)),+
        }

        impl Serialize for AnyEvent {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(event) => event.serialize(serializer)),+
                }
            }
        }
    };
}

categories! {
    /// An account.
    Account(AccountEvent) = "account",
    /// A batch of jobs.
    Batch(BatchEvent) = "batch",
    /// The releases of a pool.
    Dispatch(DispatchEvent) = "dispatch",
    /// A job.
    Job(JobEvent) = "job",
    /// An API key.
    Key(KeyEvent) = "key",
    /// The number of an account's keys.
    KeyQuota(KeyQuotaEvent) = "ring",
    /// The name of an output.
    Output(OutputEvent) = "output",
    /// A preset.
    Preset(PresetEvent) = "preset",
    /// The number of an account's jobs in the queue.
    QueueQuota(QueueQuotaEvent) = "room",
    /// The media minutes of an account in a month.
    Quota(QuotaEvent) = "quota",
    /// Restores of the log itself.
    Restoration(LogEvent) = "log",
    /// The bytes that an account stores.
    StorageQuota(StorageQuotaEvent) = "kept",
    /// An upload.
    Upload(UploadEvent) = "upload",
    /// A webhook.
    Webhook(WebhookEvent) = "hook",
    /// The number of an account's webhooks.
    WebhookQuota(WebhookQuotaEvent) = "hookring",
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back_to_their_category() {
        for category in Category::ALL {
            assert_eq!(Category::of(category.as_str()), Some(*category));
        }
        assert_eq!(Category::of("audit"), None);
    }

    #[test]
    fn an_event_is_read_by_its_category_and_written_as_it_is_stored() {
        let stored = serde_json::to_value(JobEvent::Cancelled {}).unwrap();
        let event: AnyEvent = serde_json::from_value(json!({ "job": stored })).unwrap();
        assert_eq!(event, AnyEvent::Job(JobEvent::Cancelled {}));
        assert_eq!(serde_json::to_value(&event).unwrap(), stored);
        // The same value is no event of another category.
        assert!(serde_json::from_value::<AnyEvent>(json!({ "key": stored })).is_err());
        assert!(serde_json::from_value::<AnyEvent>(json!({ "unknown": stored })).is_err());
    }
}
