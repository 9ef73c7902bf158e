use ffapi_domain::{
    dispatch::{BlockReason, DispatchEvent, Release, Waited},
    media::Pool,
};

use super::{
    Samples,
    values::{at, job},
};

impl Samples for DispatchEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Released { jobs: releases() },
            Some(Self::Released { .. }) => Self::TakenBack { jobs: releases() },
            Some(Self::TakenBack { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        let release = || vec![release(1, None)];
        vec![Self::Released { jobs: release() }, Self::TakenBack { jobs: release() }]
    }
}

fn release(n: u32, why: Option<BlockReason>) -> Release {
    let waited = why.map(|why| Waited { since: at(5), why });
    Release { job: job(n.into()), tenant: "acme".parse().unwrap(), attempt: n, waited }
}

/// One job for each reason to have waited. A job that is held is not released, so those reasons are
/// never stored; timestamps in them could not be decoded from MessagePack.
fn releases() -> Vec<Release> {
    let held = |why: &BlockReason| {
        matches!(
            why,
            BlockReason::Scheduled { .. }
                | BlockReason::Backoff { .. }
                | BlockReason::WaitingFor { .. }
        )
    };
    let stored = BlockReason::full().into_iter().filter(|why| !held(why));
    stored.zip(1..).map(|(why, n)| release(n, Some(why))).collect()
}

impl Samples for BlockReason {
    fn after(reason: Option<&Self>) -> Option<Self> {
        Some(match reason {
            None => Self::Scheduled { until: at(5) },
            Some(Self::Scheduled { .. }) => Self::Backoff { until: at(5) },
            Some(Self::Backoff { .. }) => Self::WaitingFor { job: job(2) },
            Some(Self::WaitingFor { .. }) => Self::NoWorker { pool: Pool::Vaapi },
            Some(Self::NoWorker { .. }) => Self::AccountCap { most: 2 },
            Some(Self::AccountCap { .. }) => Self::KeyCap { most: 3 },
            Some(Self::KeyCap { .. }) => Self::BatchCap { most: 4 },
            Some(Self::BatchCap { .. }) => Self::Priority,
            Some(Self::Priority) => Self::Busy,
            Some(Self::Busy) => return None,
        })
    }
}
