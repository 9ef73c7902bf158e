use serde::{Deserialize, Serialize};

use super::Limits;

/// A named set of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The smallest, for evaluation; the default.
    #[default]
    Free,
    /// The second smallest.
    Basic,
    /// The second largest.
    Premium,
    /// The largest.
    Enterprise,
}

impl Tier {
    /// Every tier, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Basic, Self::Premium, Self::Enterprise];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Premium => "premium",
            Self::Enterprise => "enterprise",
        }
    }
}

/// The limits of each tier, as the operator configures them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tiers {
    /// The tier of tenants that have none assigned.
    pub usual: Tier,
    /// Limits of the free tier.
    pub free: Limits,
    /// Limits of the basic tier.
    pub basic: Limits,
    /// Limits of the premium tier.
    pub premium: Limits,
    /// Limits of the enterprise tier.
    pub enterprise: Limits,
}

const MB: u64 = 1_000_000;

impl Default for Tiers {
    fn default() -> Self {
        let limits = |requests_per_hour, concurrent_jobs, max_file_bytes, scale: u64| Limits {
            weight: 1,
            queue_places: u32::try_from(scale.saturating_mul(1_000)).unwrap_or(u32::MAX),
            requests_per_hour,
            concurrent_jobs,
            max_file_bytes,
            monthly_minutes: scale.saturating_mul(100),
            keys: 10,
            storage_bytes: scale.saturating_mul(2_000 * MB),
            webhooks: 5,
            webhook_replays_per_hour: 5,
            upload_bytes_per_second: scale.saturating_mul(10 * MB),
            max_job_seconds: 3_600,
            max_job_cpu_seconds: 4 * 3_600,
        };
        let hours = |hours: u64, limits| Limits {
            max_job_seconds: hours.saturating_mul(3_600),
            max_job_cpu_seconds: hours.saturating_mul(4 * 3_600),
            ..limits
        };
        let enterprise = limits(10_000, 50, 10_000 * MB, 1_000);
        Self {
            usual: Tier::Free,
            free: limits(100, 2, 100 * MB, 1),
            basic: Limits {
                weight: 2,
                webhooks: 20,
                webhook_replays_per_hour: 20,
                ..hours(6, limits(500, 5, 500 * MB, 10))
            },
            premium: Limits {
                weight: 4,
                webhooks: 50,
                webhook_replays_per_hour: 100,
                ..hours(24, limits(2_000, 10, 2_000 * MB, 100))
            },
            enterprise: Limits {
                keys: 1_000,
                weight: 8,
                webhooks: 100,
                webhook_replays_per_hour: 1_000,
                ..hours(72, enterprise)
            },
        }
    }
}

impl Tiers {
    /// The limits of a tier.
    pub const fn of(&self, tier: Tier) -> &Limits {
        match tier {
            Tier::Free => &self.free,
            Tier::Basic => &self.basic,
            Tier::Premium => &self.premium,
            Tier::Enterprise => &self.enterprise,
        }
    }
}
