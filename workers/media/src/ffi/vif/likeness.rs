//! What a picture tells of its reference, from the means, variances and covariance around each
//! pixel.

use std::arch::x86_64::{
    __m256i, __m512d, __m512i, __mmask16, _mm512_add_epi32, _mm512_add_epi64, _mm512_add_pd,
    _mm512_castpd_si512, _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_cvtepi32_pd,
    _mm512_cvtepi64_epi32, _mm512_cvtepu32_epi64, _mm512_div_pd, _mm512_extracti64x4_epi64,
    _mm512_inserti64x4, _mm512_lzcnt_epi32, _mm512_mask_add_epi32, _mm512_mask_blend_epi32,
    _mm512_mask_cmpge_epi32_mask, _mm512_mask_cmpgt_epi32_mask, _mm512_maskz_mov_epi32,
    _mm512_max_epi32, _mm512_max_pd, _mm512_min_pd, _mm512_mul_epu32, _mm512_mul_pd,
    _mm512_reduce_add_epi32, _mm512_reduce_add_epi64, _mm512_roundscale_pd, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_set1_pd, _mm512_setzero_pd, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_srli_epi32, _mm512_srli_epi64, _mm512_srlv_epi32, _mm512_sub_epi32, _mm512_sub_pd,
};

use super::{
    across::every_second,
    down::{ROWS, Row, down},
    filter::Filter,
    lanes::{Logarithms, START, half_of},
    plane::{LANES, Plane},
};

/// Bits that are rounded away of sums down: what is left has 16 bits of a mean, 32 of a square.
#[derive(Clone, Copy)]
pub(super) struct Precision {
    pub(super) mean: i32,
    pub(super) square: i32,
}

impl Precision {
    /// Pictures that were made smaller have all 16 bits.
    pub(super) const SCALED: Self = Self { mean: 16, square: 16 };

    /// Of samples of so many bits, from eight on.
    pub(super) const fn of_source(depth: u32) -> Self {
        let mean = depth.cast_signed();
        Self { mean, square: 2 * (mean - 8) }
    }
}

/// The variance of what an eye does not see, in units of 1/65,536.
const NOISE: i32 = 2 << 16;

/// What the pixels of a picture sum to.
#[derive(Default)]
struct Pixels {
    /// Logarithms, in units of 1/2048, of what is told of the reference, and of what there is.
    told: i64,
    there: i64,
    /// Where the reference has less than noise: how many pixels, and the film's variance there.
    flat: u32,
    strewn: i64,
}

impl Pixels {
    #[expect(clippy::cast_precision_loss, reason = "as libvmaf does")]
    #[expect(clippy::cast_possible_truncation, reason = "as libvmaf does")]
    fn score(&self) -> f64 {
        let flat = f64::from(self.flat);
        let strewn = self.strewn as f64 / 16384.0 / 65025.0;
        let told = (self.told as f64 / 2048.0 + (flat - strewn)) as f32;
        let there = (self.there as f64 / 2048.0 + flat) as f32;
        f64::from(told / there)
    }
}

/// The same of one line, each lane by itself.
struct Lanes {
    told: __m512i,
    there: __m512i,
    strewn: __m512i,
    flat: u32,
}

/// Sums around sixteen pixels: of reference and film, their squares and their product.
struct Around {
    means: [__m512i; 2],
    squares: [__m512i; 3],
}

/// Compares planes, with room for what it needs meanwhile.
pub(super) struct Likeness {
    rows: Vec<Row>,
    logarithms: Logarithms,
}

impl Likeness {
    pub(super) fn new(width: usize) -> Self {
        Self { rows: vec![Row::new(width); ROWS], logarithms: Logarithms::table() }
    }

    /// How much of the reference's information the film has.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    pub(super) fn score<const PAIRS: usize, const DEEP: bool>(
        &mut self,
        filter: &Filter<PAIRS>,
        planes: &[Plane; 2],
        precision: Precision,
    ) -> f64 {
        let [Plane { width, height, .. }, _] = *planes;
        let mut all = Pixels::default();
        for y in (0..height).step_by(ROWS) {
            let rows = &mut self.rows[..ROWS.min(height - y)];
            down::<PAIRS, DEEP>(filter, planes, y, precision, rows);
            for row in rows {
                row.mirror(width, filter.reach);
                look(filter, row, width, self.logarithms, &mut all);
            }
        }
        all.score()
    }
}

/// Sums a line up.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
fn look<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    row: &Row,
    width: usize,
    logarithms: Logarithms,
    all: &mut Pixels,
) {
    let zero = _mm512_setzero_si512();
    let mut line = Lanes { told: zero, there: zero, strewn: zero, flat: 0 };
    for block in (0..width).step_by(LANES) {
        for x in [block, block + 1] {
            let lanes = width.saturating_sub(x).div_ceil(2).min(16);
            let within = u16::try_from((1_u32 << lanes) - 1).unwrap_or(u16::MAX);
            let [one, two, both] = &row.squares;
            let square = |[lower, upper]: &[_; 2]| {
                let lower = every_second(filter, lower, x, START.wrapping_add(half_of(16)));
                let upper = every_second(filter, upper, x, START);
                _mm512_add_epi32(upper, _mm512_srli_epi32::<16>(lower))
            };
            let [reference, film] = &row.means;
            let around = Around {
                means: [
                    every_second(filter, reference, x, START),
                    every_second(filter, film, x, START),
                ],
                squares: [square(one), square(two), square(both)],
            };
            line.take(&around, within, logarithms);
        }
    }
    all.told += i64::from(_mm512_reduce_add_epi32(line.told));
    all.there += i64::from(_mm512_reduce_add_epi32(line.there));
    all.strewn += _mm512_reduce_add_epi64(line.strewn);
    all.flat += line.flat;
}

