//! Validation of the `traceparent` header.

/// Length of a `traceparent` of version 00; later versions begin with the same fields.
const LENGTH: usize = 55;

/// The part of a `traceparent` that is stored, as defined by W3C Trace Context; none if it is
/// invalid and must be ignored.
pub(crate) fn parent(header: &str) -> Option<&str> {
    let (kept, rest) = header.split_at_checked(LENGTH)?;
    let mut parts = kept.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let well_formed = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    // A later version may have more fields, after a dash.
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let valid = well_formed && ends && version != "ff" && !is_zero(trace) && !is_zero(span);
    (valid && parts.next().is_none()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::parent;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_parent_is_kept() {
        assert_eq!(parent(VALID), Some(VALID));
        let later = VALID.replacen("00", "01", 1);
        assert_eq!(parent(&format!("{later}-more")), Some(later.as_str()));
    }

    #[test]
    fn an_invalid_parent_is_ignored() {
        for invalid in [
            String::new(),
            "0".repeat(300_000),
            format!("{VALID}-{}", "x".repeat(300_000)),
            format!("{VALID}x"),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALID.replace('-', "_"),
            format!("é{VALID}"),
        ] {
            assert_eq!(parent(&invalid), None, "{invalid:.80}");
        }
    }
}
