use std::ops::Range;

/// What a `Range` header asks of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RangeRequest {
    /// All of it; also for what we do not serve in parts, as the standard allows.
    Whole,
    /// One part.
    Part(Range<u64>),
    /// A part that it does not have.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes.
pub(crate) fn asked(header: Option<&str>, size: u64) -> RangeRequest {
    let Some(spec) = header.and_then(|header| header.strip_prefix("bytes=")) else {
        return RangeRequest::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return RangeRequest::Whole;
    };
    let part = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => size.saturating_sub(suffix)..size,
        _ => return RangeRequest::Whole,
    };
    if part.start < part.end { RangeRequest::Part(part) } else { RangeRequest::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_served_as_the_standard_says() {
        for (header, expected) in [
            (None, RangeRequest::Whole),
            (Some("bytes=0-4"), RangeRequest::Part(0..5)),
            (Some("bytes=5-"), RangeRequest::Part(5..10)),
            (Some("bytes=-3"), RangeRequest::Part(7..10)),
            (Some("bytes=-99"), RangeRequest::Part(0..10)),
            (Some("bytes=8-99"), RangeRequest::Part(8..10)),
            (Some("bytes=10-"), RangeRequest::Nothing),
            (Some("bytes=-0"), RangeRequest::Nothing),
            (Some("bytes=5-2"), RangeRequest::Whole),
            (Some("bytes=0-1,4-5"), RangeRequest::Whole),
            (Some("items=0-1"), RangeRequest::Whole),
        ] {
            assert_eq!(asked(header, 10), expected, "{header:?}");
        }
    }
}
