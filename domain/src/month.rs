use std::{fmt, str::FromStr};

use time::OffsetDateTime;

use crate::Timestamp;

/// A calendar month (UTC), like `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i32,
    /// 1 to 12.
    month: u8,
}

/// Why a text is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month looks like 2026-11")]
pub struct ParseMonthError;

impl Month {
    /// The month that contains a timestamp.
    pub fn of(time: Timestamp) -> Self {
        let seconds = i64::try_from(time.as_millis() / 1_000).unwrap_or(i64::MAX);
        let date = OffsetDateTime::from_unix_timestamp(seconds);
        let date = date.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self { year: date.year(), month: date.month().into() }
    }

    /// When it begins.
    pub fn start(self) -> Timestamp {
        format!("{self}-01T00:00:00Z").parse().unwrap_or_default()
    }

    /// When the next month begins.
    pub fn end(self) -> Timestamp {
        let next = if self.month >= 12 {
            Self { year: self.year.saturating_add(1), month: 1 }
        } else {
            Self { month: self.month.saturating_add(1), ..self }
        };
        next.start()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ParseMonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (year, month) = text.split_once('-').ok_or(ParseMonthError)?;
        let has_digits = |text: &str, count| {
            text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        if !has_digits(year, 4) || !has_digits(month, 2) {
            return Err(ParseMonthError);
        }
        let year = year.parse().map_err(|_| ParseMonthError)?;
        let month = month.parse().map_err(|_| ParseMonthError)?;
        // The end of December 9999 cannot be expressed.
        if !(1970..=9998).contains(&year) || !(1..=12).contains(&month) {
            return Err(ParseMonthError);
        }
        Ok(Self { year, month })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_lasts_from_its_first_day_to_that_of_the_next_one() {
        for (text, start, end) in [
            ("2026-11", "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"),
            ("2024-12", "2024-12-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ] {
            let month: Month = text.parse().unwrap();
            assert_eq!(
                (month.start().to_string(), month.end().to_string()),
                (start.into(), end.into())
            );
            assert_eq!(Month::of(month.start()), month);
            assert_eq!(Month::of(Timestamp::from_millis(month.end().as_millis() - 1)), month);
            assert_eq!(month.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_month_is_rejected() {
        for text in ["2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "+026-11", ""] {
            assert_eq!(text.parse::<Month>(), Err(ParseMonthError), "{text}");
        }
    }
}
