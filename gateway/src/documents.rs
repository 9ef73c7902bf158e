//! What explains the API to everybody: large, the same for all and for as long as we run. It is packed
//! once, may be kept by whoever fetched it, and each address is given it so often only.

use std::{io::Write, net::Ipv4Addr, sync::Arc, time::Instant};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Endpoint, Request, Response, Result,
    endpoint::make,
    http::{HeaderMap, StatusCode, header},
};
use sha2::{Digest, Sha256};

use crate::{auth::AnonymousRateLimiter, problem::Problem, state::Gateway};

/// How often an address may fetch any of them in a minute.
const PER_MINUTE: u32 = 60;
/// How long they may be kept without asking.
const KEPT: &str = "public, max-age=3600";

/// How often each address fetched them.
#[derive(Debug, Clone)]
pub(crate) struct Readers(Arc<AnonymousRateLimiter>);

impl Readers {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AnonymousRateLimiter::new(PER_MINUTE)))
    }

    /// Refuses who fetches too often.
    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let gateway = request.data::<Arc<Gateway>>();
        let from = gateway.and_then(|gateway| gateway.proxies.origin(request));
        let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        self.0.check(from, Instant::now()).map_err(|wait| {
            let detail =
                "too many requests for the documents from this address; they may be cached for an hour";
            Problem::too_many(detail, wait.as_secs().saturating_add(1))
        })
    }
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    kind: &'static str,
    plain: Bytes,
    packed: Bytes,
    etag: String,
}

impl Document {
    pub(crate) fn new(kind: &'static str, text: String) -> Self {
        let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(&text)));
        let plain = Bytes::from(text);
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(&plain).and_then(|()| packer.finish());
        // Into memory it always works; unpacked it would be as good.
        let packed = packed.map_or_else(|_| Bytes::new(), Bytes::from);
        Self { kind, plain, packed, etag }
    }

    /// Serves it.
    pub(crate) fn endpoint(self, readers: &Readers) -> impl Endpoint<Output = Response> + 'static {
        let readers = readers.clone();
        make(move |request: Request| {
            let outcome = readers.admit(&request).map(|()| self.answer(request.headers()));
            async move { outcome.map_err(poem::Error::from) }
        })
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let answer = Response::builder()
            .header(header::ETAG, &self.etag)
            .header(header::CACHE_CONTROL, KEPT)
            .header(header::VARY, "accept-encoding");
        if says(asked, header::IF_NONE_MATCH, |tag| tag == self.etag || tag == "*") {
            return answer.status(StatusCode::NOT_MODIFIED).finish();
        }
        let answer = answer.content_type(self.kind);
        let takes_gzip = |coding: &str| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim() == "gzip" && !matches!(weight.trim(), "q=0" | "q=0.0")
        };
        if !self.packed.is_empty() && says(asked, header::ACCEPT_ENCODING, takes_gzip) {
            let answer = answer.header(header::CONTENT_ENCODING, "gzip");
            return answer.body(self.packed.clone());
        }
        answer.body(self.plain.clone())
    }
}

/// True if one of a header's values is a wanted one.
fn says(headers: &HeaderMap, name: header::HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|value| wanted(value.trim()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn asked(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    async fn body(answer: Response) -> Vec<u8> {
        answer.into_body().into_vec().await.unwrap()
    }

    #[tokio::test]
    async fn a_document_is_packed_for_who_can_unpack_it_and_not_sent_to_who_has_it() {
        let text = "the same words ".repeat(1_000);
        let document = Document::new("text/plain", text.clone());
        let plain = document.answer(&HeaderMap::new());
        assert_eq!(plain.header(header::CACHE_CONTROL), Some(KEPT));
        let etag = plain.header(header::ETAG).unwrap().to_owned();
        assert_eq!(body(plain).await, text.as_bytes());

        let packed = document.answer(&asked(header::ACCEPT_ENCODING, "br, gzip;q=0.8"));
        assert_eq!(packed.header(header::CONTENT_ENCODING), Some("gzip"));
        let packed = body(packed).await;
        assert!(packed.len() < text.len() / 10, "{}", packed.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let unwanted = document.answer(&asked(header::ACCEPT_ENCODING, "gzip;q=0, br"));
        assert_eq!(unwanted.header(header::CONTENT_ENCODING), None);

        let known = document.answer(&asked(header::IF_NONE_MATCH, &format!("\"x\", {etag}")));
        assert_eq!((known.status(), body(known).await), (StatusCode::NOT_MODIFIED, Vec::new()));
    }
}
