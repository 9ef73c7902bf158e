//! Vertical convolution of a pair of planes, their squares and their product.

use std::arch::x86_64::{
    __m512i, _mm512_mulhi_epu16, _mm512_mullo_epi16, _mm512_setzero_si512, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi16,
};

use super::{
    depth::{SampleDepth, VerticalShift},
    filter::Filter,
    lanes::{INITIAL_SUM, Sums, biased, load, rounding, store},
    plane::{Line, Plane},
};

/// Lines that are computed at once: they share most of their inputs, and together fit in the L2
/// cache.
pub(super) const ROWS: usize = 8;
/// Lines that are read for them with the longest filter.
const INPUT_ROWS: usize = ROWS + 17;

/// The vertical sums of one line, with margins on either side.
#[derive(Clone)]
pub(super) struct Row {
    /// Of the reference and the distorted frame.
    pub(super) means: [Line; 2],
    /// Of their squares (`xx`, `yy`) and their product (`xy`); lower and upper halves.
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

/// The number of terms: two means, three lower halves of squares, and three upper ones.
const TERMS: usize = 8;
/// A term of one block's columns, by row; two rows interleaved in two vectors.
type Column = [[__m512i; 2]; INPUT_ROWS];

/// The terms of one block: reference, distorted, and the halves of their squares and product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn terms<Depth: SampleDepth>(reference: __m512i, distorted: __m512i) -> [__m512i; TERMS] {
    let low = |a, b| biased(_mm512_mullo_epi16(a, b));
    let high = |a, b| {
        if Depth::SQUARES_HAVE_UPPER_HALVES {
            biased(_mm512_mulhi_epu16(a, b))
        } else {
            _mm512_setzero_si512()
        }
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
        sums = sums.multiply_add(column[row + below], first, second);
    }
    sums
}

/// Computes the sums of the lines from `y` on, one for each row.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn convolve_columns<Depth: SampleDepth, const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    [reference, distorted]: &[Plane; 2],
    y: usize,
    shift: VerticalShift,
    rows: &mut [Row],
) {
    #[expect(clippy::large_stack_arrays, reason = "fits in the L1 cache")]
    let mut columns = [[[_mm512_setzero_si512(); 2]; INPUT_ROWS]; TERMS];
    let count = if Depth::SQUARES_HAVE_UPPER_HALVES { TERMS } else { 5 };
    let input_rows = rows.len() + 2 * filter.reach + 1;
    for block in 0..reference.blocks {
        let mut previous = [_mm512_setzero_si512(); TERMS];
        for line in 0..=input_rows {
            let at = |plane: &Plane| load(&plane.line(y + line, filter.reach)[block]);
            let current = terms::<Depth>(at(reference), at(distorted));
            if let Some(line) = line.checked_sub(1) {
                for term in 0..count {
                    columns[term][line] = [
                        _mm512_unpacklo_epi16(previous[term], current[term]),
                        _mm512_unpackhi_epi16(previous[term], current[term]),
                    ];
                }
            }
            previous = current;
        }
        let [mu1, mu2, low @ .., _, _, _] = &columns;
        let [.., high_xx, high_yy, high_xy] = &columns;
        let high = [high_xx, high_yy, high_xy];
        let mean = INITIAL_SUM.wrapping_add(rounding(shift.mean));
        let square = INITIAL_SUM.wrapping_add(rounding(shift.square));
        for (number, row) in rows.iter_mut().enumerate() {
            for (line, column) in row.means.iter_mut().zip([mu1, mu2]) {
                let sums = sum(filter, column, number, mean).shifted_right(shift.mean);
                store(line.block_mut(block), biased(sums.lower()));
            }
            for (([lower, upper], low), high) in row.squares.iter_mut().zip(low).zip(high) {
                let mut sums = sum(filter, low, number, square);
                if Depth::SQUARES_HAVE_UPPER_HALVES {
                    let high = sum(filter, high, number, INITIAL_SUM);
                    let high = high.shifted_left(16 - shift.square);
                    sums = sums.shifted_right(shift.square).plus(high);
                }
                store(lower.block_mut(block), biased(sums.lower()));
                store(upper.block_mut(block), biased(sums.upper()));
            }
        }
    }
}
