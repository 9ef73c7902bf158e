use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};

use super::{Directory, Principal};
use crate::clock;

impl Directory {
    /// Ends when the principal may no longer: its key is revoked, narrowed or over, or its token's
    /// time is.
    pub(crate) async fn until_dismissed(self: Arc<Self>, principal: Principal) {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let now = clock::now();
            let admitted = self.still(&principal, now);
            let Ok(current) = admitted else { return };
            // Whoever watches must still be let see jobs.
            if current.may(domain::key::Scope::JobsRead).is_err() {
                return;
            }
            let ends = [current.terms.expires_at, principal.until].into_iter().flatten().min();
            if ends.is_some_and(|end| end <= now) {
                return;
            }
            let left = ends.map_or(Duration::from_hours(24), |end| end.since(now));
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }
}

/// The same stream, ended when the principal may no longer see it.
pub(crate) fn while_admitted<S: Stream>(
    directory: &Arc<Directory>,
    principal: &Principal,
    stream: S,
) -> impl Stream<Item = S::Item> + use<S> {
    let dismissed = Arc::clone(directory).until_dismissed(principal.clone());
    stream.take_until(Box::pin(dismissed))
}
