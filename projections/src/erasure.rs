use ffapi_domain::{
    Decider, Tenant,
    account::{Account, AccountEvent},
};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use sqlx::PgConnection;

use crate::ProjectionError;

/// Aggregates of a tenant whose data key was deleted: their rows are deleted and built again
/// without personal fields.
#[derive(Debug)]
pub struct ErasedAggregates<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// The ids of the aggregates, all of one category.
    pub ids: &'a [String],
}

impl ErasedAggregates<'_> {
    /// Runs a DELETE with the parameters tenant (`$1`) and ids (`$2`).
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

/// The tenants whose erasure is in a batch. Messages that cannot be decoded are ignored.
pub(crate) async fn erased(
    codec: &Codec,
    batch: &[Message],
) -> Result<Vec<Tenant>, ProjectionError> {
    let mut erased = Vec::new();
    for message in batch {
        let Some((Account::CATEGORY, tenant, _)) = message.address() else { continue };
        let Ok(tenant) = tenant.parse::<Tenant>() else { continue };
        let decision: Decision<AccountEvent> = match codec.read(message).await {
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
