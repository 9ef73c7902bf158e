//! The job that is submitted with an upload as its input.

use ffapi_domain::{Tenant, UploadId, job::JobSpec};
use poem::Request;
use serde_json::{Map, Value};

use crate::{
    auth::{Principal, UploadGrant},
    idempotency::Key,
    jobs::{create, show::JobBody, submit},
    presets,
    problem::{Kind, Problem},
    state::Gateway,
};

/// The upload that a token is for. The id is the token's own: it makes the upload and its job unique.
#[derive(Debug, Clone)]
pub(crate) struct UploadTicket {
    pub(crate) id: UploadId,
    pub(crate) grant: UploadGrant,
}

/// The job that a body with its `kind` describes, with an upload as its input.
pub(crate) async fn spec(
    gateway: &Gateway,
    tenant: &Tenant,
    mut then: Map<String, Value>,
    input: UploadId,
) -> Result<JobSpec, Problem> {
    let Some(Value::String(kind)) = then.remove("kind") else {
        let detail = "`kind` is `convert`, `stream`, `thumbnails`, `analyze` or `probe`";
        return Err(Problem::field(Kind::Invalid, "#/kind", detail));
    };
    if then.contains_key("input") {
        return Err(Problem::field(Kind::Invalid, "#/input", "the uploaded file is the input"));
    }
    then.insert("input".to_owned(), input.to_string().into());
    presets::apply(gateway, tenant, &kind, &mut then).await?;
    create::checked_spec(&kind, Value::Object(then), &gateway.workers.media_capabilities())
}

/// Submits the job of a ticket once, however often its file is sent.
pub(super) async fn submit(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    ticket: &UploadTicket,
    upload: UploadId,
) -> Result<Option<JobBody>, Problem> {
    let Some(then) = &ticket.grant.then else { return Ok(None) };
    let key = Key::of("/then", Some(ticket.id.to_string()), String::new())?;
    let context = submit::SubmitContext { request, principal, key };
    if let Some(earlier) = submit::replay_body(gateway, &context).await? {
        return Ok(Some(earlier));
    }
    let spec = spec(gateway, &principal.tenant, then.clone(), upload).await?;
    submit::submit_body(gateway, context, spec).await.map(Some)
}
