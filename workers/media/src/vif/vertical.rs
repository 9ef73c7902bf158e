//! Sums down the columns of two pictures.

use std::arch::x86_64::{
    __m512i, _mm512_mulhi_epu16, _mm512_mullo_epi16, _mm512_setzero_si512, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi16,
};

use super::{
    filter::Filter,
    lanes::{START, Sums, biased, half_of, load, store},
    plane::{Line, Plane},
    statistic::Precision,
};

/// Lines that are done at once: each reads what its neighbours read, and all together stay in the
/// second cache.
pub(super) const ROWS: usize = 8;
/// Lines that are read for them, by the longest filter.
const READ: usize = ROWS + 17;

/// The sums down of one line, each with room for what is left and right of it.
#[derive(Clone)]
pub(super) struct Row {
    /// Of the reference and the distorted frame.
    pub(super) means: [Line; 2],
    /// Of their squares, and of the products of the two; lower and upper halves.
    pub(super) squares: [[Line; 2]; 3],
}

impl Row {
    pub(super) fn new(width: usize) -> Self {
        let line = || Line::new(width);
        let two = || [line(), line()];
        Self { means: two(), squares: [two(), two(), two()] }
    }

    pub(super) fn mirror(&mut self, width: usize, reach: usize) {
        let lines = self.means.iter_mut().chain(self.squares.as_flattened_mut());
        lines.for_each(|line| line.mirror(width, reach));
    }
}

/// Means, lower halves of squares, and upper ones.
const KINDS: usize = 8;
type Column = [[__m512i; 2]; READ];

/// What is summed of a block of two lines: reference, distorted, their squares and product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn terms<const DEEP: bool>(reference: __m512i, distorted: __m512i) -> [__m512i; KINDS] {
    let low = |a, b| biased(_mm512_mullo_epi16(a, b));
    let high = |a, b| {
        if DEEP { biased(_mm512_mulhi_epu16(a, b)) } else { _mm512_setzero_si512() }
    };
    [
        biased(reference),
        biased(distorted),
        low(reference, reference),
        low(distorted, distorted),
        low(reference, distorted),
        high(reference, reference),
        high(distorted, distorted),
        high(reference, distorted),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sum<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    column: &Column,
    row: usize,
    start: i32,
) -> Sums {
    let mut sums = Sums::new(start);
    for &(below, first, second) in &filter.pairs {
        sums = sums.weigh(column[row + below], first, second);
    }
    sums
}

/// Sums for the lines from `y` on, as many as there are rows. Where the pictures are not `DEEP`,
/// their squares have 16 bits.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn vertical<const PAIRS: usize, const DEEP: bool>(
    filter: &Filter<PAIRS>,
    [reference, distorted]: &[Plane; 2],
    y: usize,
    precision: Precision,
    rows: &mut [Row],
) {
    #[expect(clippy::large_stack_arrays, reason = "stays in the first cache")]
    let mut columns = [[[_mm512_setzero_si512(); 2]; READ]; KINDS];
    let kinds = if DEEP { KINDS } else { 5 };
    let read = rows.len() + 2 * filter.reach + 1;
    for block in 0..reference.blocks {
        let mut before = [_mm512_setzero_si512(); KINDS];
        for line in 0..=read {
            let at = |plane: &Plane| load(&plane.line(y + line, filter.reach)[block]);
            let now = terms::<DEEP>(at(reference), at(distorted));
            if let Some(line) = line.checked_sub(1) {
                for kind in 0..kinds {
                    columns[kind][line] = [
                        _mm512_unpacklo_epi16(before[kind], now[kind]),
                        _mm512_unpackhi_epi16(before[kind], now[kind]),
                    ];
                }
            }
            before = now;
        }
        let [first, second, low @ .., _, _, _] = &columns;
        let [.., high_one, high_two, high_both] = &columns;
        let high = [high_one, high_two, high_both];
        let mean = START.wrapping_add(half_of(precision.mean));
        let square = START.wrapping_add(half_of(precision.square));
        for (number, row) in rows.iter_mut().enumerate() {
            for (line, column) in row.means.iter_mut().zip([first, second]) {
                let sums = sum(filter, column, number, mean).shifted_right(precision.mean);
                store(line.block_mut(block), biased(sums.lower()));
            }
            for (([lower, upper], low), high) in row.squares.iter_mut().zip(low).zip(high) {
                let mut sums = sum(filter, low, number, square);
                if DEEP {
                    let high = sum(filter, high, number, START);
                    let high = high.shifted_left(16 - precision.square);
                    sums = sums.shifted_right(precision.square).plus(high);
                }
                store(lower.block_mut(block), biased(sums.lower()));
                store(upper.block_mut(block), biased(sums.upper()));
            }
        }
    }
}
