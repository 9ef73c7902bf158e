use ffapi_domain::audit::AuditEvent;

use super::{
    Samples,
    values::{at, key, personal, text},
};

impl Samples for AuditEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Noted {
                action: text("key.refused_address"),
                key: Some(key(1)),
                address: personal("192.0.2.7"),
                request: Some(personal("GET /jobs")),
                request_id: Some(text("r")),
                count: 3,
                first: at(5),
                last: at(9),
            },
            Some(Self::Noted { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        let action = text("key.refused_address");
        vec![Self::Noted {
            action,
            key: None,
            address: personal("192.0.2.7"),
            request: None,
            request_id: None,
            count: 1,
            first: at(5),
            last: at(5),
        }]
    }
}
