use ffapi_domain::quota::QuotaEvent;

use super::{
    Samples,
    values::{job, key},
};

const MICROS: u64 = 60_000_000;

impl Samples for QuotaEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Reserved {
                job: job(7),
                key: Some(key(2)),
                makers: vec![key(1)],
                micros: MICROS,
            },
            Some(Self::Reserved { .. }) => Self::Settled { job: job(7), micros: MICROS },
            Some(Self::Settled { .. }) => return None,
        })
    }
}
