use ffapi_commands::Caller;
use ffapi_domain::{
    Decider,
    storage_quota::{Due, StorageQuota},
};

use super::Conductor;
use crate::clock;

impl Conductor {
    /// Says how much each account keeps, where that changed. Repeating it is harmless.
    pub(super) async fn count_what_is_kept(&mut self) {
        let caller = Caller::process("storage");
        for Due { tenant, command } in self.kept.due(clock::now(), self.folded) {
            let name = tenant.as_str();
            let subject = format!("ev.{}.{name}.{name}", StorageQuota::CATEGORY);
            if self.broken.holds(&subject) {
                continue;
            }
            let told = self.commands.handle::<StorageQuota>(name, name, &caller, command).await;
            if let Err(error) = told
                && !self.broken.explains(&subject, &error)
            {
                tracing::warn!(%error, %tenant, "what is kept is not counted yet");
                self.kept.again(tenant);
            }
        }
    }
}
