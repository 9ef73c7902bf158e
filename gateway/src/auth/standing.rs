use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::key::{KeyTerms, Scope};
use futures::{Stream, StreamExt};

use super::{Closed, Directory, Principal, Shown};
use crate::clock;

/// How soon it is looked again while nobody can tell.
const LOOK: Duration = Duration::from_millis(500);
/// And while nothing is known to end it.
const DAY: Duration = Duration::from_hours(24);

/// Whether somebody who was let in may stay.
enum Standing {
    /// For so long, unless something changes.
    For(Duration),
    /// Not knowing for a moment ends no stream; being told does.
    Unknown,
    Over,
}

impl Directory {
    fn standing(&self, principal: &Principal) -> Standing {
        let now = clock::now();
        let current = match self.still(principal, now) {
            Ok(current) => current,
            Err(Closed::Behind) => return Standing::Unknown,
            Err(_) => return Standing::Over,
        };
        // Whoever watches must still be let see jobs.
        if current.may(Scope::JobsRead).is_err() {
            return Standing::Over;
        }
        match [current.terms.expires_at, principal.until].into_iter().flatten().min() {
            Some(end) if end <= now => Standing::Over,
            Some(end) => Standing::For(end.since(now)),
            None => Standing::For(DAY),
        }
    }

    /// Ends when the principal may no longer: its key is revoked, narrowed or over, or its token's
    /// time is.
    pub(crate) async fn until_dismissed(self: Arc<Self>, principal: Principal) {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            // Nothing of what was looked up is kept while it waits: thousands do.
            let left = match self.standing(&principal) {
                Standing::For(left) => left,
                Standing::Unknown => LOOK,
                Standing::Over => return,
            };
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
    let mut watched = principal.clone();
    if watched.shown == Shown::Key {
        // What the key may is looked up anew each time.
        (watched.scopes, watched.terms) = (BTreeSet::new(), KeyTerms::default());
    }
    let dismissed = Arc::clone(directory).until_dismissed(watched);
    stream.take_until(Box::pin(dismissed))
}
