//! Sixteen numbers in the registers of x86.

#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::*;

use super::{Lanes, Vector};

/// One register of 512 bits.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct Wide(__m512);

/// Two registers of 256 bits.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct Halves(__m256, __m256);

// SAFETY of all below: a `Wide` is only named in code compiled for AVX-512 F and a `Halves` in code compiled for AVX2, which run
// where the machine has them; loads and stores are of 16 numbers behind a reference.
impl Vector for Wide {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &Lanes<f32>) -> Self {
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn convert(from: &Lanes<i32>) -> Self {
        Self(unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(from.as_ptr().cast())) })
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes<f32>) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn root(self) -> Self {
        Self(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn larger_magnitude(self, other: Self) -> Self {
        Self(unsafe {
            let bits = _mm512_castps_si512(_mm512_abs_ps(other.0));
            _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(self.0), bits))
        })
    }

    #[inline(always)]
    fn zero_below(self, limit: Self) -> Self {
        Self(unsafe {
            let stays = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self.0, limit.0);
            _mm512_maskz_mov_ps(stays, self.0)
        })
    }
}

/// Both halves by one intrinsic.
macro_rules! halves {
    ($a:ident, $b:ident, $intrinsic:ident) => {
        Self(unsafe { $intrinsic($a.0, $b.0) }, unsafe { $intrinsic($a.1, $b.1) })
    };
}

impl Vector for Halves {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = unsafe { _mm256_set1_ps(value) };
        Self(half, half)
    }

    #[inline(always)]
    fn load(from: &Lanes<f32>) -> Self {
        unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))) }
    }

    #[inline(always)]
    fn convert(from: &Lanes<i32>) -> Self {
        unsafe {
            let from = from.as_ptr().cast::<__m256i>();
            Self(
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from)),
                _mm256_cvtepi32_ps(_mm256_loadu_si256(from.add(1))),
            )
        }
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes<f32>) {
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
        }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        halves!(self, other, _mm256_add_ps)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        halves!(self, other, _mm256_sub_ps)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        halves!(self, other, _mm256_mul_ps)
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        halves!(self, other, _mm256_div_ps)
    }

    #[inline(always)]
    fn root(self) -> Self {
        unsafe { Self(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)) }
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        halves!(self, other, _mm256_min_ps)
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        halves!(self, other, _mm256_max_ps)
    }

    #[inline(always)]
    fn larger_magnitude(self, other: Self) -> Self {
        let larger = |a: __m256, b: __m256| unsafe {
            let bits = _mm256_and_si256(_mm256_castps_si256(b), _mm256_set1_epi32(0x7fff_ffff));
            _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), bits))
        };
        Self(larger(self.0, other.0), larger(self.1, other.1))
    }

    #[inline(always)]
    fn zero_below(self, limit: Self) -> Self {
        let kept =
            |a: __m256, limit: __m256| unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(a, limit), a) };
        Self(kept(self.0, limit.0), kept(self.1, limit.1))
    }
}
