use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// How much a tenant may have.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[$doc])* pub $name: $type,)+
        }

        /// What is otherwise for one tenant than its tier says.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct LimitsPatch {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
        }

        impl Limits {
            /// With what is otherwise.
            #[must_use]
            pub fn with(&self, patch: &LimitsPatch) -> Self {
                Self { $($name: patch.$name.unwrap_or(self.$name),)+ }
            }
        }

        impl LimitsPatch {
            /// With what is newer.
            #[must_use]
            pub fn with(&self, newer: &Self) -> Self {
                Self { $($name: newer.$name.or(self.$name),)+ }
            }
        }
    };
}

limits! {
    /// Requests to the API in an hour.
    requests_per_hour: u64,
    /// Jobs that run at once; beyond it they wait.
    concurrent_jobs: u32,
    /// Bytes of one upload or input.
    max_file_bytes: u64,
    /// Media minutes in a calendar month, UTC.
    monthly_minutes: u64,
    /// Jobs that wait or run; beyond it they are refused.
    queue_places: u32,
    /// Keys that are not revoked.
    keys: u32,
    /// Bytes a second of one upload.
    upload_bytes_per_second: u64,
    /// Seconds that one attempt at a job may take.
    max_job_seconds: u64,
    /// Seconds of processor time that one attempt at a job may take, over all its threads.
    max_job_cpu_seconds: u64,
    /// Its share of busy slots, beside that of others.
    weight: u32,
    /// Bytes of uploads and outputs that are kept at once.
    storage_bytes: u64,
    /// Webhook endpoints.
    webhooks: u32,
    /// Replays of webhooks in an hour.
    webhook_replays_per_hour: u64,
}
