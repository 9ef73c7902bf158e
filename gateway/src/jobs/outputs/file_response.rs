//! The response for an output file: conditional, whole or in part, and cacheable, since an output
//! never changes.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use ffapi_domain::{Timestamp, location::Location, media::content_type};
use ffapi_storage::{Download, TenantStorage};
use httpdate::parse_http_date;
use poem::{
    Request, Response, ResponseBuilder,
    http::{Method, StatusCode, header},
};

use crate::{
    auth::{CredentialKind, Principal},
    clock,
    content_disposition::{self, Disposition},
    guard::SentMethod,
    headers,
    http_date::{SUNSET, http_date, whole_seconds},
    problem::{Kind, Problem},
    range::{RangeRequest, requested},
};

/// How long a signed URL is valid that a download is redirected to.
const REDIRECT_VALID_FOR: Duration = Duration::from_hours(1);

/// The parts of a request for a file that decide what is sent of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileRequest<'a> {
    pub(crate) range: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_unmodified_since: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
    /// The name to save it under; a browser shows the file if absent.
    pub(crate) download: Option<&'a str>,
    /// True for `HEAD`: nothing of the file is sent.
    is_head: bool,
}

impl<'a> FileRequest<'a> {
    pub(crate) fn of(request: &'a Request, download: Option<&'a str>) -> Self {
        let is_head = request.data::<SentMethod>().is_some_and(|sent| sent.0 == Method::HEAD);
        Self {
            // Ranges are defined for GET only.
            range: request.header("range").filter(|_| !is_head),
            if_range: request.header("if-range"),
            if_match: request.header("if-match"),
            if_unmodified_since: request.header("if-unmodified-since"),
            if_none_match: request.header("if-none-match"),
            if_modified_since: request.header("if-modified-since"),
            download,
            is_head,
        }
    }
}

/// A file that can be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServedFile<'a> {
    /// Its path among the outputs.
    pub(crate) name: &'a str,
    pub(crate) sha256: &'a str,
    /// When its job was completed.
    pub(crate) modified: Timestamp,
    /// In bytes.
    pub(crate) size: u64,
    /// When it will be deleted.
    pub(crate) expires_at: Option<Timestamp>,
}

/// What is sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The client has the file already.
    NotModified,
    Whole,
    Part(Range<u64>),
}

/// How long a response may be cached, in seconds: a day.
const MAX_AGE: u64 = 24 * 60 * 60;

