use serde::{Deserialize, Serialize};

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// The limits of a tenant.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[$doc])* pub $name: $type,)+
        }

        /// Limits of one tenant that override those of its tier.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct LimitsPatch {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
        }

        impl Limits {
            /// These limits with the patch applied.
            #[must_use]
            pub fn with(&self, patch: &LimitsPatch) -> Self {
                Self { $($name: patch.$name.unwrap_or(self.$name),)+ }
            }
        }

        impl LimitsPatch {
            /// This patch with the values of a newer one applied.
            #[must_use]
            pub fn with(&self, newer: &Self) -> Self {
                Self { $($name: newer.$name.or(self.$name),)+ }
            }
        }
    };
}

limits! {
    /// API requests per hour.
    requests_per_hour: u64,
    /// Jobs that run at once; others wait.
    concurrent_jobs: u32,
    /// Bytes of one upload or input.
    max_file_bytes: u64,
    /// Media minutes per calendar month (UTC).
    monthly_minutes: u64,
    /// Jobs that wait or run; others are rejected.
    queue_places: u32,
    /// API keys that are not revoked.
    keys: u32,
    /// Bytes per second of one upload.
    upload_bytes_per_second: u64,
    /// Seconds that one attempt of a job may take.
    max_job_seconds: u64,
    /// Seconds of CPU time that one attempt of a job may take, over all its threads.
    max_job_cpu_seconds: u64,
    /// Weight of its share of the worker slots, relative to other tenants.
    weight: u32,
    /// Total bytes of uploads and outputs that are stored.
    storage_bytes: u64,
    /// Webhook endpoints.
    webhooks: u32,
    /// Webhook replays per hour.
    webhook_replays_per_hour: u64,
}
