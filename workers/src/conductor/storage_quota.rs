use ffapi_commands::Caller;
use ffapi_domain::{
    Decider,
    storage_quota::{Due, StorageQuota},
};
use ffapi_nats::subject;

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Records how much storage each account uses, where that changed. Idempotent.
    pub(super) async fn record_storage_usage(&mut self) {
        let caller = Caller::process("storage");
        for Due { tenant, command } in self.storage_quotas.due(clock::now(), self.last_folded) {
            let name = tenant.as_str();
            let subject = subject::aggregate(StorageQuota::CATEGORY, name, name);
            if self.unreadable.contains(&subject) {
                continue;
            }
            let handled = self.commands.handle::<StorageQuota>(name, name, &caller, command).await;
            if let Err(error) = handled
                && !self.unreadable.record_failure(&subject, &error)
            {
                tracing::warn!(%error, %tenant, "cannot record the storage usage yet");
                self.storage_quotas.again(tenant);
            }
        }
    }
}
