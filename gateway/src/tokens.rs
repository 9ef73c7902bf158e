//! The tokens resource: tokens for browsers and players, which cannot send headers.

mod revoke;

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    BatchId, JobId, UploadId,
    batch::{Batch, BatchState},
    job::{Job, JobState},
    key::Scope,
};
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi, types::Any};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use self::revoke::{RevokeBody, RevokedToken};
use crate::{
    auth::{Auth, CredentialKind, Principal, Token, TokenScope, UploadGrant},
    body::StrictJson,
    clock,
    jobs::spec_size,
    playback,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
    uploads,
};

pub(crate) struct Tokens;

/// What a token gives access to: one of `job`, `batch`, `outputs`, `feed` and `upload`.
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
    /// One file, which a page sends to `url`.
    upload: Option<UploadGrantBody>,
    /// Lifetime in seconds, 1 to 3600, for `outputs` up to 604800 (7 days), for `upload` up to 86400; 300
    /// if absent.
    ttl: Option<u64>,
}

/// One upload without a key. The token contains these fields, and anyone who has it can read them.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "UploadGrant")]
pub(crate) struct UploadGrantBody {
    /// Maximum size of the file in bytes; the account's limit if absent.
    max_bytes: Option<u64>,
    /// The job that is submitted with the file as its `input`: the body of its POST, with its `kind`, up
    /// to 2 KiB.
    then: Option<Any<Value>>,
}

/// Maximum size of `then` in bytes: it is part of a URL.
const MAX_THEN: usize = 2 * 1024;

impl UploadGrantBody {
    /// Checks the job as far as that is possible without its input.
    async fn read(
        self,
        gateway: &Gateway,
        principal: &Principal,
        id: UploadId,
    ) -> Result<UploadGrant, Problem> {
        let pointer = "#/upload/then";
        let then = match self.then {
            None => None,
            Some(Any(Value::Object(then))) => Some(then),
            Some(_) => return Err(Problem::field(Kind::Invalid, pointer, "a job is an object")),
        };
        if let Some(then) = &then {
            let size = serde_json::to_string(then).map_or(usize::MAX, |text| text.len());
            if size > MAX_THEN {
                let detail = format!("`then` has up to {MAX_THEN} bytes, this one has {size}");
                return Err(Problem::field(Kind::Invalid, pointer, detail));
            }
            let spec = uploads::then::spec(gateway, &principal.tenant, then.clone(), id).await;
            let checked = spec.and_then(|spec| spec_size::check(&spec).map(|_| ()));
            checked.map_err(|problem| problem.within("/upload/then"))?;
        }
        if self.max_bytes == Some(0) {
            let detail = "a file has at least one byte";
            return Err(Problem::field(Kind::Invalid, "#/upload/max_bytes", detail));
        }
        Ok(UploadGrant { max_bytes: self.max_bytes, then })
    }
}

/// A token; it is only in this response.
#[derive(Debug, Object)]
#[oai(rename = "Token", skip_serializing_if_is_none)]
pub(crate) struct TokenShown {
    /// To be sent as `?token=…`.
    token: String,
    /// The path with the token in it. For `outputs`, names of outputs, and the relative URLs in
    /// playlists, are appended to it. For `upload`, the file is sent to it by POST, as the body or in a
    /// form.
    url: Option<String>,
    expires_at: String,
}

/// The scope that a body names, if the job or batch exists.
async fn scope_of(
    gateway: &Gateway,
    principal: &Principal,
    body: &TokenBody,
) -> Result<TokenScope, Problem> {
    let TokenBody { job, outputs, batch, feed, upload, .. } = body;
    let unknown = |pointer: &str, resource| {
        Problem::field(Kind::Invalid, pointer, format!("there is no such {resource}"))
    };
    let tenant = principal.tenant.as_str();
    if upload.is_some() {
        let id = UploadId::from_uuid(Uuid::now_v7());
        let alone = job.is_none() && outputs.is_none() && batch.is_none() && feed.is_none();
        let detail = "a token is for one of `job`, `outputs`, `batch`, `feed` and `upload`";
        let problem = || Problem::field(Kind::Invalid, "#/upload", detail);
        return alone.then_some(TokenScope::Upload(id)).ok_or_else(problem);
    }
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
            let detail =
                "give one of `job`, `outputs` and `batch`, with an id, or `feed`, or `upload`";
            Err(Problem::field(Kind::Invalid, "#/job", detail))
        }
    }
}

