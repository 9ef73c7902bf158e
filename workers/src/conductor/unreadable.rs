use std::collections::BTreeSet;

use ffapi_commands::HandleError;
use ffapi_nats::CodecError;

/// Aggregates that cannot be read, by the subjects of their messages. No command for them can ever
/// succeed, so they are skipped and do not block others.
#[derive(Debug, Default)]
pub(super) struct UnreadableAggregates {
    subjects: BTreeSet<String>,
}

impl UnreadableAggregates {
    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    pub(super) fn contains(&self, subject: &str) -> bool {
        self.subjects.contains(subject)
    }

    /// Adds an aggregate, and logs it the first time.
    pub(super) fn add(&mut self, subject: &str) {
        if self.subjects.insert(subject.to_owned()) {
            let skipped = self.subjects.len();
            tracing::error!(subject, skipped, "unreadable aggregate skipped");
        }
    }

    /// Adds the aggregate if a command failed because it cannot be read or has reached its maximum
    /// size, so that retrying is pointless; returns true in that case.
    pub(super) fn record_failure<R: std::error::Error>(
        &mut self,
        subject: &str,
        error: &HandleError<R>,
    ) -> bool {
        let is_permanent = matches!(
            error,
            HandleError::Codec(CodecError::Unreadable(_)) | HandleError::TooLarge { .. }
        );
        if is_permanent {
            self.add(subject);
        }
        is_permanent
    }
}

#[cfg(test)]
mod tests {
    use ffapi_domain::queue_quota::QueueQuotaRejection;
    use ffapi_nats::LogError;

    use super::*;

    #[test]
    fn unreadable_aggregates_are_skipped_and_transient_failures_are_not() {
        let mut unreadable = UnreadableAggregates::default();
        let rejection = QueueQuotaRejection::Full { limit: 1, taken: 1 };
        let unavailable =
            HandleError::<QueueQuotaRejection>::Log(LogError::Misconfigured("away".to_owned()));
        for error in [unavailable, HandleError::Contended, HandleError::Rejected(rejection)] {
            assert!(!unreadable.record_failure("ev.job.a.1", &error), "{error}");
        }
        assert!(!unreadable.contains("ev.job.a.1"));
        let codec_error =
            HandleError::<QueueQuotaRejection>::Codec(CodecError::Unreadable("gone".to_owned()));
        assert!(unreadable.record_failure("ev.job.a.1", &codec_error));
        let large = HandleError::<QueueQuotaRejection>::TooLarge { size: 9, max: 8 };
        assert!(unreadable.record_failure("ev.job.a.2", &large));
        assert!(unreadable.contains("ev.job.a.1") && unreadable.contains("ev.job.a.2"));
    }
}
