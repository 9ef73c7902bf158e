//! What a request says of the trace that it belongs to.

/// Characters of a `traceparent` of version 00, which every later one begins with.
const LENGTH: usize = 55;

/// The part of a `traceparent` that is kept, as W3C Trace Context has it; none of what is no valid one,
/// which is to be ignored.
pub(crate) fn parent(header: &str) -> Option<&str> {
    let (kept, rest) = header.split_at_checked(LENGTH)?;
    let mut parts = kept.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (span, flags) = (parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let well = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    let nothing = |part: &str| part.bytes().all(|b| b == b'0');
    // A later version may say more, after a dash.
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let valid = well && ends && version != "ff" && !nothing(trace) && !nothing(span);
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
    fn what_is_none_is_ignored_and_never_kept() {
        for no in [
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
            assert_eq!(parent(&no), None, "{no:.80}");
        }
    }
}
