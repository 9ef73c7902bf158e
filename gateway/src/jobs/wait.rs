use std::time::Duration;

use ffapi_domain::{JobId, Tenant, job::Job};

use crate::{
    event_bus::{Topic, next_logged},
    state::Gateway,
};

/// A wait is bounded, whatever is asked for.
const LONGEST: Duration = Duration::from_mins(1);

/// `Prefer: wait=N`, if it is there.
pub(crate) fn patience(prefer: Option<&str>) -> Option<Duration> {
    let wait = prefer?.split([',', ';']).find_map(|part| part.trim().strip_prefix("wait="))?;
    Some(Duration::from_secs(wait.trim().parse().ok()?).min(LONGEST))
}

/// Waits until a job is over, at most so long. Trouble ends the wait: the answer tells the rest.
pub(crate) async fn for_the_end(gateway: &Gateway, tenant: &Tenant, id: JobId, patience: Duration) {
    let mut listener = gateway.hub.listen(Topic::Job(id));
    let over = async {
        loop {
            let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await;
            if state.is_ok_and(|state| state.is_over()) {
                return;
            }
            next_logged(&mut listener).await;
        }
    };
    let _ = tokio::time::timeout(patience, over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_from_prefer_and_bounded() {
        assert_eq!(patience(Some("wait=5")), Some(Duration::from_secs(5)));
        assert_eq!(patience(Some("respond-async, wait=10")), Some(Duration::from_secs(10)));
        assert_eq!(patience(Some("wait=9999")), Some(LONGEST));
        for none in [None, Some(""), Some("wait=x"), Some("handling=strict")] {
            assert_eq!(patience(none), None);
        }
    }
}
