use ffapi_domain::key::{ClaimPurpose, KeyEvent, KeyQuotaEvent, KeyTerms, Scope, TokenId};

use super::{
    Samples,
    values::{at, key, network, personal, text},
};

impl Samples for KeyEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Created {
                name: personal("k"),
                hash: text("00"),
                pepper_version: 1,
                scopes: Scope::ALL.into(),
                description: Some(personal("d")),
                terms: terms(),
                makers: vec![key(2), key(1)],
                at: at(5),
            },
            Some(Self::Created { .. }) => Self::Updated {
                name: personal("k"),
                description: Some(personal("d")),
                scopes: [Scope::JobsRead, Scope::JobsWrite].into(),
                terms: terms(),
            },
            Some(Self::Updated { .. }) => Self::Extended { expires_at: Some(at(9)) },
            Some(Self::Extended { .. }) => Self::RotationDue { due: at(9) },
            Some(Self::RotationDue { .. }) => {
                Self::Rotated { hash: text("01"), pepper_version: 2, old_until: at(9), at: at(5) }
            }
            Some(Self::Rotated { .. }) => Self::TokenRevoked {
                token: TokenId::from_digest(&[7; 32]),
                expires_at: at(9),
                at: at(5),
            },
            Some(Self::TokenRevoked { .. }) => Self::Revoked {},
            Some(Self::Revoked {}) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        vec![
            Self::Created {
                name: personal("k"),
                hash: text("00"),
                pepper_version: 1,
                scopes: [Scope::JobsRead].into(),
                description: None,
                terms: KeyTerms::default(),
                makers: vec![key(1)],
                at: at(5),
            },
            Self::Updated {
                name: personal("k"),
                description: None,
                scopes: [Scope::JobsRead].into(),
                terms: KeyTerms::default(),
            },
            Self::Extended { expires_at: None },
        ]
    }
}

fn terms() -> KeyTerms {
    KeyTerms {
        expires_at: Some(at(9)),
        rotate_every: Some(86_400),
        allowed_ips: [network("10.0.0.0/8"), network("2001:db8::/32")].into(),
        max_concurrent_jobs: Some(2),
        monthly_limit_minutes: Some(60),
    }
}

impl Samples for KeyQuotaEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Claimed {
                key: key(1),
                gone: [key(2)].into(),
                at: at(5),
                purpose: ClaimPurpose::Extend,
            },
            Some(Self::Claimed { .. }) => return None,
        })
    }
}
