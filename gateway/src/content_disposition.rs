//! The `Content-Disposition` header of downloads and uploads (RFC 6266).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a client does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// A browser shows it.
    Inline,
    /// A browser saves it.
    Attachment,
}

/// The characters that RFC 8187 does not allow in a value.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header's value for a file name, which may have any characters.
pub(crate) fn header_value(disposition: Disposition, name: &str) -> String {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let is_plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\"\\%".contains(c);
    if name.chars().all(is_plain) {
        return format!("{kind}; filename=\"{name}\"");
    }
    // For clients that do not know `filename*`.
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(name, NOT_ATTR_CHAR);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Maximum length of a file name in characters.
const MAX_NAME: usize = 255;

/// The file name in a header's value: `filename*` before `filename`, which may be UTF-8; only the last
/// segment of a path, as in browsers. None if there is none.
pub(crate) fn file_name(value: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => latin_1(value),
    };
    let parameters = parameters(&text);
    let find = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone())
    };
    let name = find("filename*").and_then(|value| extended(&value)).or_else(|| find("filename"))?;
    let name = name.rsplit(['/', '\\']).next()?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    (!name.is_empty()).then_some(name)
}

/// The parameters after the first `;`, with quoted values unquoted.
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut found, mut current) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in text.chars().chain([';']) {
        match c {
            _ if is_escaped => {
                current.push(c);
                is_escaped = false;
            }
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' if !is_quoted => found.push(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    found.push(current);
    let pair = |text: String| {
        let (name, value) = text.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    found.into_iter().filter_map(pair).collect()
}

/// The value of an extended parameter (RFC 8187): character set, language and percent-encoded text.
fn extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, text) = (parts.next()?, parts.nth(1)?);
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(latin_1(&bytes)),
        _ => None,
    }
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_read_as_clients_send_them() {
        for (value, expected) in [
            ("attachment; filename=a.mp4", Some("a.mp4")),
            ("attachment; FileName = \"a b; c.mp4\"", Some("a b; c.mp4")),
            ("form-data; name=\"f\"; filename=\"a\\\"b.mp4\"", Some("a\"b.mp4")),
            ("attachment; filename=\"/tmp/x/a.mp4\"", Some("a.mp4")),
            ("attachment; filename=\"C:\\\\x\\\\a.mp4\"", Some("a.mp4")),
            ("attachment; filename=\"Fée.mp4\"", Some("Fée.mp4")),
            ("attachment; filename=x; filename*=UTF-8''F%C3%A9e%201.mp4", Some("Fée 1.mp4")),
            ("attachment; filename*=iso-8859-1'en'F%E9e.mp4", Some("Fée.mp4")),
            ("attachment; filename*=utf-7''x; filename=a.mp4", Some("a.mp4")),
            ("attachment; filename=\"a\u{1}.mp4\"", Some("a.mp4")),
            ("attachment; filename=\"\"", None),
            ("attachment", None),
            ("", None),
        ] {
            assert_eq!(file_name(value.as_bytes()).as_deref(), expected, "{value}");
        }
        assert_eq!(file_name(b"x; filename=F\xe9e.mp4").as_deref(), Some("Fée.mp4"));
        let long = format!("x; filename={}", "a".repeat(1_000));
        assert_eq!(file_name(long.as_bytes()).unwrap().len(), MAX_NAME);
    }

    #[test]
    fn every_name_has_a_form_that_every_client_understands() {
        for (name, expected) in [
            ("a b.mp4", "inline; filename=\"a b.mp4\""),
            ("Fée.mp4", "inline; filename=\"F_e.mp4\"; filename*=UTF-8''F%C3%A9e.mp4"),
            ("a\".mp4", "inline; filename=\"a_.mp4\"; filename*=UTF-8''a%22.mp4"),
            ("50%.mp4", "inline; filename=\"50_.mp4\"; filename*=UTF-8''50%25.mp4"),
            ("a\r\nx: y", "inline; filename=\"a__x: y\"; filename*=UTF-8''a%0D%0Ax%3A%20y"),
        ] {
            assert_eq!(header_value(Disposition::Inline, name), expected);
        }
        let saved = header_value(Disposition::Attachment, "a.mp4");
        assert_eq!(saved, "attachment; filename=\"a.mp4\"");
    }
}
