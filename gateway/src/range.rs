use std::ops::Range;

/// The part of a file that a `Range` header requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RangeRequest {
    /// The whole file; also for ranges that are not supported, as RFC 9110 allows.
    Whole,
    /// One part.
    Part(Range<u64>),
    /// A range that the file does not have.
    NotSatisfiable,
}

/// Parses a `Range` header for a file of `size` bytes.
pub(crate) fn requested(header: Option<&str>, size: u64) -> RangeRequest {
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
    if part.start < part.end { RangeRequest::Part(part) } else { RangeRequest::NotSatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_parsed_as_rfc_9110_defines() {
        for (header, expected) in [
            (None, RangeRequest::Whole),
            (Some("bytes=0-4"), RangeRequest::Part(0..5)),
            (Some("bytes=5-"), RangeRequest::Part(5..10)),
            (Some("bytes=-3"), RangeRequest::Part(7..10)),
            (Some("bytes=-99"), RangeRequest::Part(0..10)),
            (Some("bytes=8-99"), RangeRequest::Part(8..10)),
            (Some("bytes=10-"), RangeRequest::NotSatisfiable),
            (Some("bytes=-0"), RangeRequest::NotSatisfiable),
            (Some("bytes=5-2"), RangeRequest::Whole),
            (Some("bytes=0-1,4-5"), RangeRequest::Whole),
            (Some("items=0-1"), RangeRequest::Whole),
        ] {
            assert_eq!(requested(header, 10), expected, "{header:?}");
        }
    }
}
