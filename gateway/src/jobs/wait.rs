use std::time::Duration;

use ffapi_domain::{JobId, Tenant, job::Job};

use crate::{
    event_bus::{Topic, next_logged},
    state::Gateway,
};

/// Upper bound of `Prefer: wait`.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// Parses `Prefer: wait=N` in seconds, limited to [`MAX_WAIT`].
pub(crate) fn requested(prefer: Option<&str>) -> Option<Duration> {
    let wait = prefer?.split([',', ';']).find_map(|part| part.trim().strip_prefix("wait="))?;
    Some(Duration::from_secs(wait.trim().parse().ok()?).min(MAX_WAIT))
}

/// Waits until a job ends or the timeout elapses. An error of the log does not end the wait early.
pub(crate) async fn until_over(gateway: &Gateway, tenant: &Tenant, id: JobId, timeout: Duration) {
    let mut receiver = gateway.event_bus.subscribe(Topic::Job(id));
    let over = async {
        loop {
            let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await;
            if state.is_ok_and(|state| state.is_over()) {
                return;
            }
            next_logged(&mut receiver).await;
        }
    };
    let _ = tokio::time::timeout(timeout, over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_from_prefer_and_bounded() {
        assert_eq!(requested(Some("wait=5")), Some(Duration::from_secs(5)));
        assert_eq!(requested(Some("respond-async, wait=10")), Some(Duration::from_secs(10)));
        assert_eq!(requested(Some("wait=9999")), Some(MAX_WAIT));
        for none in [None, Some(""), Some("wait=x"), Some("handling=strict")] {
            assert_eq!(requested(none), None);
        }
    }
}
