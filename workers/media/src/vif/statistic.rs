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
    filter::Filter,
    horizontal::every_second,
    lanes::{Logarithms, START, half_of},
    plane::{LANES, Plane},
    vertical::{ROWS, Row, vertical},
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

/// The variance of the eye's own noise, in units of 1/65,536.
const SIGMA_NSQ: i32 = 2 << 16;

/// Sums over the pixels of a frame, by the names that libvmaf has for them.
#[expect(clippy::struct_field_names, reason = "as libvmaf calls them")]
#[derive(Default)]
struct VifResiduals {
    /// Logarithms in units of 1/2048: what the distorted frame still says of the reference, and what
    /// the reference says.
    num_log: i64,
    den_log: i64,
    /// Where the reference varies less than noise: how many pixels, and the distorted frame's variance.
    den_non_log: u32,
    num_non_log: i64,
}

impl VifResiduals {
    #[expect(clippy::cast_precision_loss, reason = "as libvmaf does")]
    #[expect(clippy::cast_possible_truncation, reason = "as libvmaf does")]
    fn score(&self) -> f64 {
        let den_non_log = f64::from(self.den_non_log);
        let num_non_log = self.num_non_log as f64 / 16384.0 / 65025.0;
        let num_log = (self.num_log as f64 / 2048.0 + (den_non_log - num_non_log)) as f32;
        let den_log = (self.den_log as f64 / 2048.0 + den_non_log) as f32;
        f64::from(num_log / den_log)
    }
}

/// The same of one line, each lane by itself.
#[expect(clippy::struct_field_names, reason = "as libvmaf calls them")]
struct ResidualLanes {
    num_log: __m512i,
    den_log: __m512i,
    num_non_log: __m512i,
    den_non_log: u32,
}

/// Filtered sums around sixteen pixels of the reference (1) and the distorted frame (2).
struct Moments {
    /// `mu1`, `mu2`.
    means: [__m512i; 2],
    /// `xx`, `yy`, `xy`.
    squares: [__m512i; 3],
}

/// Compares planes, with room for what it needs meanwhile.
pub(super) struct VifStatistic {
    rows: Vec<Row>,
    logarithms: Logarithms,
}

impl VifStatistic {
    pub(super) fn new(width: usize) -> Self {
        Self { rows: vec![Row::new(width); ROWS], logarithms: Logarithms::table() }
    }

    /// How much of the reference's information the distorted frame has.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    pub(super) fn score<const PAIRS: usize, const DEEP: bool>(
        &mut self,
        filter: &Filter<PAIRS>,
        planes: &[Plane; 2],
        precision: Precision,
    ) -> f64 {
        let [Plane { width, height, .. }, _] = *planes;
        let mut all = VifResiduals::default();
        for y in (0..height).step_by(ROWS) {
            let rows = &mut self.rows[..ROWS.min(height - y)];
            vertical::<PAIRS, DEEP>(filter, planes, y, precision, rows);
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
    all: &mut VifResiduals,
) {
    let zero = _mm512_setzero_si512();
    let mut line =
        ResidualLanes { num_log: zero, den_log: zero, num_non_log: zero, den_non_log: 0 };
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
            let [reference, distorted] = &row.means;
            let moments = Moments {
                means: [
                    every_second(filter, reference, x, START),
                    every_second(filter, distorted, x, START),
                ],
                squares: [square(one), square(two), square(both)],
            };
            line.take(&moments, within, logarithms);
        }
    }
    all.num_log += i64::from(_mm512_reduce_add_epi32(line.num_log));
    all.den_log += i64::from(_mm512_reduce_add_epi32(line.den_log));
    all.num_non_log += _mm512_reduce_add_epi64(line.num_non_log);
    all.den_non_log += line.den_non_log;
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

