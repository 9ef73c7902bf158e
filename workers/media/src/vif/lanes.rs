//! What is asked of the processor.

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

/// All that these functions are made of.
pub(super) fn are_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &Block) -> __m512i {
    // SAFETY: reads the 64 bytes of the block, at any alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(to: &mut Block, samples: __m512i) {
    // SAFETY: writes the 64 bytes of the block, at any alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), samples) };
}

/// Samples from 0 to 65,535 as numbers with a sign, and back.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn biased(samples: __m512i) -> __m512i {
    _mm512_xor_si512(samples, _mm512_set1_epi16(i16::MIN))
}

/// Where a sum of biased samples begins: the weights of a filter sum to 65,536, so this is what
/// the bias takes away, however the sum overflows on its way.
pub(super) const START: i32 = i32::MIN;

/// Half of what a whole number is rounded at, `bits` from below.
pub(super) const fn half_of(bits: i32) -> i32 {
    if bits == 0 { 0 } else { 1 << (bits - 1) }
}

/// Adds two neighbours, weighed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn weigh(sum: __m512i, neighbours: __m512i, first: i16, second: i16) -> __m512i {
    let weights = i32::from(second) << 16 | i32::from(first);
    _mm512_add_epi32(sum, _mm512_madd_epi16(neighbours, _mm512_set1_epi32(weights)))
}

/// The sums of a block's columns, which take two vectors: as the processor interleaves two lines,
/// and as it packs them again.
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
    pub(super) fn weigh(self, lines: [__m512i; 2], first: i16, second: i16) -> Self {
        let ([low, high], [left, right]) = (self.0, lines);
        Self([weigh(low, left, first, second), weigh(high, right, first, second)])
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

/// The binary logarithms of 32,768 to 65,535 in units of 1/2048, and one more entry, since sixteen
/// numbers of 32 bits are read where 16 bits are meant.
static LOGARITHMS: LazyLock<Box<[u16; 32_769]>> = LazyLock::new(|| {
    let mut table = Box::new([0; 32_769]);
    for (number, entry) in (32_768_u16..=u16::MAX).zip(&mut *table) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "15 to 16")]
        let rounded = (f32::from(number).log2() * 2048.0).round() as u16;
        *entry = rounded;
    }
    table
});

/// The table, found once for many questions.
#[derive(Clone, Copy)]
pub(super) struct Logarithms(&'static [u16; 32_769]);

impl Logarithms {
    pub(super) fn table() -> Self {
        Self(&LOGARITHMS)
    }

    /// Of numbers of 16 bits of which the uppermost is set, or would be.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn of(self, numbers: __m512i) -> __m512i {
        let place = _mm512_and_si512(numbers, _mm512_set1_epi32(0x7fff));
        // SAFETY: reads four bytes from the entry of each place, of which the last but one of the
        // table is the highest.
        let read = unsafe { _mm512_i32gather_epi32::<2>(place, self.0.as_ptr().cast()) };
        _mm512_and_si512(read, _mm512_set1_epi32(0xffff))
    }
}
