use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};

use super::{Closed, Directory, Principal};
use crate::clock;

/// How soon it is looked again while nobody can tell.
const LOOK: Duration = Duration::from_millis(500);

impl Directory {
    /// Ends when the principal may no longer: its key is revoked, narrowed or over, or its token's
    /// time is.
    pub(crate) async fn until_dismissed(self: Arc<Self>, principal: Principal) {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let now = clock::now();
            let admitted = self.still(&principal, now);
            let current = match admitted {
                Ok(current) => current,
                // Not knowing for a moment ends no stream; being told does.
                Err(Closed::Behind) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(_) => return,
            };
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
