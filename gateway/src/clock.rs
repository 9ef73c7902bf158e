use std::time::SystemTime;

use ffapi_domain::Timestamp;

/// The current time of the system clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