impl ServedFile<'_> {
    fn etag(&self) -> String {
        format!("\"{}\"", self.sha256)
    }

    /// In seconds, as HTTP dates are.
    fn modified_at(&self) -> SystemTime {
        whole_seconds(self.modified)
    }

    /// Decides what is sent, by the order of RFC 9110, section 13.2.2.
    ///
    /// # Errors
    /// 412 if the client expects another file; 416 with the file's size.
    pub(crate) fn answer(&self, request: &FileRequest<'_>) -> Result<Sent, Problem> {
        let etag = self.etag();
        let is_expected = match (request.if_match, request.if_unmodified_since) {
            (Some(tags), _) => {
                tags.split(',').any(|tag| [etag.as_str(), "*"].contains(&tag.trim()))
            }
            // What is no date is ignored.
            (None, Some(date)) => {
                parse_http_date(date).map_or(true, |date| self.modified_at() <= date)
            }
            (None, None) => true,
        };
        if !is_expected {
            return Err(Problem::new(Kind::PreconditionFailed, "the file is another one"));
        }
        let is_known = match (request.if_none_match, request.if_modified_since) {
            (Some(tags), _) => tags.split(',').any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
            }),
            (None, Some(date)) => {
                parse_http_date(date).is_ok_and(|date| self.modified_at() <= date)
            }
            (None, None) => false,
        };
        if is_known {
            return Ok(Sent::NotModified);
        }
        // A part is only of use to a client that has the rest of the same file.
        let has_rest = request.if_range.is_none_or(|validator| {
            let validator = validator.trim();
            validator == etag
                || parse_http_date(validator).is_ok_and(|date| date == self.modified_at())
        });
        match requested(request.range.filter(|_| has_rest), self.size) {
            RangeRequest::Whole => Ok(Sent::Whole),
            RangeRequest::Part(part) => Ok(Sent::Part(part)),
            RangeRequest::NotSatisfiable => {
                let detail = format!("the file has {} bytes", self.size);
                let problem = Problem::new(Kind::RangeNotSatisfiable, detail);
                Err(problem.with_header("content-range", format!("bytes */{}", self.size)))
            }
        }
    }

    /// Whether the file is shown or saved, and under which name.
    fn disposition(&self, request: &FileRequest<'_>) -> String {
        let own = self.name.rsplit('/').next().unwrap_or(self.name);
        let (disposition, name) = match request.download {
            Some("") => (Disposition::Attachment, own),
            Some(name) => (Disposition::Attachment, name),
            None => (Disposition::Inline, own),
        };
        content_disposition::header_value(disposition, name)
    }

    /// The response that sends the client to the store, if the store is to be read by itself.
    ///
    /// # Errors
    /// When the store cannot sign a URL.
    pub(crate) async fn redirect(
        &self,
        request: &FileRequest<'_>,
        principal: &Principal,
        storage: &TenantStorage,
        location: &Location,
    ) -> Result<Option<Response>, Problem> {
        // The URL is signed for GET; and the gateway knows everything that HEAD asks.
        if request.is_head {
            return Ok(None);
        }
        let left = principal.until.map(|until| until.since(clock::now()));
        let valid_for = left.unwrap_or(REDIRECT_VALID_FOR).min(REDIRECT_VALID_FOR);
        let disposition = self.disposition(request);
        let download = Download {
            valid_for,
            disposition: &disposition,
            content_type: content_type(self.name),
        };
        let Some(url) = storage.download_url(location, &download).await? else { return Ok(None) };
        // The URL must still be valid when the client follows a redirect that it has kept.
        let age = valid_for.as_secs().checked_div(2).unwrap_or_default();
        let response = Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, url.as_str())
            .header(header::CACHE_CONTROL, format!("private, max-age={age}"));
        Ok(Some(response.finish()))
    }

    /// The response without its body.
    pub(crate) fn response(
        &self,
        request: &FileRequest<'_>,
        sent: &Sent,
        principal: &Principal,
    ) -> ResponseBuilder {
        let response = Response::builder()
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::ETAG, self.etag())
            .header(header::LAST_MODIFIED, http_date(self.modified))
            .header(header::CACHE_CONTROL, cache_control(principal, self.expires_at));
        let response = match self.expires_at {
            Some(at) => response.header(SUNSET, http_date(at)),
            None => response,
        };
        let part = match sent {
            Sent::NotModified => return response.status(StatusCode::NOT_MODIFIED),
            Sent::Whole => None,
            Sent::Part(part) => Some(part),
        };
        let kind = content_type(self.name);
        let length = part.map_or(self.size, |part| part.end.saturating_sub(part.start));
        let mut response = response
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_LENGTH, length.to_string())
            .header(header::CONTENT_DISPOSITION, self.disposition(request));
        if is_inert(kind) {
            response = response.header(header::CONTENT_SECURITY_POLICY, headers::MEDIA_POLICY);
        }
        if let Some(part) = part {
            let (first, last, size) = (part.start, part.end.saturating_sub(1), self.size);
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
        }
        response
    }
}

/// A response to a key is for that client alone; what a token can read, everybody who has its URL can.
/// Nothing is cached for longer than it exists, or may be read.
fn cache_control(principal: &Principal, expires_at: Option<Timestamp>) -> String {
    // An issuer's token is sent in a header, and has an end as well.
    let is_shared = principal.until.is_some() && principal.credential == CredentialKind::Key;
    let ends = [principal.until.filter(|_| is_shared), expires_at];
    let now = clock::now();
    let left = ends.into_iter().flatten().map(|end| end.since(now).as_secs()).min();
    let age = left.unwrap_or(MAX_AGE).min(MAX_AGE);
    let scope = if is_shared { "public" } else { "private" };
    format!("{scope}, max-age={age}, immutable")
}

