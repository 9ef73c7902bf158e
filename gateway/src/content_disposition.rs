//! The `Content-Disposition` header of downloads (RFC 6266).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

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

#[cfg(test)]
mod tests {
    use super::*;

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
