//! Horizontal convolution, and subsampling by it.

use std::arch::x86_64::{
    __m512i, _mm512_castsi256_si512, _mm512_cvtepi32_epi16, _mm512_inserti64x4, _mm512_set1_epi32,
    _mm512_srli_epi32, _mm512_unpackhi_epi16, _mm512_unpacklo_epi16,
};

use super::{
    filter::Filter,
    lanes::{INITIAL_SUM, Sums, biased, load, multiply_add, rounding, store},
    plane::{LANES, Line, Plane, block},
};

/// The filtered sums at every second sample from `x` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn convolve_every_second<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    line: &Line,
    x: usize,
    start: i32,
) -> __m512i {
    let window = line.window(x, filter.reach);
    let mut sum = _mm512_set1_epi32(start);
    for &(from, first, second) in &filter.pairs {
        sum = multiply_add(sum, load(block(window, from)), first, second);
    }
    sum
}

/// Filters a plane and subsamples it to half its width and height; the vertical sums are shifted
/// right by `bits` and rounded before the horizontal pass.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn subsample<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    from: &Plane,
    to: &mut Plane,
    bits: i32,
    line: &mut Line,
) {
    for y in 0..to.height {
        for number in 0..from.blocks {
            let mut sums = Sums::new(INITIAL_SUM.wrapping_add(rounding(bits)));
            for &(below, first, second) in &filter.pairs {
                let read = |y| biased(load(&from.line(y, filter.reach)[number]));
                let (upper, lower) = (read(2 * y + below), read(2 * y + below + 1));
                let lines =
                    [_mm512_unpacklo_epi16(upper, lower), _mm512_unpackhi_epi16(upper, lower)];
                sums = sums.multiply_add(lines, first, second);
            }
            store(line.block_mut(number), biased(sums.shifted_right(bits).lower()));
        }
        line.mirror(from.width, filter.reach);
        for (number, to) in to.line_mut(y).iter_mut().enumerate() {
            let half = |x| {
                let start = INITIAL_SUM.wrapping_add(rounding(16));
                let sum = convolve_every_second(filter, line, x, start);
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(sum))
            };
            let x = 2 * LANES * number;
            // The padding of a line need not be computed.
            let right = if x + LANES < from.width { half(x + LANES) } else { half(x) };
            store(to, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(x)), right));
        }
    }
}
