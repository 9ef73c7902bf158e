//! Units of time.

use ffapi_domain::media::Micros;
use ffmpeg_the_third::Rational;

/// The time base of microseconds.
pub(crate) const MICROS: Rational = Rational(1, 1_000_000);

/// Microseconds as seconds, for reports.
#[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
pub(crate) fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1_000_000.0
}

/// Seconds as microseconds; 0 if they are negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time in a file, far below the limit"
)]
pub(crate) fn micros(seconds: f64) -> Micros {
    (seconds * 1e6).round() as Micros
}
