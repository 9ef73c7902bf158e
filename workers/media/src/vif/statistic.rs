//! The VIF statistic of one scale, from the means, variances and covariance around each pixel.

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
    depth::{SampleDepth, VerticalShift},
    filter::Filter,
    horizontal::convolve_every_second,
    lanes::{INITIAL_SUM, Log2Table, rounding},
    plane::{LANES, Plane},
    vertical::{ROWS, Row, convolve_columns},
};

/// The variance of the visual noise, in units of 1/65,536.
const SIGMA_NSQ: i32 = 2 << 16;

/// Sums over the pixels of a frame, with libvmaf's names.
#[expect(clippy::struct_field_names, reason = "as libvmaf calls them")]
#[derive(Default)]
struct VifResiduals {
    /// Logarithms in units of 1/2048: the reference's information that the distorted frame retains,
    /// and the reference's information.
    num_log: i64,
    den_log: i64,
    /// Where the reference's variance is below the noise: the number of pixels, and the sum of the
    /// distorted frame's variances.
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

/// The same sums over one line, by lane.
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

/// Computes the score of a pair of planes; keeps its buffers between frames.
pub(super) struct VifStatistic {
    rows: Vec<Row>,
    log2_table: Log2Table,
}

impl VifStatistic {
    pub(super) fn new(width: usize) -> Self {
        Self { rows: vec![Row::new(width); ROWS], log2_table: Log2Table::get() }
    }

    /// The share of the reference's information that the distorted frame retains.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    pub(super) fn score<Depth: SampleDepth, const PAIRS: usize>(
        &mut self,
        filter: &Filter<PAIRS>,
        planes: &[Plane; 2],
        shift: VerticalShift,
    ) -> f64 {
        let [Plane { width, height, .. }, _] = *planes;
        let mut residuals = VifResiduals::default();
        for y in (0..height).step_by(ROWS) {
            let rows = &mut self.rows[..ROWS.min(height - y)];
            convolve_columns::<Depth, PAIRS>(filter, planes, y, shift, rows);
            for row in rows {
                row.mirror(width, filter.reach);
                add_row(filter, row, width, self.log2_table, &mut residuals);
            }
        }
        residuals.score()
    }
}

/// Adds the residuals of one line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
fn add_row<const PAIRS: usize>(
    filter: &Filter<PAIRS>,
    row: &Row,
    width: usize,
    log2_table: Log2Table,
    residuals: &mut VifResiduals,
) {
    let zero = _mm512_setzero_si512();
    let mut line =
        ResidualLanes { num_log: zero, den_log: zero, num_non_log: zero, den_non_log: 0 };
    for block in (0..width).step_by(LANES) {
        for x in [block, block + 1] {
            let lanes = width.saturating_sub(x).div_ceil(2).min(16);
            let valid = u16::try_from((1_u32 << lanes) - 1).unwrap_or(u16::MAX);
            let [xx, yy, xy] = &row.squares;
            let square = |[lower, upper]: &[_; 2]| {
                let start = INITIAL_SUM.wrapping_add(rounding(16));
                let lower = convolve_every_second(filter, lower, x, start);
                let upper = convolve_every_second(filter, upper, x, INITIAL_SUM);
                _mm512_add_epi32(upper, _mm512_srli_epi32::<16>(lower))
            };
            let [reference, distorted] = &row.means;
            let moments = Moments {
                means: [
                    convolve_every_second(filter, reference, x, INITIAL_SUM),
                    convolve_every_second(filter, distorted, x, INITIAL_SUM),
                ],
                squares: [square(xx), square(yy), square(xy)],
            };
            line.add(&moments, valid, log2_table);
        }
    }
    residuals.num_log += i64::from(_mm512_reduce_add_epi32(line.num_log));
    residuals.den_log += i64::from(_mm512_reduce_add_epi32(line.den_log));
    residuals.num_non_log += _mm512_reduce_add_epi64(line.num_non_log);
    residuals.den_non_log += line.den_non_log;
}

