/// A bell of weights that sum to 65,536, two by two: where each pair begins, and its weights.
///
/// A weight that does not fit in 15 bits stands twice, halved.
pub(super) struct Filter<const PAIRS: usize> {
    /// How far it reaches to either side.
    pub(super) reach: usize,
    pub(super) pairs: [(usize, i16, i16); PAIRS],
}

/// Seventeen taps, for the picture as it is.
pub(super) const WHOLE: Filter<9> = Filter {
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

/// Nine taps, to make it half as large, and for what was made.
pub(super) const HALF: Filter<5> = Filter {
    reach: 4,
    pairs: [(0, 1244, 3663), (2, 7925, 12590), (4, 14692, 12590), (6, 7925, 3663), (8, 1244, 0)],
};

/// Five taps.
pub(super) const FOURTH: Filter<3> =
    Filter { reach: 2, pairs: [(0, 3571, 16004), (2, 26386, 16004), (4, 3571, 0)] };

/// Three taps, of which the middle one weighs 43,728.
pub(super) const SMALLEST: Filter<2> =
    Filter { reach: 1, pairs: [(0, 10904, 21864), (1, 21864, 10904)] };
