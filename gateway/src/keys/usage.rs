use ffapi_domain::{media::Micros, quota};
use poem_openapi::Object;

use crate::{auth::KnownKey, state::Gateway};

/// Media minutes that a key used.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct KeyUsage {
    id: String,
    /// Newest first.
    months: Vec<MonthShown>,
    /// The key's limit per month; the account's limit applies as well.
    monthly_limit_minutes: Option<u64>,
}

/// One calendar month, UTC.
#[derive(Debug, Object)]
#[oai(rename = "KeyUsageMonth")]
pub(crate) struct MonthShown {
    /// Like `2026-11`.
    month: String,
    /// Media minutes used by jobs that have ended, and reserved for those that have not.
    minutes: f64,
}

/// Media minutes, rounded to hundredths.
pub(crate) fn minutes(micros: Micros) -> f64 {
    (quota::minutes(micros) * 100.0).round() / 100.0
}

pub(super) fn of(gateway: &Gateway, key: &KnownKey) -> KeyUsage {
    let months = gateway.credentials.months(&key.tenant);
    let months = months.into_iter().rev().map(|(month, state)| {
        let minutes = minutes(state.taken_by(key.id));
        MonthShown { month, minutes }
    });
    let held = key.state.key();
    KeyUsage {
        id: key.id.to_string(),
        months: months.filter(|month| month.minutes > 0.0).collect(),
        monthly_limit_minutes: held.and_then(|held| held.terms.monthly_limit_minutes),
    }
}
