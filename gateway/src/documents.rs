//! The public API documents. They are large and never change while this process runs: they are
//! compressed once, cacheable by clients, and rate limited by address.

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

/// Requests per minute and address, for all documents together.
const PER_MINUTE: u32 = 60;
/// Clients may cache them for an hour.
const CACHE_CONTROL: &str = "public, max-age=3600";

/// The rate limiter that all documents share.
#[derive(Debug, Clone)]
pub(crate) struct DocumentLimiter(Arc<AnonymousRateLimiter>);

impl DocumentLimiter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AnonymousRateLimiter::new(PER_MINUTE)))
    }

    /// Rejects a request from an address that is over its limit.
    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let gateway = request.data::<Arc<Gateway>>();
        let from = gateway.and_then(|gateway| gateway.proxies.origin(request));
        let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        self.0.check(from, Instant::now()).map_err(|wait| {
            let detail = "too many requests for the documents from this address; they may be cached \
                          for an hour";
            Problem::rate_limited(detail, wait.as_secs().saturating_add(1))
        })
    }
}

/// One document.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    kind: &'static str,
    plain: Bytes,
    /// Compressed with gzip; empty if that failed.
    gzip: Bytes,
    etag: String,
}

impl Document {
    pub(crate) fn new(kind: &'static str, text: String) -> Self {
        let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(&text)));
        let plain = Bytes::from(text);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
        // Writing to memory does not fail; the uncompressed form would be served otherwise.
        let gzip = gzip.map_or_else(|_| Bytes::new(), Bytes::from);
        Self { kind, plain, gzip, etag }
    }

    /// The endpoint that serves it.
    pub(crate) fn endpoint(
        self,
        limiter: &DocumentLimiter,
    ) -> impl Endpoint<Output = Response> + 'static {
        let limiter = limiter.clone();
        make(move |request: Request| {
            let outcome = limiter.admit(&request).map(|()| self.response(request.headers()));
            async move { outcome.map_err(poem::Error::from) }
        })
    }

    fn response(&self, request: &HeaderMap) -> Response {
        let response = Response::builder()
            .header(header::ETAG, &self.etag)
            .header(header::CACHE_CONTROL, CACHE_CONTROL)
            .header(header::VARY, "accept-encoding");
        if has_value(request, header::IF_NONE_MATCH, |tag| tag == self.etag || tag == "*") {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.kind);
        let accepts_gzip = |coding: &str| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim() == "gzip" && !matches!(weight.trim(), "q=0" | "q=0.0")
        };
        if !self.gzip.is_empty() && has_value(request, header::ACCEPT_ENCODING, accepts_gzip) {
            let response = response.header(header::CONTENT_ENCODING, "gzip");
            return response.body(self.gzip.clone());
        }
        response.body(self.plain.clone())
    }
}

/// True if one of a header's comma-separated values matches.
fn has_value(
    headers: &HeaderMap,
    name: header::HeaderName,
    matches: impl Fn(&str) -> bool,
) -> bool {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|value| matches(value.trim()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn header_map(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    async fn body(response: Response) -> Vec<u8> {
        response.into_body().into_vec().await.unwrap()
    }

    #[tokio::test]
    async fn a_document_is_compressed_and_cacheable() {
        let text = "the same words ".repeat(1_000);
        let document = Document::new("text/plain", text.clone());
        let plain = document.response(&HeaderMap::new());
        assert_eq!(plain.header(header::CACHE_CONTROL), Some(CACHE_CONTROL));
        let etag = plain.header(header::ETAG).unwrap().to_owned();
        assert_eq!(body(plain).await, text.as_bytes());

        let gzip = document.response(&header_map(header::ACCEPT_ENCODING, "br, gzip;q=0.8"));
        assert_eq!(gzip.header(header::CONTENT_ENCODING), Some("gzip"));
        let gzip = body(gzip).await;
        assert!(gzip.len() < text.len() / 10, "{}", gzip.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let unwanted = document.response(&header_map(header::ACCEPT_ENCODING, "gzip;q=0, br"));
        assert_eq!(unwanted.header(header::CONTENT_ENCODING), None);

        let known =
            document.response(&header_map(header::IF_NONE_MATCH, &format!("\"x\", {etag}")));
        assert_eq!((known.status(), body(known).await), (StatusCode::NOT_MODIFIED, Vec::new()));
    }
}
