//! Validation of every string in a request.
//!
//! Postgres cannot store NUL, and control characters in names, paths and addresses only serve to
//! deceive readers. So they are rejected, except line breaks and tabs in free text: `description`,
//! `text` and the values of `metadata`.

use percent_encoding::percent_decode;
use poem::{Request, http::HeaderName};

use crate::problem::{Kind, Problem};

/// Maximum length of one string in bytes.
pub(crate) const MAX_TEXT: usize = 64 * 1024;
/// Fields of a body that hold free text.
const FREE_TEXT: [&str; 2] = ["description", "text"];
/// The field of a body below which every value is free text.
const FREE_TEXT_BELOW: &str = "metadata";
/// Headers whose values are stored, or hashed into what is stored. `traceparent` and `X-Request-Id`
/// are stored only in a valid form, see `trace` and `response_middleware`.
const STORED_HEADERS: [HeaderName; 2] =
    [poem::http::header::CONTENT_DISPOSITION, HeaderName::from_static("idempotency-key")];

/// Which characters a string may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// No control characters.
    Line,
    /// Line breaks and tabs, but no other control characters.
    Lines,
    /// The same, also for everything below this value.
    LinesBelow,
}

impl Rule {
    /// The rule for the value of a field, given the rule of its object.
    pub(crate) fn within(self, field: &str) -> Self {
        if self == Self::LinesBelow || field == FREE_TEXT_BELOW {
            Self::LinesBelow
        } else if FREE_TEXT.contains(&field) {
            Self::Lines
        } else {
            Self::Line
        }
    }

    /// Why a string is rejected; none if it is valid.
    pub(crate) fn flaw(self, text: &str) -> Option<String> {
        if text.len() > MAX_TEXT {
            return Some(format!(
                "a string has up to {MAX_TEXT} bytes, this one has {}",
                text.len()
            ));
        }
        let is_white = |c: char| matches!(c, '\t' | '\n' | '\r');
        let rejected = |c: &char| c.is_control() && (self == Self::Line || !is_white(*c));
        let found = text.chars().find(rejected)?;
        let code = u32::from(found);
        Some(if is_white(found) {
            format!(
                "U+{code:04X} is allowed only in `description`, `text` and the values of \
                 `metadata`; remove it"
            )
        } else {
            format!("U+{code:04X} is a control character; remove it")
        })
    }
}

/// Rejects a request with an invalid string in its path, query or stored headers.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    decoded(uri.path()).map_err(|flaw| malformed(&format!("in the path, {flaw}")))?;
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)
            .map_err(|flaw| malformed(&format!("in the name of a parameter, {flaw}")))?;
        decoded(value).map_err(|flaw| Problem::parameter(&name, flaw))?;
    }
    for name in STORED_HEADERS {
        for value in request.headers().get_all(&name) {
            // A file name may have any encoding; one that is not understood is harmless.
            let any_encoding = name == poem::http::header::CONTENT_DISPOSITION;
            let valid = |byte: &u8| *byte != b'\t' && (any_encoding || byte.is_ascii());
            if !value.as_bytes().iter().all(valid) {
                let detail = "the value of this header must be visible ASCII characters and spaces";
                return Err(Problem::header(Kind::Malformed, &canonical(&name), detail));
            }
        }
    }
    Ok(())
}

/// Percent-decodes and validates a part of the URL; what is wrong with it if it is invalid.
fn decoded(part: &str) -> Result<String, String> {
    let bytes: Vec<u8> = percent_decode(part.as_bytes()).collect();
    let text = String::from_utf8(bytes)
        .map_err(|_| "percent-encoded bytes in a URL must be UTF-8".to_owned())?;
    match Rule::Line.flaw(&text) {
        Some(flaw) => Err(flaw),
        None => Ok(text),
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Kind::Malformed, detail)
}

/// A header's name in its usual capitalization.
fn canonical(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_rejected_and_line_breaks_only_outside_free_text() {
        for bad in ["a\0b", "a\u{1b}b", "\u{7f}", "\u{85}"] {
            for rule in [Rule::Line, Rule::Lines, Rule::LinesBelow] {
                assert!(rule.flaw(bad).unwrap().contains("is a control character"), "{bad:?}");
            }
        }
        for white in ["a\nb", "a\tb", "a\r\nb"] {
            assert!(Rule::Line.flaw(white).unwrap().contains("`metadata`"), "{white:?}");
            assert_eq!((Rule::Lines.flaw(white), Rule::LinesBelow.flaw(white)), (None, None));
        }
        assert_eq!(Rule::Line.flaw("Größe \u{1f600} \u{2028}"), None);
        assert!(Rule::Line.flaw(&"a".repeat(MAX_TEXT + 1)).unwrap().contains("up to 65536"));
    }

    #[test]
    fn free_text_fields_are_recognized_by_name_at_every_depth() {
        let below = |path: &[&str]| path.iter().fold(Rule::Line, |rule, name| rule.within(name));
        assert_eq!(below(&["body", "operations", "text"]), Rule::Lines);
        assert_eq!(below(&["description", "name"]), Rule::Line);
        assert_eq!(below(&["template", "metadata", "album"]), Rule::LinesBelow);
        assert_eq!(below(&["output"]), Rule::Line);
    }

    #[test]
    fn a_url_is_checked_in_its_decoded_form() {
        let check_one = |uri: &str| {
            let request = Request::builder().uri(uri.parse().unwrap()).finish();
            check(&request).err().map(|problem| problem.to_string())
        };
        assert_eq!(check_one("/jobs?kind=a%20b&metadata.x=%F0%9F%98%80"), None);
        assert!(check_one("/jobs/a%00b").unwrap().contains("U+0000"));
        assert!(check_one("/jobs?kind=a%0Ab").unwrap().starts_with("U+000A"));
        assert!(check_one("/jobs?a%1Fb=1").unwrap().contains("U+001F"));
        // A lone surrogate is not valid UTF-8.
        assert!(check_one("/jobs?kind=%ED%A0%80").unwrap().contains("UTF-8"));
    }

    #[test]
    fn stored_headers_are_visible_ascii() {
        let check_one = |name: &str, value: &[u8]| {
            let value = poem::http::HeaderValue::from_bytes(value).unwrap();
            let request = Request::builder().header(name, value).finish();
            check(&request).is_ok()
        };
        assert!(check_one("idempotency-key", b"\"order 42\""));
        assert!(!check_one("idempotency-key", b"a\tb"));
        assert!(!check_one("idempotency-key", "\u{e9}".as_bytes()));
        assert!(check_one("content-disposition", "filename=\"\u{e9}.mp4\"".as_bytes()));
        assert!(!check_one("content-disposition", b"filename=\"a\tb\""));
    }
}
