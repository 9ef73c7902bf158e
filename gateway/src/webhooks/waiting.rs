use ffapi_domain::Timestamp;
use ffapi_projections::webhooks::DeliveryRow;
use poem_openapi::{Enum, Object};

/// What a delivery that is due waits for.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
#[oai(rename = "DeliveryWait", skip_serializing_if_is_none)]
pub(super) struct Waiting {
    reason: WaitReason,
    /// The delivery that is sent first.
    delivery: Option<String>,
    /// When this reason ends, if that is known.
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "DeliveryWaitReason", rename_all = "snake_case")]
enum WaitReason {
    /// The webhook is disabled.
    WebhookDisabled,
    /// `delivery`, about the same job, batch or key, was not accepted yet.
    EarlierDelivery,
    /// Attempts to the webhook failed; none is made until `until`.
    WebhookPaused,
    /// Its last attempt failed; the next one is made at `until`.
    NextAttempt,
    /// It is sent as soon as a sender and the limits of the receiving host allow.
    Sender,
}

impl Waiting {
    /// The reason that applies the longest; none for a delivery that is not due.
    pub(super) fn of(row: &DeliveryRow, now: Timestamp) -> Option<Self> {
        if row.state != "due" {
            return None;
        }
        let later = |millis: i64| {
            let at = Timestamp::from_millis(u64::try_from(millis).unwrap_or(0));
            (at > now).then_some(at)
        };
        let simple = |reason| Self { reason, delivery: None, until: None };
        let until = |reason, at: Timestamp| Self { until: Some(at.to_string()), ..simple(reason) };
        Some(if !row.enabled {
            simple(WaitReason::WebhookDisabled)
        } else if row.after.is_some() {
            Self { delivery: row.after.clone(), ..simple(WaitReason::EarlierDelivery) }
        } else {
            match (later(row.paused_until), later(row.next_at)) {
                (Some(paused), Some(next)) if next < paused => {
                    until(WaitReason::WebhookPaused, paused)
                }
                (_, Some(next)) => until(WaitReason::NextAttempt, next),
                (Some(paused), None) => until(WaitReason::WebhookPaused, paused),
                (None, None) => simple(WaitReason::Sender),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> DeliveryRow {
        DeliveryRow {
            id: "b".to_owned(),
            thing: "job_1".to_owned(),
            sequence: 2,
            index: 0,
            kind: "job.started".to_owned(),
            created_at: 0,
            state: "due".to_owned(),
            attempts: 0,
            next_at: 1_000,
            delivered_at: None,
            enabled: true,
            paused_until: 0,
            after: None,
        }
    }

    #[test]
    fn the_first_reason_is_shown() {
        let now = Timestamp::from_millis(1_000);
        let reason = |row: &DeliveryRow| Waiting::of(row, now).map(|waiting| waiting.reason);
        let mut due = row();
        assert_eq!(reason(&due), Some(WaitReason::Sender));
        due.next_at = 1_001;
        assert_eq!(reason(&due), Some(WaitReason::NextAttempt));
        due.paused_until = 2_000;
        let paused = Waiting::of(&due, now).unwrap();
        assert_eq!(paused.reason, WaitReason::WebhookPaused);
        assert_eq!(paused.until.as_deref(), Some("1970-01-01T00:00:02.000Z"));
        due.after = Some("a".to_owned());
        let behind = Waiting::of(&due, now).unwrap();
        assert_eq!(
            (behind.reason, behind.delivery.as_deref(), behind.until),
            (WaitReason::EarlierDelivery, Some("a"), None)
        );
        due.enabled = false;
        assert_eq!(reason(&due), Some(WaitReason::WebhookDisabled));
        due.state = "failed".to_owned();
        assert_eq!(reason(&due), None);
    }
}