/// The upper halves of the products of 32-bit numbers, rounded.
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
    fn add(&mut self, moments: &Moments, valid: __mmask16, log2_table: Log2Table) {
        let zero = _mm512_setzero_si512();
        let ([mu1, mu2], [xx, yy, xy]) = (moments.means, moments.squares);
        let sigma1_sq = _mm512_sub_epi32(xx, product(mu1, mu1));
        let sigma2_sq = _mm512_max_epi32(_mm512_sub_epi32(yy, product(mu2, mu2)), zero);
        let sigma12 = _mm512_sub_epi32(xy, product(mu1, mu2));
        // The pixels that count by their logarithms, and those that do not.
        let log = _mm512_mask_cmpge_epi32_mask(valid, sigma1_sq, _mm512_set1_epi32(SIGMA_NSQ));
        let non_log = valid & !log;
        if non_log != 0 {
            self.den_non_log += non_log.count_ones();
            for half in halves(_mm512_maskz_mov_epi32(non_log, sigma2_sq)) {
                self.num_non_log = _mm512_add_epi64(self.num_non_log, _mm512_cvtepu32_epi64(half));
            }
        }
        if log == 0 {
            return;
        }
        let log2_den = log2_den(sigma1_sq, log2_table);
        self.den_log = _mm512_mask_add_epi32(self.den_log, log, self.den_log, log2_den);
        let positive = _mm512_mask_cmpgt_epi32_mask(log, sigma12, zero);
        let positive = _mm512_mask_cmpgt_epi32_mask(positive, sigma2_sq, zero);
        if positive != 0 {
            let log2_num = log2_num(sigma1_sq, sigma2_sq, sigma12, log2_table);
            self.num_log = _mm512_mask_add_epi32(self.num_log, positive, self.num_log, log2_num);
        }
    }
}

/// The binary logarithm of `1 + sigma1_sq / SIGMA_NSQ`.
#[inline]
#[target_feature(enable = "avx512f,avx512cd")]
fn log2_den(sigma1_sq: __m512i, log2_table: Log2Table) -> __m512i {
    let sum = _mm512_add_epi32(sigma1_sq, _mm512_set1_epi32(SIGMA_NSQ));
    let shift = _mm512_sub_epi32(_mm512_set1_epi32(16), _mm512_lzcnt_epi32(sum));
    // SIGMA_NSQ has 18 bits, and its logarithm is 17.
    let exponent = _mm512_slli_epi32::<11>(_mm512_sub_epi32(shift, _mm512_set1_epi32(17)));
    _mm512_add_epi32(log2_table.log2(_mm512_srlv_epi32(sum, shift)), exponent)
}

/// The binary logarithm of `1 + g² · sigma1_sq / (sv_sq + SIGMA_NSQ)`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn log2_num(
    sigma1_sq: __m512i,
    sigma2_sq: __m512i,
    sigma12: __m512i,
    log2_table: Log2Table,
) -> __m512i {
    let ([sigma1_sq_a, sigma1_sq_b], [sigma2_sq_a, sigma2_sq_b]) =
        (halves(sigma1_sq), halves(sigma2_sq));
    let [sigma12_a, sigma12_b] = halves(sigma12);
    let [numer_a, noise_a] = log2_operands(sigma1_sq_a, sigma2_sq_a, sigma12_a);
    let [numer_b, noise_b] = log2_operands(sigma1_sq_b, sigma2_sq_b, sigma12_b);
    let logarithm = |a, b| {
        let numbers = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
        let exponent = _mm512_srli_epi32::<15>(numbers);
        _mm512_add_epi32(log2_table.log2(numbers), _mm512_slli_epi32::<11>(exponent))
    };
    _mm512_sub_epi32(logarithm(numer_a, numer_b), logarithm(noise_a, noise_b))
}

/// The numerator (signal plus noise of the distorted frame) and the denominator (its noise alone),
/// as exponents of two followed by the 15 bits below the top one.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn log2_operands(sigma1_sq: __m256i, sigma2_sq: __m256i, sigma12: __m256i) -> [__m256i; 2] {
    const TRUNCATE: i32 = 0x0b;
    // Avoids a division by zero.
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
    // Doubles represent these integers exactly.
    let truncated = |number: __m512d| {
        _mm512_cvtepi64_epi32(_mm512_srli_epi64::<37>(_mm512_castpd_si512(number)))
    };
    [truncated(numer), truncated(noise)]
}