/// The product of numbers of 32 bits, of which the lower half is rounded away.
#[inline]
#[target_feature(enable = "avx512f")]
fn product(one: __m512i, other: __m512i) -> __m512i {
    let half = _mm512_set1_epi64(1 << 31);
    let odd = |numbers| _mm512_srli_epi64::<32>(numbers);
    let evens = _mm512_add_epi64(_mm512_mul_epu32(one, other), half);
    let odds = _mm512_add_epi64(_mm512_mul_epu32(odd(one), odd(other)), half);
    _mm512_mask_blend_epi32(0xaaaa, odd(evens), odds)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn halves(numbers: __m512i) -> [__m256i; 2] {
    [_mm512_castsi512_si256(numbers), _mm512_extracti64x4_epi64::<1>(numbers)]
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    fn take(&mut self, around: &Around, within: __mmask16, logarithms: Logarithms) {
        let zero = _mm512_setzero_si512();
        let ([reference, film], [one, two, both]) = (around.means, around.squares);
        let there = _mm512_sub_epi32(one, product(reference, reference));
        let made = _mm512_max_epi32(_mm512_sub_epi32(two, product(film, film)), zero);
        let shared = _mm512_sub_epi32(both, product(reference, film));
        let seen = _mm512_mask_cmpge_epi32_mask(within, there, _mm512_set1_epi32(NOISE));
        let flat = within & !seen;
        if flat != 0 {
            self.flat += flat.count_ones();
            for half in halves(_mm512_maskz_mov_epi32(flat, made)) {
                self.strewn = _mm512_add_epi64(self.strewn, _mm512_cvtepu32_epi64(half));
            }
        }
        if seen == 0 {
            return;
        }
        self.there =
            _mm512_mask_add_epi32(self.there, seen, self.there, over_noise(there, logarithms));
        let told = _mm512_mask_cmpgt_epi32_mask(seen, shared, zero);
        let told = _mm512_mask_cmpgt_epi32_mask(told, made, zero);
        if told != 0 {
            let gained = gained(there, made, shared, logarithms);
            self.told = _mm512_mask_add_epi32(self.told, told, self.told, gained);
        }
    }
}

/// The logarithm of 1 + variance / noise.
#[inline]
#[target_feature(enable = "avx512f,avx512cd")]
fn over_noise(variance: __m512i, logarithms: Logarithms) -> __m512i {
    let sum = _mm512_add_epi32(variance, _mm512_set1_epi32(NOISE));
    let cut = _mm512_sub_epi32(_mm512_set1_epi32(16), _mm512_lzcnt_epi32(sum));
    // NOISE is a number of 18 bits, whose logarithm is 17.
    let whole = _mm512_slli_epi32::<11>(_mm512_sub_epi32(cut, _mm512_set1_epi32(17)));
    _mm512_add_epi32(logarithms.of(_mm512_srlv_epi32(sum, cut)), whole)
}

/// The logarithm of how much louder than its own noise the film says what the reference says.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn gained(there: __m512i, made: __m512i, shared: __m512i, logarithms: Logarithms) -> __m512i {
    let ([there_a, there_b], [made_a, made_b]) = (halves(there), halves(made));
    let [shared_a, shared_b] = halves(shared);
    let [louder_a, noise_a] = loudness(there_a, made_a, shared_a);
    let [louder_b, noise_b] = loudness(there_b, made_b, shared_b);
    let logarithm = |a, b| {
        let numbers = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
        let exponent = _mm512_srli_epi32::<15>(numbers);
        _mm512_add_epi32(logarithms.of(numbers), _mm512_slli_epi32::<11>(exponent))
    };
    _mm512_sub_epi32(logarithm(louder_a, louder_b), logarithm(noise_a, noise_b))
}

/// Signal and noise of the film together, and its noise alone: exponents of two, and below them the
/// first 15 bits after the uppermost one.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn loudness(there: __m256i, made: __m256i, shared: __m256i) -> [__m256i; 2] {
    const TRUNCATE: i32 = 0x0b;
    // Keeps apart from a division by zero.
    const LITTLE: f64 = 65536.0 * 1.0e-10;
    const LOUDEST: f64 = 100.0;
    let there = _mm512_cvtepi32_pd(there);
    let shared = _mm512_cvtepi32_pd(shared);
    let gain = _mm512_div_pd(shared, _mm512_add_pd(there, _mm512_set1_pd(LITTLE)));
    let own = _mm512_sub_pd(_mm512_cvtepi32_pd(made), _mm512_mul_pd(gain, shared));
    let own = _mm512_max_pd(_mm512_roundscale_pd::<TRUNCATE>(own), _mm512_setzero_pd());
    let noise = _mm512_add_pd(own, _mm512_set1_pd(f64::from(NOISE)));
    let gain = _mm512_min_pd(gain, _mm512_set1_pd(LOUDEST));
    let signal = _mm512_mul_pd(_mm512_mul_pd(gain, gain), there);
    let louder = _mm512_add_pd(_mm512_roundscale_pd::<TRUNCATE>(signal), noise);
    // Whole numbers stand in doubles with all their bits.
    let shortened = |number: __m512d| {
        _mm512_cvtepi64_epi32(_mm512_srli_epi64::<37>(_mm512_castpd_si512(number)))
    };
    [shortened(louder), shortened(noise)]
}
