//! Outputs that are put at URLs which the client signed: no store has them.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::Location;
use crate::{Timestamp, job::output_url_name};

/// What the name of a file replaces in a template, and its form in a parsed path.
const PLACEHOLDER: &str = "{name}";
const ENCODED_PLACEHOLDER: &str = "%7Bname%7D";

/// Headers that a signature may cover.
const SENT_HEADERS: [&str; 3] = ["host", "content-type", "content-length"];

/// Characters that are kept in a parameter of a URL: RFC 3986's unreserved ones.
const KEPT_IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is put at a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTarget {
    /// One file: `put`.
    File,
    /// The files of a folder, each at a URL with its name: `put_template`.
    Folder,
}

/// Why nothing can be put at a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPut {
    /// Not a URL.
    #[error(
        "the address of `put` is a URL like `https://host/video.mp4`, without a user name or password"
    )]
    NoUrl,
    /// A template without the placeholder.
    #[error("`put_template` has `{{name}}` in its path or query, which each file's name replaces")]
    NoPlaceholder,
    /// The placeholder in the URL of a single file.
    #[error("`put` is the URL of one file, without `{{name}}`")]
    Placeholder,
    /// The URL's signature is over.
    #[error(
        "the signature of the URL has ended at {0}; sign it for longer than the job may wait and run"
    )]
    Expired(Timestamp),
    /// The signature covers a header that is not sent.
    #[error(
        "the URL is signed for the header `{0}`, which is not sent: only `host`, `content-type` and \
         `content-length` are"
    )]
    SignedHeader(String),
}

impl Location {
    /// Parses the URL at which an output is put.
    ///
    /// # Errors
    /// When it is none, has no or a needless placeholder, or a signature that cannot be met.
    pub fn put(text: &str, target: PutTarget, now: Timestamp) -> Result<Self, BadPut> {
        let Ok(Self::Web(url)) = text.parse() else { return Err(BadPut::NoUrl) };
        match (target, has_placeholder(&url)) {
            (PutTarget::File, true) => return Err(BadPut::Placeholder),
            (PutTarget::Folder, false) => return Err(BadPut::NoPlaceholder),
            (PutTarget::File, false) | (PutTarget::Folder, true) => {}
        }
        if let Some(end) = ended_signature(&url, now) {
            return Err(BadPut::Expired(end));
        }
        let signed = signed_headers(&url);
        let unmet = signed.into_iter().find(|name| !SENT_HEADERS.contains(&name.as_str()));
        unmet.map_or(Ok(Self::Web(url)), |name| Err(BadPut::SignedHeader(name)))
    }

    /// For an output: true if it is put at a URL, so that no store has it.
    pub const fn is_put(&self) -> bool {
        matches!(self, Self::Web(_))
    }

    /// For an output that is put: true if the URL is a template for the files of a folder.
    pub fn is_put_template(&self) -> bool {
        matches!(self, Self::Web(url) if has_placeholder(url))
    }
}

fn has_placeholder(url: &Url) -> bool {
    let has = |part: &str| part.contains(PLACEHOLDER) || part.contains(ENCODED_PLACEHOLDER);
    has(url.path()) || url.query().is_some_and(has)
}

/// The URL of one file of a template.
pub(super) fn filled(template: &Url, name: &str) -> Url {
    let (in_path, in_query) =
        (output_url_name(name), utf8_percent_encode(name, KEPT_IN_QUERY).to_string());
    let fill =
        |part: &str, name: &str| part.replace(PLACEHOLDER, name).replace(ENCODED_PLACEHOLDER, name);
    let mut url = template.clone();
    url.set_path(&fill(template.path(), &in_path));
    url.set_query(template.query().map(|query| fill(query, &in_query)).as_deref());
    url
}

/// A URL without its query, with the placeholder as a client writes it.
pub(super) fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{bare}{query}").replace(ENCODED_PLACEHOLDER, PLACEHOLDER)
}

fn parameter<'a>(url: &'a Url, name: &str) -> Option<Cow<'a, str>> {
    url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// When the signature of a URL has ended; none if it has not, as far as the URL says it.
pub fn ended_signature(url: &Url, now: Timestamp) -> Option<Timestamp> {
    signature_end(url).filter(|end| *end <= now)
}

