/// A Gaussian filter whose taps sum to 65,536, in pairs: the offset of each pair, and its two taps.
///
/// A tap that does not fit in an `i16` is split into two halves.
pub(super) struct Filter<const PAIRS: usize> {
    /// Its radius: the number of samples to either side of the centre.
    pub(super) reach: usize,
    pub(super) pairs: [(usize, i16, i16); PAIRS],
}

/// Seventeen taps, for the frame at full size.
pub(super) const SCALE0: Filter<9> = Filter {
    reach: 8,
    pairs: [
        (0, 489, 935),
        (2, 1640, 2640),
        (4, 3896, 5274),
        (6, 6547, 7455),
        (8, 7784, 7455),
        (10, 6547, 5274),
        (12, 3896, 2640),
        (14, 1640, 935),
        (16, 489, 0),
    ],
};

/// Nine taps, to subsample to half the size, and for the statistic at that scale.
pub(super) const SCALE1: Filter<5> = Filter {
    reach: 4,
    pairs: [(0, 1244, 3663), (2, 7925, 12590), (4, 14692, 12590), (6, 7925, 3663), (8, 1244, 0)],
};

/// Five taps, for a fourth of the size.
pub(super) const SCALE2: Filter<3> =
    Filter { reach: 2, pairs: [(0, 3571, 16004), (2, 26386, 16004), (4, 3571, 0)] };

/// Three taps, for an eighth of the size; the middle one is 43,728.
pub(super) const SCALE3: Filter<2> =
    Filter { reach: 1, pairs: [(0, 10904, 21864), (1, 21864, 10904)] };
