use ffapi_domain::account::{AccountEvent, AccountTerms, LimitsPatch, Tier};

use super::{Samples, values::network};

impl Samples for AccountEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Changed { terms: terms() },
            Some(Self::Changed { .. }) => Self::Closing {},
            Some(Self::Closing {}) => Self::Erased {},
            Some(Self::Erased {}) => Self::Reopened {},
            Some(Self::Reopened {}) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        let terms = AccountTerms { tier: Some(Tier::Basic), ..AccountTerms::default() };
        vec![Self::Changed { terms }]
    }
}

fn terms() -> AccountTerms {
    let limits = LimitsPatch {
        requests_per_hour: Some(1),
        concurrent_jobs: Some(2),
        max_file_bytes: Some(3),
        monthly_minutes: Some(4),
        queue_places: Some(5),
        keys: Some(6),
        upload_bytes_per_second: Some(7),
        max_job_seconds: Some(8),
        max_job_cpu_seconds: Some(9),
        weight: Some(10),
        storage_bytes: Some(11),
        webhooks: Some(12),
        webhook_replays_per_hour: Some(13),
    };
    let allowed_ips = [network("10.0.0.0/8"), network("2001:db8::/32")].into();
    AccountTerms { tier: Some(Tier::Premium), limits, allowed_ips }
}
