use ffapi_domain::{
    Timestamp,
    key::{Key, KeyCommand, Scope},
};
use poem::Request;
use poem_openapi::Object;
use serde::Deserialize;

use crate::{
    auth::{Principal, Token, TokenScope},
    clock, playback,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

/// A token that is no longer to be accepted.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "TokenRevoke")]
pub(crate) struct RevokeBody {
    /// The token, or the URL or path that has it.
    token: String,
}

/// A token that is not accepted any more.
#[derive(Debug, Object)]
#[oai(rename = "RevokedToken")]
pub(crate) struct RevokedToken {
    /// When it would have expired.
    expires_at: String,
}

/// Revokes one token of the caller's tenant.
pub(super) async fn revoke(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    body: &RevokeBody,
) -> Result<Reply<200, RevokedToken>, Problem> {
    let text = playback::token(&body.token);
    let unknown = || {
        let detail = "this is not a token of your account, or it has expired";
        Problem::field(Kind::Invalid, "#/token", detail)
    };
    let now = clock::now();
    let token = Token::read(text, gateway.credentials.peppers(), now).ok_or_else(unknown)?;
    gateway.credentials.catch_up(gateway.commands.log()).await?;
    let key = gateway.credentials.key(token.key).ok_or_else(unknown)?;
    if key.tenant != principal.tenant {
        return Err(unknown());
    }
    principal.require(match token.scope {
        TokenScope::Upload(_) => Scope::JobsWrite,
        _ => Scope::JobsRead,
    })?;
    let expires_at = Timestamp::from_millis(token.expires_at);
    let command = KeyCommand::RevokeToken { token: Token::id(text), expires_at, at: now };
    let (tenant, id) = (key.tenant.as_str(), key.id.to_string());
    let caller = caller(principal, request);
    let handled = gateway.commands.handle::<Key>(tenant, &id, &caller, command).await?;
    gateway.credentials.reach(handled.position.sequence).await?;
    let revoked = RevokedToken { expires_at: expires_at.to_string() };
    Ok(Reply::new(revoked).position(handled.position))
}
