use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ffapi_domain::key::{KeyTerms, Scope};
use futures::{Stream, StreamExt};

use super::{AuthError, CredentialKind, CredentialStore, Principal};
use crate::clock;

/// When access is checked again while the credential store is stale.
const STALE_RECHECK_INTERVAL: Duration = Duration::from_millis(500);
/// When access is checked again if it has no known end.
const RECHECK_INTERVAL: Duration = Duration::from_hours(24);

/// Whether an open stream may continue.
enum StreamAccess {
    /// For this long, unless a key or an account changes.
    For(Duration),
    /// The credential store is stale, which does not end streams by itself.
    Unknown,
    Ended,
}

impl CredentialStore {
    fn stream_access(&self, principal: &Principal) -> StreamAccess {
        let now = clock::now();
        let current = match self.recheck(principal, now) {
            Ok(current) => current,
            Err(AuthError::Stale) => return StreamAccess::Unknown,
            Err(_) => return StreamAccess::Ended,
        };
        if current.require(Scope::JobsRead).is_err() {
            return StreamAccess::Ended;
        }
        match [current.terms.expires_at, principal.until].into_iter().flatten().min() {
            Some(end) if end <= now => StreamAccess::Ended,
            Some(end) => StreamAccess::For(end.since(now)),
            None => StreamAccess::For(RECHECK_INTERVAL),
        }
    }

    /// Completes when the principal loses access: its key is revoked, narrowed or expired, or its
    /// token expires.
    pub(crate) async fn until_unauthorized(self: Arc<Self>, principal: Principal) {
        let mut changes = self.access_changes();
        loop {
            changes.mark_unchanged();
            // Nothing that was looked up is kept across the wait: thousands of streams may wait.
            let left = match self.stream_access(&principal) {
                StreamAccess::For(left) => left,
                StreamAccess::Unknown => STALE_RECHECK_INTERVAL,
                StreamAccess::Ended => return,
            };
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }
}

/// The same stream, ended when the principal loses access.
pub(crate) fn while_authorized<S: Stream>(
    credentials: &Arc<CredentialStore>,
    principal: &Principal,
    stream: S,
) -> impl Stream<Item = S::Item> + use<S> {
    let mut watched = principal.clone();
    if watched.credential == CredentialKind::Key {
        // The scopes and terms of the key are looked up at each check.
        (watched.scopes, watched.terms) = (BTreeSet::new(), KeyTerms::default());
    }
    let unauthorized = Arc::clone(credentials).until_unauthorized(watched);
    stream.take_until(Box::pin(unauthorized))
}
