use ffapi_domain::{
    Decider, Tenant,
    account::{Account, AccountEvent},
};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use sqlx::PgConnection;

use crate::ProjectionError;

/// Aggregates of a tenant whose data key is gone: their rows go, and are made anew without it.
#[derive(Debug)]
pub struct Gone<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Which, all of one category.
    pub ids: &'a [String],
}

impl Gone<'_> {
    /// Deletes by tenant (`$1`) and ids (`$2`).
    pub(crate) async fn delete(
        &self,
        transaction: &mut PgConnection,
        statement: &'static str,
    ) -> Result<(), ProjectionError> {
        sqlx::query(statement)
            .bind(self.tenant.as_str())
            .bind(self.ids)
            .execute(transaction)
            .await?;
        Ok(())
    }
}

/// The tenants that a batch says are erased. What cannot be read says nothing.
pub(crate) async fn erased(
    codec: &Codec,
    batch: &[Message],
) -> Result<Vec<Tenant>, ProjectionError> {
    let mut erased = Vec::new();
    for message in batch {
        let Some((Account::CATEGORY, tenant, _)) = message.address() else { continue };
        let Ok(tenant) = tenant.parse::<Tenant>() else { continue };
        let decision: Decision<AccountEvent> = match codec.decode(&message.payload).await {
            Ok(decision) => decision,
            Err(CodecError::Unreadable(_)) => continue,
            Err(error) => return Err(ProjectionError::from_codec(message.sequence, error)),
        };
        if decision.events.iter().any(|event| matches!(event, AccountEvent::Erased {})) {
            erased.push(tenant);
        }
    }
    Ok(erased)
}
