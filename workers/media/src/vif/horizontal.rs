//! Sums along a line, and the smaller picture that is made by them.

use std::arch::x86_64::{
    __m512i, _mm512_castsi256_si512, _mm512_cvtepi32_epi16, _mm512_inserti64x4, _mm512_set1_epi32,
    _mm512_srli_epi32, _mm512_unpackhi_epi16, _mm512_unpacklo_epi16,
};

use super::{
    filter::Filter,
    lanes::{START, Sums, biased, half_of, load, store, weigh},
    plane::{LANES, Line, Plane, block},
};

/// The sums around every second sample from `x` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn every_second<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    line: &Line,
    x: usize,
    start: i32,
) -> __m512i {
    let window = line.window(x, filter.reach);
    let mut sum = _mm512_set1_epi32(start);
    for &(from, first, second) in &filter.pairs {
        sum = weigh(sum, load(block(window, from)), first, second);
    }
    sum
}

/// Makes a picture half as wide and high; `bits` are rounded away between down and across.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn halve<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    from: &Plane,
    to: &mut Plane,
    bits: i32,
    line: &mut Line,
) {
    for y in 0..to.height {
        for number in 0..from.blocks {
            let mut sums = Sums::new(START.wrapping_add(half_of(bits)));
            for &(below, first, second) in &filter.pairs {
                let read = |y| biased(load(&from.line(y, filter.reach)[number]));
                let (upper, lower) = (read(2 * y + below), read(2 * y + below + 1));
                let lines =
                    [_mm512_unpacklo_epi16(upper, lower), _mm512_unpackhi_epi16(upper, lower)];
                sums = sums.weigh(lines, first, second);
            }
            store(line.block_mut(number), biased(sums.shifted_right(bits).lower()));
        }
        line.mirror(from.width, filter.reach);
        for (number, to) in to.line_mut(y).iter_mut().enumerate() {
            let half = |x| {
                let sum = every_second(filter, line, x, START.wrapping_add(half_of(16)));
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(sum))
            };
            let x = 2 * LANES * number;
            // What a line is filled up with need not be made.
            let right = if x + LANES < from.width { half(x + LANES) } else { half(x) };
            store(to, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(x)), right));
        }
    }
}
