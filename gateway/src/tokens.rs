//! The tokens resource: tokens for browsers and players, which cannot send headers.

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    BatchId, JobId,
    batch::{Batch, BatchState},
    job::{Job, JobState},
    key::Scope,
};
use poem::{Result, web::Data};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::{
    auth::{Auth, CredentialKind, Principal, Token, TokenScope},
    body::StrictJson,
    clock, playback,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

pub(crate) struct Tokens;

/// What a token gives access to: one of `job`, `batch`, `outputs` and `feed`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "TokenCreate")]
pub(crate) struct TokenBody {
    /// The events of this job.
    job: Option<String>,
    /// The outputs of this job.
    outputs: Option<String>,
    /// The events of this batch and its jobs.
    batch: Option<String>,
    /// True for all events of the account.
    feed: Option<bool>,
    /// Lifetime in seconds, 1 to 3600, for `outputs` up to 604800 (7 days); 300 if absent.
    ttl: Option<u64>,
}

/// A token; it is only in this response.
#[derive(Debug, Object)]
#[oai(rename = "Token", skip_serializing_if_is_none)]
pub(crate) struct TokenShown {
    /// To be sent as `?token=…`.
    token: String,
    /// The path of the outputs with the token in it: names of outputs, and the relative URLs in
    /// playlists, are appended to it. Only for `outputs`.
    url: Option<String>,
    expires_at: String,
}

/// The scope that a body names, if the job or batch exists.
async fn scope(
    gateway: &Gateway,
    principal: &Principal,
    body: &TokenBody,
) -> Result<TokenScope, Problem> {
    let TokenBody { job, outputs, batch, feed, .. } = body;
    let unknown = |pointer: &str, resource| {
        Problem::field(Kind::Invalid, pointer, format!("there is no such {resource}"))
    };
    let tenant = principal.tenant.as_str();
    match (job, outputs, batch, feed.unwrap_or(false)) {
        (Some(id), None, None, false) | (None, Some(id), None, false) => {
            let pointer = if job.is_some() { "#/job" } else { "#/outputs" };
            let id: JobId = id.parse().map_err(|_| unknown(pointer, "job"))?;
            let state = gateway.commands.state::<Job>(tenant, &id.to_string()).await?;
            if state == JobState::Unknown {
                return Err(unknown(pointer, "job"));
            }
            Ok(if job.is_some() { TokenScope::Job(id) } else { TokenScope::Outputs(id) })
        }
        (None, None, Some(id), false) => {
            let id: BatchId = id.parse().map_err(|_| unknown("#/batch", "batch"))?;
            let state = gateway.commands.state::<Batch>(tenant, &id.to_string()).await?;
            if state == BatchState::Unknown {
                return Err(unknown("#/batch", "batch"));
            }
            Ok(TokenScope::Batch(id))
        }
        (None, None, None, true) => Ok(TokenScope::Feed),
        _ => {
            let detail = "give one of `job`, `outputs` and `batch`, with an id, or `feed`";
            Err(Problem::field(Kind::Invalid, "#/job", detail))
        }
    }
}

/// Lifetime of tokens in seconds.
const DEFAULT_TTL: u64 = 300;
const MAX_TTL: u64 = 3_600;
/// The same for outputs, which players read for as long as a video lasts, or a page is open.
const MAX_OUTPUTS_TTL: u64 = 7 * 24 * 3_600;

#[OpenApi(prefix_path = "/api/v1")]
impl Tokens {
    /// Create a token for a browser or player
    ///
    /// Sent as `?token=…`, or in the path that `url` is, it gives read access to what it was created
    /// for, until it expires or the key that created it is revoked. Open event streams end with it.
    /// Pages of any origin may read from `url`.
    #[oai(path = "/tokens", method = "post", operation_id = "createToken")]
    async fn create(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<TokenBody>,
    ) -> Result<Reply<201, TokenShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        if principal.credential == CredentialKind::Issued {
            let detail = "tokens are created with an API key, not with an issuer's token";
            return Err(Problem::new(Kind::Forbidden, detail).into());
        }
        let scope = scope(&gateway, principal, &body.value).await?;
        let ttl = body.value.ttl.unwrap_or(DEFAULT_TTL);
        let is_outputs = matches!(scope, TokenScope::Outputs(_));
        let max = if is_outputs { MAX_OUTPUTS_TTL } else { MAX_TTL };
        if !(1..=max).contains(&ttl) {
            let detail = format!("such a token is valid for 1 to {max} seconds");
            return Err(Problem::field(Kind::Invalid, "#/ttl", detail).into());
        }
        let expires_at = clock::now().plus(Duration::from_secs(ttl));
        let token = Token { key: principal.key, scope, expires_at: expires_at.as_millis() };
        let token = token.sign(gateway.credentials.pepper());
        let unsigned = || Problem::new(Kind::Internal, "the token could not be signed");
        let token = token.ok_or_else(unsigned)?;
        let url = is_outputs.then(|| playback::url(&token));
        Ok(Reply::new(TokenShown { token, url, expires_at: expires_at.to_string() }))
    }
}
