use std::time::Duration;

use ffapi_commands::HandleError;
use ffapi_domain::{
    Decider,
    key::{ClaimPurpose, Key, KeyCommand, KeyRejection},
};
use poem::Request;

use super::{
    quota, rotation,
    show::{KeyShown, answer_with},
};
use crate::{
    audit_notes::AuditRecord,
    auth::{KnownKey, Principal, mint},
    clock,
    if_match::version,
    problem::{Kind, Problem},
    reply::Reply,
    state::{Gateway, caller},
};

/// A command for one key.
pub(super) struct Change<'a> {
    pub(super) request: &'a Request,
    pub(super) principal: &'a Principal,
    pub(super) key: KnownKey,
    pub(super) if_match: Option<String>,
}

/// How long an old secret opens beside the new one, if nothing is said.
const GRACE: u64 = 86_400;
const LONGEST_GRACE: u64 = 30 * 86_400;

impl Change<'_> {
    /// Gives the command and shows the key as it stands after it.
    pub(super) async fn give(
        self,
        gateway: &Gateway,
        command: KeyCommand,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        self.give_and_tell(gateway, command, None).await
    }

    /// Changes when a key expires, which may open it again and then takes a slot of the account's keys.
    pub(super) async fn extend(
        self,
        gateway: &Gateway,
        command: KeyCommand,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        // What is refused takes no slot.
        let version = self.if_match.as_deref().map(version).transpose()?.flatten();
        if version.is_some_and(|version| version != self.key.version) {
            return Err(HandleError::<KeyRejection>::VersionMismatch(self.key.version).into());
        }
        Key::decide(&self.key.state, command.clone()).map_err(Problem::from)?;
        // It may have expired, or expire before this is written: it would open again.
        let caller = caller(self.principal, self.request);
        quota::claim(gateway, &self.key.tenant, &caller, self.key.id, ClaimPurpose::Extend).await?;
        self.give(gateway, command).await
    }

    pub(super) async fn rotate(
        self,
        gateway: &Gateway,
        grace: Option<u64>,
    ) -> Result<Reply<200, KeyShown>, Problem> {
        let held = self.key.state.key().ok_or_else(|| Problem::not_found("key"))?;
        let asked = grace.is_some();
        let grace = grace.unwrap_or(GRACE);
        if grace > LONGEST_GRACE {
            let detail = format!("a grace is 0 to {LONGEST_GRACE} seconds");
            return Err(Problem::field(Kind::Malformed, "#grace", detail));
        }
        self.principal.grant().covers(&held.scopes, &held.terms).map_err(KeyRejection::from)?;
        // Who says how long the old one may go on wants it replaced now, whatever waits.
        if !asked && let Some(secret) = rotation::collect(gateway, &self.key).await? {
            let fact = AuditRecord::about(self.request, self.principal, "key.secret_collected");
            gateway.audit.note(fact);
            return Ok(answer_with(&self.key, Some(secret)));
        }
        let minted = mint(gateway.directory.pepper(), self.key.id, crate::random::bytes()?);
        let command = KeyCommand::Rotate {
            hash: minted.hash,
            pepper_version: minted.pepper_version,
            grace: Duration::from_secs(grace),
            replaces: None,
            by: self.principal.grant(),
            at: clock::now(),
        };
        self.give_and_tell(gateway, command, Some(minted.secret)).await
    }

    async fn give_and_tell(
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
        gateway.directory.catch_up(gateway.commands.log()).await?;
        let known = gateway.directory.key(self.key.id).unwrap_or(self.key);
        Ok(answer_with(&known, secret).position(handled.position))
    }
}
