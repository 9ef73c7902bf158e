use std::{fmt, str::FromStr};

/// A position in the log: epoch, stream sequence, and index within the decision. Opaque to clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Incremented whenever the log is restored from a backup.
    pub epoch: u32,
    /// Stream sequence of the message.
    pub sequence: u64,
    /// Index of the event in the message, from 0.
    pub index: u32,
}

/// The text is not a valid position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position looks like `1-42-0`, as given by `X-Log-Position` or an event's `id`")]
pub struct ParsePositionError;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(ParsePositionError);
        let (epoch, sequence, index) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(ParsePositionError);
        }
        Ok(Self {
            epoch: epoch.parse().map_err(|_| ParsePositionError)?,
            sequence: sequence.parse().map_err(|_| ParsePositionError)?,
            index: index.parse().map_err(|_| ParsePositionError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_round_trips_and_sorts_in_log_order() {
        let position = Position { epoch: 1, sequence: 42, index: 3 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert!(position < Position { epoch: 1, sequence: 43, index: 0 });
        for bad in ["", "42", "1-2", "1-2-3-4", "a-1-1", "-1-1-1"] {
            assert_eq!(bad.parse::<Position>(), Err(ParsePositionError), "{bad}");
        }
    }
}