/// When the signature of a URL ends, as S3, Google Cloud Storage, Azure and `CloudFront` write it; none if
/// it has none, or does not say.
pub fn signature_end(url: &Url) -> Option<Timestamp> {
    for provider in ["X-Amz", "X-Goog"] {
        let begin = parameter(url, &format!("{provider}-Date"));
        let seconds = parameter(url, &format!("{provider}-Expires"));
        if let (Some(begin), Some(seconds)) = (begin, seconds) {
            let seconds = seconds.parse::<u64>().ok()?.saturating_mul(1_000);
            let end = basic_time(&begin)?.as_millis().saturating_add(seconds);
            return Some(Timestamp::from_millis(end));
        }
    }
    if let (Some(_), Some(end)) = (parameter(url, "sig"), parameter(url, "se")) {
        return end.parse().ok();
    }
    let is_signed = ["Signature", "Key-Pair-Id"].iter().any(|name| parameter(url, name).is_some());
    let seconds: u64 = parameter(url, "Expires").filter(|_| is_signed)?.parse().ok()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

/// Parses `20261130T143000Z`.
fn basic_time(text: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, part(13..15)?);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// The headers that a signature covers, in lower case.
fn signed_headers(url: &Url) -> Vec<String> {
    let named = ["X-Amz-SignedHeaders", "X-Goog-SignedHeaders"];
    let names = named.iter().find_map(|name| parameter(url, name)).unwrap_or_default();
    names.split(';').filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_796_000_000_000);

    fn put(text: &str) -> Result<Location, BadPut> {
        Location::put(text, PutTarget::File, NOW)
    }

    #[test]
    fn the_files_of_a_template_have_urls_of_their_own() {
        let template = "https://host/a b/{name}?of={name}&sig=x";
        let template = Location::put(template, PutTarget::Folder, NOW).unwrap();
        assert!(template.is_put_template());
        assert_eq!(template.shown(), "https://host/a%20b/{name}?…");
        let file = template.child("v0/seg 1.m4s");
        let expected = "https://host/a%20b/v0/seg%201.m4s?of=v0%2Fseg%201.m4s&sig=x";
        assert_eq!(file.to_string(), expected);
        assert_eq!(template.to_string().parse::<Location>(), Ok(template.clone()));
        // As a read model holds it.
        let kept: Location = template.shown().parse().unwrap();
        assert_eq!(kept.shown(), template.shown());
    }

    #[test]
    fn a_placeholder_belongs_into_a_template_and_nowhere_else() {
        let folder = |text: &str| Location::put(text, PutTarget::Folder, NOW);
        assert_eq!(folder("https://host/a"), Err(BadPut::NoPlaceholder));
        assert_eq!(folder("https://host/a#{name}"), Err(BadPut::NoPlaceholder));
        assert_eq!(put("https://host/{name}"), Err(BadPut::Placeholder));
        for bad in ["a.mp4", "s3://bucket/a.mp4", "https://u:p@host/a.mp4", ""] {
            assert_eq!(put(bad), Err(BadPut::NoUrl), "{bad}");
        }
    }

    #[test]
    fn an_ended_signature_is_refused() {
        // NOW is 2026-11-30T00:53:20Z.
        let end = Timestamp::from_millis(NOW.as_millis() - 20_000);
        for query in [
            "X-Amz-Date=20261129T235300Z&X-Amz-Expires=3600&X-Amz-Signature=x",
            "X-Goog-Date=20261129T235300Z&X-Goog-Expires=3600",
            "sv=2024-11-04&se=2026-11-30T00%3A53%3A00Z&sig=x",
            "Expires=1795999980&Signature=x",
        ] {
            assert_eq!(
                put(&format!("https://host/a?{query}")),
                Err(BadPut::Expired(end)),
                "{query}"
            );
        }
        for query in [
            "X-Amz-Date=20261129T235321Z&X-Amz-Expires=3600",
            "se=2026-11-30T00:53:21Z&sig=x",
            // Parameters of the client's own.
            "Expires=1",
            "se=1",
        ] {
            assert!(put(&format!("https://host/a?{query}")).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_signature_over_a_header_that_is_not_sent_is_refused() {
        let signed = |names: &str| put(&format!("https://host/a?X-Amz-SignedHeaders={names}"));
        assert!(signed("host").is_ok());
        assert!(signed("content-length%3Bcontent-type%3Bhost").is_ok());
        assert_eq!(signed("host%3Bx-amz-acl"), Err(BadPut::SignedHeader("x-amz-acl".to_owned())));
    }
}
