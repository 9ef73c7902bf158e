use domain::{
    Decider, Tenant,
    account::{Account, AccountEvent},
};
use nats::{Codec, Decision, Log, Message};

use crate::ProjectionError;

/// A tenant whose data key is gone, and up to where its rows are to be written anew.
#[derive(Debug)]
pub struct Erasure<'a> {
    /// Reads what can still be read.
    pub codec: &'a Codec,
    /// To read it again.
    pub log: &'a Log,
    /// Whose.
    pub tenant: Tenant,
    /// The last message that is in the rows.
    pub until: u64,
}

impl Erasure<'_> {
    /// What the log has of a tenant's aggregates, up to where the rows are.
    pub(crate) async fn messages(&self, category: &str) -> Result<Vec<Message>, ProjectionError> {
        let filter = format!("ev.{category}.{}.>", self.tenant);
        Ok(self.log.load_matching(&filter, self.until).await?)
    }
}

/// The tenants that a batch says are erased.
pub(crate) async fn erased(
    codec: &Codec,
    batch: &[Message],
) -> Result<Vec<Tenant>, ProjectionError> {
    let mut erased = Vec::new();
    for message in batch {
        let Some((Account::CATEGORY, tenant, _)) = message.address() else { continue };
        let Ok(tenant) = tenant.parse::<Tenant>() else { continue };
        let decision: Decision<AccountEvent> = codec
            .decode(&message.payload)
            .await
            .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
        if decision.events.iter().any(|event| matches!(event, AccountEvent::Erased {})) {
            erased.push(tenant);
        }
    }
    Ok(erased)
}
