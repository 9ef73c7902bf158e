use std::{fmt, str::FromStr};

/// Where in the log: epoch, stream sequence, index within the decision. Opaque to users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Raised whenever the log was restored.
    pub epoch: u32,
    /// Of the message.
    pub sequence: u64,
    /// Of the event in it.
    pub index: u32,
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position looks like `1-42-0`, as `X-Log-Position` or an event's `id` gave it")]
pub struct BadPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(BadPosition);
        let (epoch, sequence, index) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(BadPosition);
        }
        Ok(Self {
            epoch: epoch.parse().map_err(|_| BadPosition)?,
            sequence: sequence.parse().map_err(|_| BadPosition)?,
            index: index.parse().map_err(|_| BadPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_sorts_by_time() {
        let position = Position { epoch: 1, sequence: 42, index: 3 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert!(position < Position { epoch: 1, sequence: 43, index: 0 });
        for bad in ["", "42", "1-2", "1-2-3-4", "a-1-1", "-1-1-1"] {
            assert_eq!(bad.parse::<Position>(), Err(BadPosition), "{bad}");
        }
    }
}
