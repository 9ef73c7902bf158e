//! Which texts are taken: the one check of every string that a request brings.
//!
//! Postgres can store no NUL, and control characters in names, paths and addresses only serve to deceive
//! whoever reads them later. So none is taken, with one exception: line breaks and tabs in texts that
//! people write for people, `description`, `text` and the values of `metadata`.

use percent_encoding::percent_decode;
use poem::{Request, http::HeaderName};

use crate::problem::{Kind, Problem};

/// Bytes of one string at most.
pub(crate) const MAX_TEXT: usize = 64 * 1024;
/// Fields of a body that hold text of several lines.
const FREE: [&str; 2] = ["description", "text"];
/// Fields of a body below which every value does.
const FREE_BELOW: &str = "metadata";
/// Headers whose values are kept, or stand for what is kept. `traceparent` and `X-Request-Id` are kept only
/// in a form of their own, see `state::traceparent` and `response_middleware`.
const KEPT: [HeaderName; 2] =
    [poem::http::header::CONTENT_DISPOSITION, HeaderName::from_static("idempotency-key")];

/// What a string may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// No control character.
    Line,
    /// Line breaks and tabs as well.
    Lines,
    /// The same, and so may everything below.
    LinesBelow,
}

impl Rule {
    /// What the value of a field may hold, given what its object may.
    pub(crate) fn within(self, field: &str) -> Self {
        if self == Self::LinesBelow || field == FREE_BELOW {
            Self::LinesBelow
        } else if FREE.contains(&field) {
            Self::Lines
        } else {
            Self::Line
        }
    }

    /// Why a string is not taken.
    pub(crate) fn flaw(self, text: &str) -> Option<String> {
        if text.len() > MAX_TEXT {
            return Some(format!("a text has up to {MAX_TEXT} bytes, this one has {}", text.len()));
        }
        let is_white = |c: char| matches!(c, '\t' | '\n' | '\r');
        let refused = |c: &char| c.is_control() && (self == Self::Line || !is_white(*c));
        let found = text.chars().find(refused)?;
        let code = u32::from(found);
        Some(if is_white(found) {
            format!(
                "U+{code:04X} is taken in `description`, `text` and the values of `metadata` only; \
                 leave it out"
            )
        } else {
            format!("U+{code:04X} is a control character; leave it out")
        })
    }
}

/// Refuses a request whose path, query or kept headers hold what is not taken.
pub(crate) fn look_at(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    decoded(uri.path(), "#path")?;
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name, "#query")?;
        decoded(value, &format!("#{name}"))?;
    }
    for name in KEPT {
        for value in request.headers().get_all(&name) {
            // A name of a file may stand in any encoding; who sends it so is not understood, and no harm done.
            let any = name == poem::http::header::CONTENT_DISPOSITION;
            let plain =
                value.as_bytes().iter().all(|byte| *byte != b'\t' && (any || byte.is_ascii()));
            if !plain {
                let detail = "a value of this header is visible ASCII characters and spaces";
                return Err(malformed(&format!("#{}", shown(&name)), detail.to_owned()));
            }
        }
    }
    Ok(())
}

/// A part of the address as it is meant.
fn decoded(part: &str, pointer: &str) -> Result<String, Problem> {
    let bytes: Vec<u8> = percent_decode(part.as_bytes()).collect();
    let text = String::from_utf8(bytes).map_err(|_| {
        malformed(pointer, "what is percent-encoded in an address is UTF-8".to_owned())
    })?;
    match Rule::Line.flaw(&text) {
        Some(flaw) => Err(malformed(pointer, flaw)),
        None => Ok(text),
    }
}

fn malformed(pointer: &str, detail: String) -> Problem {
    Problem::field(Kind::Malformed, pointer, detail)
}

/// A header's name as it is written.
fn shown(name: &HeaderName) -> String {
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
    fn control_characters_are_refused_and_named_line_breaks_only_outside_free_text() {
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
    fn free_text_is_told_by_the_name_of_its_field_wherever_it_stands() {
        let below = |path: &[&str]| path.iter().fold(Rule::Line, |rule, name| rule.within(name));
        assert_eq!(below(&["body", "operations", "text"]), Rule::Lines);
        assert_eq!(below(&["description", "name"]), Rule::Line);
        assert_eq!(below(&["template", "metadata", "album"]), Rule::LinesBelow);
        assert_eq!(below(&["output"]), Rule::Line);
    }

    #[test]
    fn an_address_is_looked_at_as_it_is_meant() {
        let ask = |uri: &str| {
            let request = Request::builder().uri(uri.parse().unwrap()).finish();
            look_at(&request).err().map(|problem| problem.to_string())
        };
        assert_eq!(ask("/jobs?kind=a%20b&metadata.x=%F0%9F%98%80"), None);
        assert!(ask("/jobs/a%00b").unwrap().starts_with("U+0000"));
        assert!(ask("/jobs?kind=a%0Ab").unwrap().starts_with("U+000A"));
        assert!(ask("/jobs?a%1Fb=1").unwrap().starts_with("U+001F"));
        // A lone surrogate is no UTF-8.
        assert!(ask("/jobs?kind=%ED%A0%80").unwrap().contains("UTF-8"));
    }

    #[test]
    fn kept_headers_are_visible_ascii() {
        let ask = |name: &str, value: &[u8]| {
            let value = poem::http::HeaderValue::from_bytes(value).unwrap();
            let request = Request::builder().header(name, value).finish();
            look_at(&request).is_ok()
        };
        assert!(ask("idempotency-key", b"\"order 42\""));
        assert!(!ask("idempotency-key", b"a\tb"));
        assert!(!ask("idempotency-key", "\u{e9}".as_bytes()));
        assert!(ask("content-disposition", "filename=\"\u{e9}.mp4\"".as_bytes()));
        assert!(!ask("content-disposition", b"filename=\"a\tb\""));
    }
}