/// True for types in which browsers run nothing, whatever the file contains.
fn is_inert(kind: &str) -> bool {
    ["video/", "audio/", "image/"].iter().any(|class| kind.starts_with(class))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ffapi_domain::{KeyId, key::KeyTerms};
    use uuid::Uuid;

    use super::*;

    const FILE: ServedFile<'_> = ServedFile {
        name: "clips/a.mp4",
        sha256: "abc",
        modified: Timestamp::from_millis(1_000_000_000_500),
        size: 10,
        expires_at: None,
    };
    const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const LATER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

    fn answer(change: impl FnOnce(&mut FileRequest<'static>)) -> Sent {
        let mut request = FileRequest::default();
        change(&mut request);
        FILE.answer(&request).unwrap()
    }

    #[test]
    fn a_client_that_has_the_file_gets_no_body() {
        for tags in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(answer(|r| r.if_none_match = Some(tags)), Sent::NotModified, "{tags}");
        }
        assert_eq!(answer(|r| r.if_none_match = Some("\"abd\"")), Sent::Whole);
        assert_eq!(answer(|r| r.if_modified_since = Some(MODIFIED)), Sent::NotModified);
        assert_eq!(answer(|r| r.if_modified_since = Some(LATER)), Sent::NotModified);
        let before = "Sun, 09 Sep 2001 01:46:39 GMT";
        assert_eq!(answer(|r| r.if_modified_since = Some(before)), Sent::Whole);
        assert_eq!(answer(|r| r.if_modified_since = Some("yesterday")), Sent::Whole);
        // A tag is more precise than a date.
        let both = |request: &mut FileRequest<'static>| {
            request.if_none_match = Some("\"x\"");
            request.if_modified_since = Some(LATER);
        };
        assert_eq!(answer(both), Sent::Whole);
    }

    #[test]
    fn a_client_that_expects_another_file_gets_none() {
        let status = |change: fn(&mut FileRequest<'static>)| {
            let mut request = FileRequest::default();
            change(&mut request);
            FILE.answer(&request).err().map(|problem| problem.kind().status())
        };
        assert_eq!(status(|r| r.if_match = Some("\"abc\"")), None);
        assert_eq!(status(|r| r.if_match = Some("\"x\", \"abc\"")), None);
        assert_eq!(status(|r| r.if_match = Some("*")), None);
        assert_eq!(status(|r| r.if_match = Some("\"abd\"")), Some(412));
        // A weak tag does not tell whether the bytes are the same.
        assert_eq!(status(|r| r.if_match = Some("W/\"abc\"")), Some(412));
        assert_eq!(status(|r| r.if_unmodified_since = Some(MODIFIED)), None);
        assert_eq!(status(|r| r.if_unmodified_since = Some("yesterday")), None);
        let before = |r: &mut FileRequest<'static>| {
            r.if_unmodified_since = Some("Sun, 09 Sep 2001 01:46:39 GMT");
        };
        assert_eq!(status(before), Some(412));
    }

    #[test]
    fn a_part_is_sent_only_to_a_client_that_has_the_rest_of_the_same_file() {
        for (if_range, expected) in [
            (None, Sent::Part(2..4)),
            (Some("\"abc\""), Sent::Part(2..4)),
            (Some(MODIFIED), Sent::Part(2..4)),
            (Some("W/\"abc\""), Sent::Whole),
            (Some("\"x\""), Sent::Whole),
            (Some(LATER), Sent::Whole),
        ] {
            let part = |request: &mut FileRequest<'static>| {
                (request.range, request.if_range) = (Some("bytes=2-3"), if_range);
            };
            assert_eq!(answer(part), expected, "{if_range:?}");
        }
    }

    #[test]
    fn only_what_was_read_by_its_url_may_be_shared() {
        let principal = |credential, until: Option<Timestamp>| Principal {
            key: KeyId::from_uuid(Uuid::from_u128(1)),
            tenant: "acme".parse().unwrap(),
            scopes: BTreeSet::new(),
            terms: KeyTerms::default(),
            makers: vec![],
            address: None,
            until,
            token: None,
            credential,
        };
        let soon = Some(clock::now().plus(Duration::from_mins(5)));
        let of = |credential, until| cache_control(&principal(credential, until), None);
        assert!(of(CredentialKind::Key, soon).starts_with("public, max-age="));
        // Both are sent in a header.
        assert!(of(CredentialKind::Issued, soon).starts_with("private, "));
        assert!(of(CredentialKind::Key, None).starts_with("private, "));
        // Not longer than the file exists.
        let expires = Some(clock::now().plus(Duration::from_mins(1)));
        let age = cache_control(&principal(CredentialKind::Key, None), expires);
        assert!(
            ["private, max-age=60, immutable", "private, max-age=59, immutable"]
                .contains(&age.as_str())
        );
    }

    #[test]
    fn only_media_may_be_opened_in_a_browser() {
        assert!(is_inert(content_type("a.mp4")) && is_inert(content_type("b/c.png")));
        for other in ["a.html", "a.svg", "a.mpd", "a.vtt", "a"] {
            assert!(!is_inert(content_type(other)), "{other}");
        }
    }
}
