//! How the number of bits of a sample determines the arithmetic.

/// Bits that vertical sums are shifted right by: 16 bits remain of a mean, and 32 of a square.
#[derive(Clone, Copy)]
pub(super) struct VerticalShift {
    pub(super) mean: i32,
    pub(super) square: i32,
}

impl VerticalShift {
    /// For subsampled planes, whose samples have 16 bits.
    pub(super) const SUBSAMPLED: Self = Self { mean: 16, square: 16 };

    /// For source samples of `depth` bits, at least eight.
    pub(super) const fn for_source(depth: u32) -> Self {
        let mean = depth.cast_signed();
        Self { mean, square: 2 * (mean - 8) }
    }
}

/// Whether the samples of a plane have more than eight bits.
pub(super) trait SampleDepth {
    /// True if their squares have more than 16 bits, so that the upper halves of those count too.
    const SQUARES_HAVE_UPPER_HALVES: bool;
}

/// Samples of eight bits.
pub(super) struct EightBits;

impl SampleDepth for EightBits {
    const SQUARES_HAVE_UPPER_HALVES: bool = false;
}

/// Samples of up to 16 bits.
pub(super) struct HighDepth;

impl SampleDepth for HighDepth {
    const SQUARES_HAVE_UPPER_HALVES: bool = true;
}