impl ResidualLanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    fn take(&mut self, moments: &Moments, within: __mmask16, logarithms: Logarithms) {
        let zero = _mm512_setzero_si512();
        let ([mu1, mu2], [xx, yy, xy]) = (moments.means, moments.squares);
        let sigma1_sq = _mm512_sub_epi32(xx, product(mu1, mu1));
        let sigma2_sq = _mm512_max_epi32(_mm512_sub_epi32(yy, product(mu2, mu2)), zero);
        let sigma12 = _mm512_sub_epi32(xy, product(mu1, mu2));
        let seen = _mm512_mask_cmpge_epi32_mask(within, sigma1_sq, _mm512_set1_epi32(SIGMA_NSQ));
        let flat = within & !seen;
        if flat != 0 {
            self.den_non_log += flat.count_ones();
            for half in halves(_mm512_maskz_mov_epi32(flat, sigma2_sq)) {
                self.num_non_log = _mm512_add_epi64(self.num_non_log, _mm512_cvtepu32_epi64(half));
            }
        }
        if seen == 0 {
            return;
        }
        self.den_log = _mm512_mask_add_epi32(
            self.den_log,
            seen,
            self.den_log,
            log2_den(sigma1_sq, logarithms),
        );
        let counted = _mm512_mask_cmpgt_epi32_mask(seen, sigma12, zero);
        let counted = _mm512_mask_cmpgt_epi32_mask(counted, sigma2_sq, zero);
        if counted != 0 {
            let log2_num = log2_num(sigma1_sq, sigma2_sq, sigma12, logarithms);
            self.num_log = _mm512_mask_add_epi32(self.num_log, counted, self.num_log, log2_num);
        }
    }
}

/// The logarithm of 1 + variance / noise.
#[inline]
#[target_feature(enable = "avx512f,avx512cd")]
fn log2_den(variance: __m512i, logarithms: Logarithms) -> __m512i {
    let sum = _mm512_add_epi32(variance, _mm512_set1_epi32(SIGMA_NSQ));
    let cut = _mm512_sub_epi32(_mm512_set1_epi32(16), _mm512_lzcnt_epi32(sum));
    // SIGMA_NSQ is a number of 18 bits, whose logarithm is 17.
    let whole = _mm512_slli_epi32::<11>(_mm512_sub_epi32(cut, _mm512_set1_epi32(17)));
    _mm512_add_epi32(logarithms.of(_mm512_srlv_epi32(sum, cut)), whole)
}

/// The logarithm of the gained variance over its noise: `1 + g² · sigma1_sq / (sv_sq + SIGMA_NSQ)`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn log2_num(
    sigma1_sq: __m512i,
    sigma2_sq: __m512i,
    sigma12: __m512i,
    logarithms: Logarithms,
) -> __m512i {
    let ([sigma1_sq_a, sigma1_sq_b], [sigma2_sq_a, sigma2_sq_b]) =
        (halves(sigma1_sq), halves(sigma2_sq));
    let [sigma12_a, sigma12_b] = halves(sigma12);
    let [numer_a, noise_a] = log2_operands(sigma1_sq_a, sigma2_sq_a, sigma12_a);
    let [numer_b, noise_b] = log2_operands(sigma1_sq_b, sigma2_sq_b, sigma12_b);
    let logarithm = |a, b| {
        let numbers = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
        let exponent = _mm512_srli_epi32::<15>(numbers);
        _mm512_add_epi32(logarithms.of(numbers), _mm512_slli_epi32::<11>(exponent))
    };
    _mm512_sub_epi32(logarithm(numer_a, numer_b), logarithm(noise_a, noise_b))
}

/// Signal and noise of the distorted frame together, and its noise alone: exponents of two, and below them the
/// first 15 bits after the uppermost one.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn log2_operands(sigma1_sq: __m256i, sigma2_sq: __m256i, sigma12: __m256i) -> [__m256i; 2] {
    const TRUNCATE: i32 = 0x0b;
    // Keeps apart from a division by zero.
    const EPS: f64 = 65536.0 * 1.0e-10;
    const GAIN_LIMIT: f64 = 100.0;
    let sigma1_sq = _mm512_cvtepi32_pd(sigma1_sq);
    let sigma12 = _mm512_cvtepi32_pd(sigma12);
    let g = _mm512_div_pd(sigma12, _mm512_add_pd(sigma1_sq, _mm512_set1_pd(EPS)));
    let sv_sq = _mm512_sub_pd(_mm512_cvtepi32_pd(sigma2_sq), _mm512_mul_pd(g, sigma12));
    let sv_sq = _mm512_max_pd(_mm512_roundscale_pd::<TRUNCATE>(sv_sq), _mm512_setzero_pd());
    let noise = _mm512_add_pd(sv_sq, _mm512_set1_pd(f64::from(SIGMA_NSQ)));
    let g = _mm512_min_pd(g, _mm512_set1_pd(GAIN_LIMIT));
    let signal = _mm512_mul_pd(_mm512_mul_pd(g, g), sigma1_sq);
    let numer = _mm512_add_pd(_mm512_roundscale_pd::<TRUNCATE>(signal), noise);
    // Whole numbers stand in doubles with all their bits.
    let shortened = |number: __m512d| {
        _mm512_cvtepi64_epi32(_mm512_srli_epi64::<37>(_mm512_castpd_si512(number)))
    };
    [shortened(numer), shortened(noise)]
}
