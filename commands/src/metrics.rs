//! The instruments of this crate, and functions that record with them. Nothing else of it imports
//! OpenTelemetry.

use std::{fmt, sync::LazyLock, time::Duration};

use ffapi_domain::Decider;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

use crate::{CommandOutcome, HandleError};

/// Most commands take less than the first boundary of the semantic conventions.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(Instruments::new);

struct Instruments {
    durations: Histogram<f64>,
    rejections: Counter<u64>,
    retries: Counter<u64>,
    folds: Counter<u64>,
}

impl Instruments {
    fn new() -> Self {
        let meter = global::meter("ffapi-commands");
        let count =
            |name, description| meter.u64_counter(name).with_description(description).build();
        Self {
            durations: meter
                .f64_histogram("ffapi.command.duration")
                .with_unit("s")
                .with_description("Time to handle a command, by its aggregate and outcome")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            rejections: count(
                "ffapi.command.rejections",
                "Commands that an aggregate rejected, by its reason",
            ),
            retries: count(
                "ffapi.command.retries",
                "Decisions that were made again, because a concurrent one was appended first",
            ),
            folds: count(
                "ffapi.fold_cache.requests",
                "Commands by whether the state of their aggregate was in memory",
            ),
        }
    }
}

/// Starts with no retry.
pub(crate) fn prepare() {
    INSTRUMENTS.retries.add(0, &[]);
}

pub(crate) fn handled<D: Decider>(
    aggregate: &'static str,
    time: Duration,
    outcome: &Result<CommandOutcome<D>, HandleError<D::Rejection>>,
) {
    if let Err(HandleError::Rejected(rejection)) = outcome {
        let labels =
            [KeyValue::new("aggregate", aggregate), KeyValue::new("reason", reason(rejection))];
        INSTRUMENTS.rejections.add(1, &labels);
    }
    let labels =
        [KeyValue::new("aggregate", aggregate), KeyValue::new("outcome", outcome_name(outcome))];
    INSTRUMENTS.durations.record(time.as_secs_f64(), &labels);
}

pub(crate) const fn outcome_name<D: Decider>(
    outcome: &Result<CommandOutcome<D>, HandleError<D::Rejection>>,
) -> &'static str {
    match outcome {
        Ok(CommandOutcome { appended: Some(_), .. }) => "accepted",
        Ok(CommandOutcome { appended: None, .. }) => "unchanged",
        Err(HandleError::Rejected(_)) => "rejected",
        Err(HandleError::VersionMismatch(_)) => "version_mismatch",
        Err(HandleError::Contended) => "contended",
        Err(HandleError::Log(_)) => "log_unavailable",
        Err(HandleError::Codec(_)) => "unreadable",
        Err(HandleError::TooLarge { .. }) => "too_large",
    }
}

/// The variant of a rejection, without its fields: `TooManyAttempts` is `too_many_attempts`. Every
/// rejection is an enum, and there are few variants.
fn reason(rejection: &impl fmt::Debug) -> String {
    let mut reason = String::new();
    for letter in format!("{rejection:?}").chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !reason.is_empty() {
            reason.push('_');
        }
        reason.push(letter.to_ascii_lowercase());
    }
    reason
}

pub(crate) fn retried() {
    INSTRUMENTS.retries.add(1, &[]);
}

/// Whether the state of an aggregate was in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lookup {
    Hit,
    Miss,
}

pub(crate) fn looked_up(lookup: Lookup) {
    let result = match lookup {
        Lookup::Hit => "hit",
        Lookup::Miss => "miss",
    };
    INSTRUMENTS.folds.add(1, &[KeyValue::new("result", result)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "it is only formatted")]
    enum Rejection {
        TooManyAttempts,
        TakenBy { worker: &'static str },
        Beyond(&'static str),
    }

    #[test]
    fn a_reason_is_the_variant_and_nothing_of_its_fields() {
        assert_eq!(reason(&Rejection::TooManyAttempts), "too_many_attempts");
        assert_eq!(reason(&Rejection::TakenBy { worker: "w" }), "taken_by");
        assert_eq!(reason(&Rejection::Beyond("x")), "beyond");
    }
}
