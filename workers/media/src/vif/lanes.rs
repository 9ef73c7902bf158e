//! Operations on vectors of samples.

use std::{
    arch::x86_64::{
        __m512i, _mm_cvtsi32_si128, _mm512_add_epi32, _mm512_and_si512, _mm512_i32gather_epi32,
        _mm512_loadu_si512, _mm512_madd_epi16, _mm512_packus_epi32, _mm512_set1_epi16,
        _mm512_set1_epi32, _mm512_sll_epi32, _mm512_srl_epi32, _mm512_srli_epi32,
        _mm512_storeu_si512, _mm512_xor_si512,
    },
    sync::LazyLock,
};

use super::plane::Block;

/// True if the processor has all instructions that this module uses.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Loads a block of 32 samples.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &Block) -> __m512i {
    // SAFETY: reads the 64 bytes of the block, at any alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores a block of 32 samples.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut Block, samples: __m512i) {
    // SAFETY: writes the 64 bytes of the block, at any alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), samples) };
}

/// Converts unsigned samples to signed ones by subtracting 32,768, and back.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn biased(samples: __m512i) -> __m512i {
    _mm512_xor_si512(samples, _mm512_set1_epi16(i16::MIN))
}

/// The initial value of a sum of biased samples. The taps of a filter sum to 65,536, so this
/// cancels the bias, even if the sum wraps around in between.
pub(super) const INITIAL_SUM: i32 = i32::MIN;

/// The number to add before a shift right by `bits`, so that it rounds to nearest.
pub(super) const fn rounding(bits: i32) -> i32 {
    if bits == 0 { 0 } else { 1 << (bits - 1) }
}

/// Adds the products of two neighbouring samples with the taps `first` and `second`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn multiply_add(sum: __m512i, neighbours: __m512i, first: i16, second: i16) -> __m512i {
    let taps = i32::from(second) << 16 | i32::from(first);
    _mm512_add_epi32(sum, _mm512_madd_epi16(neighbours, _mm512_set1_epi32(taps)))
}

/// The sums of a block's columns in two vectors, in the order in which unpack instructions
/// interleave two lines and pack instructions restore them.
#[derive(Clone, Copy)]
pub(super) struct Sums(pub(super) [__m512i; 2]);

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(start: i32) -> Self {
        Self([_mm512_set1_epi32(start); 2])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn multiply_add(self, lines: [__m512i; 2], first: i16, second: i16) -> Self {
        let ([low, high], [left, right]) = (self.0, lines);
        Self([multiply_add(low, left, first, second), multiply_add(high, right, first, second)])
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn shifted_right(self, bits: i32) -> Self {
        let ([low, high], bits) = (self.0, _mm_cvtsi32_si128(bits));
        Self([_mm512_srl_epi32(low, bits), _mm512_srl_epi32(high, bits)])
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn shifted_left(self, bits: i32) -> Self {
        let ([low, high], bits) = (self.0, _mm_cvtsi32_si128(bits));
        Self([_mm512_sll_epi32(low, bits), _mm512_sll_epi32(high, bits)])
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn plus(self, other: Self) -> Self {
        let ([low, high], [left, right]) = (self.0, other.0);
        Self([_mm512_add_epi32(low, left), _mm512_add_epi32(high, right)])
    }

    /// Their upper 16 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn upper(self) -> __m512i {
        let [low, high] = self.0;
        _mm512_packus_epi32(_mm512_srli_epi32::<16>(low), _mm512_srli_epi32::<16>(high))
    }

    /// Their lower 16 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn lower(self) -> __m512i {
        let ([low, high], mask) = (self.0, _mm512_set1_epi32(0xffff));
        _mm512_packus_epi32(_mm512_and_si512(low, mask), _mm512_and_si512(high, mask))
    }
}

/// The binary logarithms of 32,768 to 65,535 in units of 1/2048, and one more entry, since a gather
/// reads 32 bits at each index where an entry has 16.
static LOG2_TABLE: LazyLock<Box<[u16; 32_769]>> = LazyLock::new(|| {
    let mut table = Box::new([0; 32_769]);
    for (number, entry) in (32_768_u16..=u16::MAX).zip(&mut *table) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "15 to 16")]
        let rounded = (f32::from(number).log2() * 2048.0).round() as u16;
        *entry = rounded;
    }
    table
});

/// A reference to the table, to initialize it once and not at each lookup.
#[derive(Clone, Copy)]
pub(super) struct Log2Table(&'static [u16; 32_769]);

impl Log2Table {
    pub(super) fn get() -> Self {
        Self(&LOG2_TABLE)
    }

    /// The logarithms of 16-bit numbers; their top bit is taken as set.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn log2(self, numbers: __m512i) -> __m512i {
        let index = _mm512_and_si512(numbers, _mm512_set1_epi32(0x7fff));
        // SAFETY: reads four bytes at each index, which is at most that of the last entry but one.
        let read = unsafe { _mm512_i32gather_epi32::<2>(index, self.0.as_ptr().cast()) };
        _mm512_and_si512(read, _mm512_set1_epi32(0xffff))
    }
}
