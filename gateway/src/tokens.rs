//! The tokens resource: tokens for browsers and players, which cannot send headers.

mod revoke;

use std::{fmt::Display, str::FromStr, sync::Arc, time::Duration};

use ffapi_domain::{Decider, Tenant, UploadId, batch::Batch, job::Job, key::Scope};
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi, types::Any};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use self::revoke::{RevokeBody, RevokedToken};
use crate::{
    auth::{Auth, CredentialKind, Principal, Token, TokenScope, UploadGrant},
    body::{StrictJson, Unread},
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

/// What a token is to give access to, and for how long.
struct Wanted {
    scope: TokenScope,
    ttl: Duration,
    /// For `TokenScope::Upload`.
    upload: Option<UploadGrant>,
}

impl TokenBody {
    /// # Errors
    /// The first wrong field; what depends on jobs, batches and presets is not checked.
    fn read(self) -> Result<Wanted, Problem> {
        let scope = self.scope()?;
        let max = match scope {
            TokenScope::Outputs(_) => MAX_OUTPUTS_TTL,
            TokenScope::Upload(_) => MAX_UPLOAD_TTL,
            TokenScope::Job(_) | TokenScope::Batch(_) | TokenScope::Feed => MAX_TTL,
        };
        let ttl = self.ttl.unwrap_or(DEFAULT_TTL);
        if !(1..=max).contains(&ttl) {
            let detail = format!("such a token is valid for 1 to {max} seconds");
            return Err(Problem::field(Kind::Invalid, "#/ttl", detail));
        }
        let upload = self.upload.map(UploadGrantBody::read).transpose()?;
        Ok(Wanted { scope, ttl: Duration::from_secs(ttl), upload })
    }

    fn scope(&self) -> Result<TokenScope, Problem> {
        let feed = self.feed.unwrap_or(false);
        match (&self.job, &self.outputs, &self.batch, feed, &self.upload) {
            (Some(id), None, None, false, None) => Ok(TokenScope::Job(id_of(id, "job")?)),
            (None, Some(id), None, false, None) => Ok(TokenScope::Outputs(id_of(id, "outputs")?)),
            (None, None, Some(id), false, None) => Ok(TokenScope::Batch(id_of(id, "batch")?)),
            (None, None, None, true, None) => Ok(TokenScope::Feed),
            (None, None, None, false, Some(_)) => {
                Ok(TokenScope::Upload(UploadId::from_uuid(Uuid::now_v7())))
            }
            (.., Some(_)) => {
                let detail = "a token is for one of `job`, `outputs`, `batch`, `feed` and `upload`";
                Err(Problem::field(Kind::Invalid, "#/upload", detail))
            }
            _ => {
                let detail =
                    "give one of `job`, `outputs` and `batch`, with an id, or `feed`, or `upload`";
                Err(Problem::field(Kind::Invalid, "#/job", detail))
            }
        }
    }
}

fn id_of<I: FromStr>(text: &str, field: &str) -> Result<I, Problem> {
    text.parse().map_err(|_| unknown(field))
}

/// There is no such job or batch as this field names.
fn unknown(field: &str) -> Problem {
    let resource = if field == "batch" { "batch" } else { "job" };
    let detail = format!("there is no such {resource}");
    Problem::field(Kind::Invalid, &format!("#/{field}"), detail)
}

impl UploadGrantBody {
    fn read(self) -> Result<UploadGrant, Problem> {
        let then = match self.then {
            None => None,
            Some(Any(Value::Object(then))) => Some(then),
            Some(_) => return Err(Problem::field(Kind::Invalid, THEN, "a job is an object")),
        };
        let size = serde_json::to_string(&then).map_or(usize::MAX, |text| text.len());
        if size > MAX_THEN {
            let detail = format!("`then` has up to {MAX_THEN} bytes, this one has {size}");
            return Err(Problem::field(Kind::Invalid, THEN, detail));
        }
        if self.max_bytes == Some(0) {
            let detail = "a file has at least one byte";
            return Err(Problem::field(Kind::Invalid, "#/upload/max_bytes", detail));
        }
        Ok(UploadGrant { max_bytes: self.max_bytes, then })
    }
}

/// Where the job of an upload is in the body.
const THEN: &str = "#/upload/then";

impl Wanted {
    /// Checks what the log and the presets say of it.
    ///
    /// # Errors
    /// Unless the job or batch exists, and the job of an upload is possible, as far as that is known
    /// without its input.
    async fn check(&self, gateway: &Gateway, principal: &Principal) -> Result<(), Problem> {
        let tenant = &principal.tenant;
        let (field, exists) = match self.scope {
            TokenScope::Job(id) => ("job", exists::<Job>(gateway, tenant, id).await?),
            TokenScope::Outputs(id) => ("outputs", exists::<Job>(gateway, tenant, id).await?),
            TokenScope::Batch(id) => ("batch", exists::<Batch>(gateway, tenant, id).await?),
            TokenScope::Feed => ("feed", true),
            TokenScope::Upload(_) => ("upload", true),
        };
        if !exists {
            return Err(unknown(field));
        }
        if let (TokenScope::Upload(id), Some(UploadGrant { then: Some(then), .. })) =
            (self.scope, &self.upload)
        {
            let spec = uploads::then::spec(gateway, tenant, then.clone(), id).await;
            let checked = spec.and_then(|spec| spec_size::check(&spec).map(|_| ()));
            checked.map_err(|problem| problem.within("/upload/then"))?;
        }
        Ok(())
    }
}

/// True if the log has events of this aggregate.
async fn exists<D>(gateway: &Gateway, tenant: &Tenant, id: impl Display) -> Result<bool, Problem>
where
    D: Decider,
    D::Event: DeserializeOwned,
    D::State: Clone + PartialEq + 'static,
{
    let state = gateway.commands.state::<D>(tenant.as_str(), &id.to_string()).await?;
    Ok(state != D::State::default())
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
        body: Unread<TokenBody>,
    ) -> Result<Reply<201, TokenShown>> {
        let is_upload = body.value.get("upload").is_some_and(|upload| !upload.is_null());
        let scope = if is_upload { Scope::JobsWrite } else { Scope::JobsRead };
        let principal = auth.require(scope)?;
        if principal.credential == CredentialKind::Issued {
            let detail = "tokens are created with an API key, not with an issuer's token";
            return Err(Problem::new(Kind::Forbidden, detail).into());
        }
        let wanted = body.read(TokenBody::read)?;
        wanted.check(&gateway, principal).await?;
        let Wanted { scope, ttl, upload } = wanted;
        let expires_at = clock::now().plus(ttl);
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
