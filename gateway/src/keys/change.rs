use std::time::Duration;

use ffapi_commands::HandleError;
use ffapi_domain::{
    Decider,
    key::{ClaimPurpose, Key, KeyCommand, KeyRejection},
};
use poem::Request;

use super::{
    quota, rotation,
    show::{KeyShown, response_with},
};
use crate::{
    audit_notes::AuditRecord,
    auth::{KnownKey, Principal, mint},
    clock,
    if_match::version,
    problem::Problem,
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

/// A command for one key.
pub(super) struct Change<'a> {
    pub(super) request: &'a Request,
    pub(super) principal: &'a Principal,
    pub(super) key: KnownKey,
    pub(super) if_match: Option<String>,
}

/// How many seconds the old secret stays valid if the request does not say.
const DEFAULT_GRACE: u64 = 86_400;
const MAX_GRACE: u64 = 30 * 86_400;

impl Change<'_> {
    /// Executes the command and responds with the key's state after it.
    pub(super) async fn execute(
        self,
        gateway: &Gateway,
        command: KeyCommand,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        self.execute_with_secret(gateway, command, None).await
    }

    /// Changes when a key expires. An expired key may become valid again, and then needs a slot of
    /// the account's keys.
    pub(super) async fn extend(
        self,
        gateway: &Gateway,
        command: KeyCommand,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        // A rejected command must not take a slot.
        let version = self.if_match.as_deref().map(version).transpose()?.flatten();
        if version.is_some_and(|version| version != self.key.version) {
            return Err(HandleError::<KeyRejection>::VersionMismatch(self.key.version).into());
        }
        Key::decide(&self.key.state, command.clone()).map_err(Problem::from)?;
        // The key may have expired, or expire before this is written, so that it becomes valid
        // again.
        let caller = caller(self.principal, self.request);
        quota::claim(gateway, &self.key.tenant, &caller, self.key.id, ClaimPurpose::Extend).await?;
        self.execute(gateway, command).await
    }

    pub(super) async fn rotate(
        self,
        gateway: &Gateway,
        grace: Option<u64>,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        let held = self.key.state.key().ok_or_else(|| Problem::not_found("key"))?;
        let has_grace = grace.is_some();
        let grace = grace.unwrap_or(DEFAULT_GRACE);
        if grace > MAX_GRACE {
            let detail = format!("`grace` must be 0 to {MAX_GRACE} seconds");
            return Err(Problem::parameter("grace", detail));
        }
        self.principal.grant().covers(&held.scopes, &held.terms).map_err(KeyRejection::from)?;
        // With `grace`, the secret is replaced now, even if an automatically rotated one was not
        // collected.
        if !has_grace && let Some(secret) = rotation::collect(&gateway.vault, &self.key).await? {
            let record = AuditRecord::about(self.request, self.principal, "key.secret_collected");
            gateway.audit.note(record);
            return Ok(response_with(&self.key, Some(secret)));
        }
        let minted = mint(gateway.credentials.pepper(), self.key.id, crate::random::bytes()?);
        let command = KeyCommand::Rotate {
            hash: minted.hash,
            pepper_version: minted.pepper_version,
            grace: Duration::from_secs(grace),
            replaces: None,
            by: self.principal.grant(),
            at: clock::now(),
        };
        self.execute_with_secret(gateway, command, Some(minted.secret)).await
    }

    async fn execute_with_secret(
        self,
        gateway: &Gateway,
        command: KeyCommand,
        secret: Option<String>,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        let version = self.if_match.as_deref().map(version).transpose()?.flatten();
        let caller = caller(self.principal, self.request);
        let (tenant, id) = (&self.key.tenant, self.key.id.to_string());
        let handled =
            gateway.commands.handle_if::<Key>(tenant.as_str(), &id, &caller, command, version);
        let handled = handled.await?;
        gateway.credentials.reach(handled.position.sequence).await?;
        let known = gateway.credentials.key(self.key.id).unwrap_or(self.key);
        Ok(response_with(&known, secret).position(handled.position))
    }
}
