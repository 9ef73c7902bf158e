use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ffapi_domain::key::{KeyTerms, Scope};
use futures::{Stream, StreamExt};

use super::{AuthError, CredentialKind, CredentialStore, Principal};
use crate::clock;

/// How soon it is looked again while nobody can tell.
const LOOK: Duration = Duration::from_millis(500);
/// And while nothing is known to end it.
const DAY: Duration = Duration::from_hours(24);

/// Whether somebody who was let in may stay.
enum StreamAccess {
    /// For so long, unless something changes.
    For(Duration),
    /// Not knowing for a moment ends no stream; being told does.
    Unknown,
    Over,
}

impl CredentialStore {
    fn standing(&self, principal: &Principal) -> StreamAccess {
        let now = clock::now();
        let current = match self.still(principal, now) {
            Ok(current) => current,
            Err(AuthError::Behind) => return StreamAccess::Unknown,
            Err(_) => return StreamAccess::Over,
        };
        // Whoever watches must still be let see jobs.
        if current.may(Scope::JobsRead).is_err() {
            return StreamAccess::Over;
        }
        match [current.terms.expires_at, principal.until].into_iter().flatten().min() {
            Some(end) if end <= now => StreamAccess::Over,
            Some(end) => StreamAccess::For(end.since(now)),
            None => StreamAccess::For(DAY),
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
                StreamAccess::For(left) => left,
                StreamAccess::Unknown => LOOK,
                StreamAccess::Over => return,
            };
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }
}

/// The same stream, ended when the principal may no longer see it.
pub(crate) fn while_admitted<S: Stream>(
    directory: &Arc<CredentialStore>,
    principal: &Principal,
    stream: S,
) -> impl Stream<Item = S::Item> + use<S> {
    let mut watched = principal.clone();
    if watched.shown == CredentialKind::Key {
        // What the key may is looked up anew each time.
        (watched.scopes, watched.terms) = (BTreeSet::new(), KeyTerms::default());
    }
    let dismissed = Arc::clone(directory).until_dismissed(watched);
    stream.take_until(Box::pin(dismissed))
}