/// Lifetime of tokens in seconds.
const DEFAULT_TTL: u64 = 300;
const MAX_TTL: u64 = 3_600;
/// The same for outputs, which players read for as long as a video lasts, or a page is open.
const MAX_OUTPUTS_TTL: u64 = 7 * 24 * 3_600;
/// The same for uploads: until then it is known which tokens were used.
const MAX_UPLOAD_TTL: u64 = 24 * 3_600;

#[OpenApi(prefix_path = "/api/v1")]
impl Tokens {
    /// Create a token for a browser or player
    ///
    /// Sent as `?token=…`, or in the path that `url` is, it gives read access to what it was created
    /// for, until it expires, or it or the key that created it is revoked. Open event streams end with it.
    /// Pages of any origin may use `url`. A token for `upload` is for one file: the same file may be sent
    /// again, another may not.
    #[oai(path = "/tokens", method = "post", operation_id = "createToken")]
    async fn create(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<TokenBody>,
    ) -> Result<Reply<201, TokenShown>> {
        let is_upload = body.value.upload.is_some();
        let scope = if is_upload { Scope::JobsWrite } else { Scope::JobsRead };
        let principal = auth.require(scope)?;
        if principal.credential == CredentialKind::Issued {
            let detail = "tokens are created with an API key, not with an issuer's token";
            return Err(Problem::new(Kind::Forbidden, detail).into());
        }
        let scope = scope_of(&gateway, principal, &body.value).await?;
        let ttl = body.value.ttl.unwrap_or(DEFAULT_TTL);
        let max = match scope {
            TokenScope::Outputs(_) => MAX_OUTPUTS_TTL,
            TokenScope::Upload(_) => MAX_UPLOAD_TTL,
            TokenScope::Job(_) | TokenScope::Batch(_) | TokenScope::Feed => MAX_TTL,
        };
        if !(1..=max).contains(&ttl) {
            let detail = format!("such a token is valid for 1 to {max} seconds");
            return Err(Problem::field(Kind::Invalid, "#/ttl", detail).into());
        }
        let upload = match (body.value.upload, scope) {
            (Some(upload), TokenScope::Upload(id)) => {
                Some(upload.read(&gateway, principal, id).await?)
            }
            _ => None,
        };
        let expires_at = clock::now().plus(Duration::from_secs(ttl));
        let token = Token {
            key: principal.key,
            scope,
            expires_at: expires_at.as_millis(),
            upload,
            nonce: Some(crate::random::number()?),
        };
        let token = token.sign(gateway.credentials.pepper());
        let unsigned = || Problem::new(Kind::Internal, "the token could not be signed");
        let token = token.ok_or_else(unsigned)?;
        let url = match scope {
            TokenScope::Outputs(_) => Some(playback::url(&token)),
            TokenScope::Upload(_) => Some(playback::upload_url(&token)),
            TokenScope::Job(_) | TokenScope::Batch(_) | TokenScope::Feed => None,
        };
        Ok(Reply::new(TokenShown { token, url, expires_at: expires_at.to_string() }))
    }

    /// Revoke a token
    ///
    /// Every gateway rejects it within a moment, and its open event streams end; other tokens of its key
    /// stay valid. Any key of the account that could have created the token may revoke it. Files that a
    /// CDN or browser has cached stay there for as long as their `Cache-Control` says.
    #[oai(path = "/tokens/revoke", method = "post", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<RevokeBody>,
    ) -> Result<Reply<200, RevokedToken>> {
        let principal = auth.principal();
        Ok(revoke::revoke(&gateway, request, principal, &body.value).await?)
    }
}
