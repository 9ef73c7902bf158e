use ffapi_domain::{
    Personal,
    webhook::{DisabledBy, WebhookEvent, WebhookQuotaEvent, WebhookTerms},
};

use super::{
    Samples,
    values::{at, hook, personal, text},
};

impl Samples for WebhookEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        let terms = || terms(Some(text("d")));
        Some(match event {
            None => Self::Created { terms: terms() },
            Some(Self::Created { .. }) => Self::Updated { terms: terms() },
            Some(Self::Updated { .. }) => Self::SecretRotated { secret: 2, old_until: at(5) },
            Some(Self::SecretRotated { .. }) => Self::Disabled { by: DisabledBy::Gone },
            Some(Self::Disabled { .. }) => Self::Enabled {},
            Some(Self::Enabled {}) => Self::Deleted {},
            Some(Self::Deleted {}) => Self::Tested {},
            Some(Self::Tested {}) => Self::ReplayAsked { sequence: 4, index: 1 },
            Some(Self::ReplayAsked { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        vec![Self::Created { terms: terms(None) }, Self::Updated { terms: terms(None) }]
    }
}

fn terms(description: Option<String>) -> WebhookTerms {
    WebhookTerms {
        url: personal("https://a"),
        events: [text("job.*")].into(),
        description: Personal::Clear(description),
        concurrency: 4,
    }
}

impl Samples for WebhookQuotaEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Claimed {
                hook: hook(1),
                digest: text("00"),
                gone: [hook(2)].into(),
                at: at(5),
                beside: [text("01")].into(),
            },
            Some(Self::Claimed { .. }) => return None,
        })
    }
}
