//! Resumable uploads by the protocol tus 1.0.0 at `/uploads`: a client that was interrupted, or whose
//! gateway died, continues where it was, at any gateway. Its bytes are kept in parts in the
//! deployment's own store until the file is complete; then it becomes an upload as any other.

mod append;
mod checksum;
mod client;
mod completion_lock;
mod continued;
mod create;
mod description;
mod finish;
mod headers;
mod join;
mod metadata;
mod part_buffer;
mod remove;
mod target;
mod turn;

use std::sync::Arc;

use ffapi_domain::{UploadId, key::Scope, upload::UploadState};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode},
};

use self::{
    append::{Append, append},
    client::Tus,
    continued::Continued,
    description::offset,
    headers::{VERSION, answer},
    remove::terminate,
    target::{Target, target},
};
use super::{UploadTicket, receive::Uploader, stored};
use crate::{
    auth::Principal,
    playback,
    problem::{Kind, Problem},
    request_context::caller,
    state::Gateway,
    uncancelled::uncancelled,
};

/// Answers requests that speak tus, and passes all others on.
pub(crate) async fn tus<E: Endpoint>(inner: Arc<E>, mut request: Request) -> Result<Response> {
    let method = headers::method(&request);
    let target = target(playback::path(&request));
    let speaks_tus = request.headers().contains_key("tus-resumable")
        || matches!(method, Method::OPTIONS | Method::PATCH);
    let Some(target) = target.filter(|_| speaks_tus) else {
        return Ok(inner.call(request).await?.into_response());
    };
    if method == Method::OPTIONS {
        let max = request.data::<Arc<Gateway>>().map(|gateway| gateway.max_upload);
        return Ok(headers::capabilities(max));
    }
    let (Some(gateway), Some(principal)) =
        (request.data::<Arc<Gateway>>().cloned(), request.data::<Principal>().cloned())
    else {
        let detail = "see the server's log for this request id";
        return Err(Problem::new(Kind::Internal, detail).into());
    };
    if request.header("tus-resumable") != Some(VERSION) {
        let detail = format!("`Tus-Resumable: {VERSION}` is supported");
        let problem = Problem::new(Kind::PreconditionFailed, detail);
        return Err(problem.with_header("tus-version", VERSION).into());
    }
    if request.data::<UploadTicket>().is_some() {
        // It is for one file, whose size and job it may state.
        let detail = "a URL for an upload takes one file in one request, and does not speak tus";
        return Err(Problem::new(Kind::Forbidden, detail).into());
    }
    principal.require(Scope::JobsWrite)?;
    let tus = Tus { gateway, principal };
    let answered = match (target, method) {
        (Target::All, Method::POST) => Box::pin(create::create(&tus, &mut request)).await,
        (Target::One(id), Method::HEAD) => tus.head(id).await,
        (Target::One(id), Method::PATCH) => Box::pin(tus.patch(&mut request, id)).await,
        (Target::One(id), Method::DELETE) => tus.terminate(&request, id).await,
        (_, method) => {
            let detail = format!("tus has no {method} at this path");
            Err(Problem::new(Kind::MethodNotAllowed, detail))
        }
    };
    Ok(answered?)
}

impl Tus {
    /// `HEAD /uploads/{id}`: how much of it is received.
    async fn head(&self, id: UploadId) -> Result<Response, Problem> {
        if let UploadState::Completed { size, .. } =
            stored::state(&self.gateway, &self.principal.tenant, id).await?
        {
            let response = answer(StatusCode::OK).header("upload-length", size);
            return Ok(response.header("upload-offset", size).finish());
        }
        let (description, partial) = self.partial(id).await?;
        let mut response =
            answer(StatusCode::OK).header("upload-offset", offset(&description, &partial));
        response = match description.length {
            Some(length) => response.header("upload-length", length),
            None => response.header("upload-defer-length", 1),
        };
        if let Some(metadata) = &description.metadata {
            response = response.header("upload-metadata", metadata);
        }
        if description.is_part {
            response = response.header("upload-concat", "partial");
        }
        Ok(response.header("upload-expires", description.expires()).finish())
    }

    /// `PATCH /uploads/{id}`: the next bytes.
    async fn patch(&self, request: &mut Request, id: UploadId) -> Result<Response, Problem> {
        let append_to = Append::read(request)?;
        let uploader = Uploader::new(&self.principal, request, caller(&self.principal, request));
        let offset = Box::pin(append(self, request, uploader, id, append_to)).await?;
        Ok(answer(StatusCode::NO_CONTENT).header("upload-offset", offset).finish())
    }

    /// `DELETE /uploads/{id}`: the client gives up, or does not need the upload any more.
    async fn terminate(&self, request: &Request, id: UploadId) -> Result<Response, Problem> {
        let (gateway, tenant) = (Arc::clone(&self.gateway), self.principal.tenant.clone());
        let caller = caller(&self.principal, request);
        uncancelled(terminate(Continued { gateway, tenant, caller, id })).await?;
        Ok(answer(StatusCode::NO_CONTENT).finish())
    }
}
