use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::media::Size;

/// Position of an overlay in the frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Top left corner.
    TopLeft,
    /// Top edge.
    Top,
    /// Top right corner.
    TopRight,
    /// Left edge.
    Left,
    /// Centre.
    Center,
    /// Right edge.
    Right,
    /// Bottom left corner.
    BottomLeft,
    /// Bottom edge.
    Bottom,
    /// Bottom right corner.
    #[default]
    BottomRight,
}

impl Position {
    /// Horizontal and vertical position in halves of the frame: 0, 1 or 2.
    pub const fn halves(self) -> (u32, u32) {
        match self {
            Self::TopLeft => (0, 0),
            Self::Top => (1, 0),
            Self::TopRight => (2, 0),
            Self::Left => (0, 1),
            Self::Center => (1, 1),
            Self::Right => (2, 1),
            Self::BottomLeft => (0, 2),
            Self::Bottom => (1, 2),
            Self::BottomRight => (2, 2),
        }
    }

    /// The top left corner of a box of `size` within `whole`, `margin` pixels away from the edges.
    pub fn corner(self, size: Size, whole: Size, margin: u32) -> (i64, i64) {
        let offset = |halves: u32, size: u32, whole: u32| {
            let (space, margin) = (i64::from(whole) - i64::from(size), i64::from(margin));
            match halves {
                0 => margin,
                1 => space / 2,
                _ => space - margin,
            }
        };
        let (x, y) = self.halves();
        (offset(x, size.width, whole.width), offset(y, size.height, whole.height))
    }
}

/// A colour, as `#RRGGBB`, `#RRGGBBAA` or one of a few names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Paint {
    /// Red, green, blue, opacity.
    pub rgba: [u8; 4],
}

const NAMES: [(&str, [u8; 3]); 10] = [
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("gray", [128, 128, 128]),
    ("red", [255, 0, 0]),
    ("green", [0, 128, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
    ("orange", [255, 165, 0]),
];

impl Paint {
    /// Opaque black.
    pub const BLACK: Self = Self { rgba: [0, 0, 0, 255] };
    /// Opaque white.
    pub const WHITE: Self = Self { rgba: [255, 255, 255, 255] };
}

/// The text is not a valid colour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a color is #RRGGBB, #RRGGBBAA or black, white, gray, red, green, blue, yellow, cyan, magenta, orange"
)]
pub struct BadPaint;

impl FromStr for Paint {
    type Err = BadPaint;

    fn from_str(text: &str) -> Result<Self, BadPaint> {
        if let Some((_, [r, g, b])) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self { rgba: [*r, *g, *b, 255] });
        }
        let digits = text.strip_prefix('#').ok_or(BadPaint)?;
        if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadPaint);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| BadPaint)?;
        let value = if digits.len() == 6 { value << 8 | 0xff } else { value };
        Ok(Self { rgba: value.to_be_bytes() })
    }
}

impl fmt::Display for Paint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:08x}", u32::from_be_bytes(self.rgba))
    }
}

impl TryFrom<String> for Paint {
    type Error = BadPaint;

    fn try_from(text: String) -> Result<Self, BadPaint> {
        text.parse()
    }
}

impl From<Paint> for String {
    fn from(paint: Paint) -> Self {
        paint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_hex_or_a_name() {
        assert_eq!("red".parse::<Paint>().unwrap().rgba, [255, 0, 0, 255]);
        assert_eq!("#10203040".parse::<Paint>().unwrap().rgba, [16, 32, 48, 64]);
        assert_eq!("#102030".parse::<Paint>().unwrap().to_string(), "#102030ff");
        for bad in ["", "redish", "#12", "#+12345", "102030"] {
            assert!(bad.parse::<Paint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_position_keeps_the_margin_from_the_edges() {
        let (size, whole) = (Size { width: 10, height: 20 }, Size { width: 100, height: 100 });
        let corner = |position: Position| position.corner(size, whole, 5);
        assert_eq!(corner(Position::TopLeft), (5, 5));
        assert_eq!(corner(Position::Center), (45, 40));
        assert_eq!(corner(Position::BottomRight), (85, 75));
    }
}
