use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use uuid::Uuid;

/// Length of a `traceparent` of version 00; later versions begin with the same fields.
const LENGTH: usize = 55;

/// The W3C trace context of a span. Its text is a `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// Reads a `traceparent`; none if it is invalid and must be ignored.
    pub fn parse(header: &str) -> Option<Self> {
        let (kept, rest) = header.split_at_checked(LENGTH)?;
        let mut parts = kept.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let hex = |part: &str, length: usize| {
            part.len() == length
                && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let well_formed = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // A later version may have more fields, after a dash.
        let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
        if !well_formed || !ends || version == "ff" || parts.next().is_some() {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let context = Self { trace, span, flags: TraceFlags::new(flags) & TraceFlags::SAMPLED };
        (trace != TraceId::INVALID && span != SpanId::INVALID).then_some(context)
    }

    /// A new context that no exported span has, so that what follows has an id in common.
    pub fn unsampled() -> Self {
        let trace = Uuid::now_v7();
        let (_, random) = Uuid::now_v7().as_u64_pair();
        Self {
            trace: TraceId::from_bytes(*trace.as_bytes()),
            span: SpanId::from_bytes(random.to_be_bytes()),
            flags: TraceFlags::default(),
        }
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        self.trace.to_string()
    }

    pub(super) fn of(span: &SpanContext) -> Option<Self> {
        let (trace, id) = (span.trace_id(), span.span_id());
        span.is_valid().then_some(Self { trace, span: id, flags: span.trace_flags() })
    }
}

impl From<TraceContext> for SpanContext {
    fn from(context: TraceContext) -> Self {
        let TraceContext { trace, span, flags } = context;
        Self::new(trace, span, flags, true, TraceState::NONE)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parsed(header: &str) -> Option<String> {
        TraceContext::parse(header).map(|context| context.to_string())
    }

    #[test]
    fn a_valid_header_is_kept_in_the_version_that_is_written() {
        assert_eq!(parsed(VALID).as_deref(), Some(VALID));
        let later = VALID.replacen("00", "01", 1);
        assert_eq!(parsed(&format!("{later}-more")).as_deref(), Some(VALID));
        let unsampled = VALID.replace("-01", "-00");
        assert_eq!(parsed(&unsampled), Some(unsampled));
    }

    #[test]
    fn an_invalid_header_is_ignored() {
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
            assert_eq!(parsed(&invalid), None, "{invalid:.80}");
        }
    }

    #[test]
    fn a_new_context_is_valid_and_differs_from_others() {
        let (one, other) = (TraceContext::unsampled(), TraceContext::unsampled());
        assert_eq!(TraceContext::parse(&one.to_string()), Some(one));
        assert_ne!(one.trace_id(), other.trace_id());
    }
}
