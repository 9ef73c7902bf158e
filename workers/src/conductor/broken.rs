use std::collections::BTreeSet;

use ffapi_commands::HandleError;
use ffapi_nats::CodecError;

/// Aggregates that cannot be read, by the subjects of their messages. Nothing can be decided about them, now
/// or later: they are passed over, so that no other one waits for them.
#[derive(Debug, Default)]
pub(super) struct Broken {
    subjects: BTreeSet<String>,
}

impl Broken {
    pub(super) fn holds(&self, subject: &str) -> bool {
        self.subjects.contains(subject)
    }

    /// Writes one down, once.
    pub(super) fn add(&mut self, subject: &str) {
        if self.subjects.insert(subject.to_owned()) {
            let passed_over = self.subjects.len();
            tracing::error!(subject, passed_over, "it cannot be read, and is passed over");
        }
    }

    /// True if a command failed because its aggregate cannot be read, or can hold no more: giving it again
    /// cannot help.
    pub(super) fn explains<R: std::fmt::Debug>(
        &mut self,
        subject: &str,
        error: &HandleError<R>,
    ) -> bool {
        let hopeless = matches!(
            error,
            HandleError::Codec(CodecError::Unreadable(_)) | HandleError::TooLarge { .. }
        );
        if hopeless {
            self.add(subject);
        }
        hopeless
    }
}

#[cfg(test)]
mod tests {
    use ffapi_nats::LogError;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_passed_over_and_what_may_pass_is_tried_again() {
        let mut broken = Broken::default();
        let away = HandleError::<()>::Log(LogError::Misconfigured("away".to_owned()));
        for error in [away, HandleError::Contended, HandleError::Rejected(())] {
            assert!(!broken.explains("ev.job.a.1", &error), "{error}");
        }
        assert!(!broken.holds("ev.job.a.1"));
        let unreadable = HandleError::<()>::Codec(CodecError::Unreadable("gone".to_owned()));
        assert!(broken.explains("ev.job.a.1", &unreadable));
        let large = HandleError::<()>::TooLarge { size: 9, max: 8 };
        assert!(broken.explains("ev.job.a.2", &large));
        assert!(broken.holds("ev.job.a.1") && broken.holds("ev.job.a.2"));
    }
}
