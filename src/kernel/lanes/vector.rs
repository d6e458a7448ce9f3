//! Sixteen real numbers at a time, in the registers at hand.
//!
//! Left to themselves, compilers turn loops over sixteen lanes inside loops over outputs inside out, into gathers. Every operation
//! is that of IEEE 754, so that all implementations give the same numbers.

use super::Lanes;

/// Sixteen numbers. An implementation is only named in code that is compiled for its instructions.
pub(in crate::kernel) trait Vector: Copy {
    /// `value` sixteen times.
    fn splat(value: f32) -> Self;
    /// The numbers of `from`.
    fn load(from: &Lanes<f32>) -> Self;
    /// The whole numbers of `from`, rounded to real ones.
    fn convert(from: &Lanes<i32>) -> Self;
    /// Writes the numbers to `to`.
    fn store(self, to: &mut Lanes<f32>);
    /// Sum.
    fn plus(self, other: Self) -> Self;
    /// Difference.
    fn minus(self, other: Self) -> Self;
    /// Product.
    fn times(self, other: Self) -> Self;
    /// Quotient.
    fn over(self, other: Self) -> Self;
    /// Root.
    fn root(self) -> Self;
    /// `self` where it is smaller, else `other`; `other` where one is NaN.
    fn smaller(self, other: Self) -> Self;
    /// `self` where it is larger, else `other`; `other` where one is NaN.
    fn larger(self, other: Self) -> Self;
    /// The larger magnitude, NaN above all. `self` must be a magnitude.
    fn larger_magnitude(self, other: Self) -> Self;
    /// 0 where `self` is below `limit`, else `self`.
    fn zero_below(self, limit: Self) -> Self;

    /// Clipped to `±limit`; NaN stays.
    #[inline(always)]
    fn clipped(self, limit: Self) -> Self {
        Self::splat(0.0).minus(limit).larger(limit.smaller(self))
    }

    /// Nearest whole number of a magnitude below 2²², ties to even.
    #[inline(always)]
    fn rounded(self) -> Self {
        let shift = Self::splat(super::ROUND);
        self.plus(shift).minus(shift)
    }
}

/// Plain lanes, for compilers to find the registers.
impl Vector for Lanes<f32> {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; 16]
    }

    #[inline(always)]
    fn load(from: &Lanes<f32>) -> Self {
        *from
    }

    #[inline(always)]
    fn convert(from: &Lanes<i32>) -> Self {
        from.map(|value| value as f32)
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes<f32>) {
        *to = self;
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        zip(self, other, |a, b| a + b)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        zip(self, other, |a, b| a - b)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        zip(self, other, |a, b| a * b)
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        zip(self, other, |a, b| a / b)
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.map(f32::sqrt)
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        zip(self, other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        zip(self, other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn larger_magnitude(self, other: Self) -> Self {
        zip(self, other, |a, b| f32::from_bits(a.to_bits().max(b.to_bits() & 0x7fff_ffff)))
    }

    #[inline(always)]
    fn zero_below(self, limit: Self) -> Self {
        zip(self, limit, |a, limit| if a < limit { 0.0 } else { a })
    }
}

#[inline(always)]
fn zip(a: Lanes<f32>, b: Lanes<f32>, f: impl Fn(f32, f32) -> f32) -> Lanes<f32> {
    let mut result = a;
    for (result, b) in result.iter_mut().zip(b) {
        *result = f(*result, b);
    }
    result
}

#[cfg(target_arch = "x86_64")]
pub(in crate::kernel) use x86::{Halves, Wide};

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Isa, lanes::vectorised};

    vectorised! {
        /// Every operation on `a` and `b`.
        fn all(a: &Lanes<f32>, b: &Lanes<f32>, whole: &Lanes<i32>, results: &mut [Lanes<f32>; 13]) = all_of<Vector>
    }

    #[inline(always)]
    fn all_of<V: Vector>(a: &Lanes<f32>, b: &Lanes<f32>, whole: &Lanes<i32>, results: &mut [Lanes<f32>; 13]) {
        let (a, b) = (V::load(a), V::load(b));
        let magnitude = V::splat(0.0).larger_magnitude(a);
        let of_all = [
            a.plus(b),
            a.minus(b),
            a.times(b),
            a.over(b),
            magnitude.root(),
            a.smaller(b),
            a.larger(b),
            magnitude,
            magnitude.larger_magnitude(b),
            a.zero_below(b),
            a.clipped(V::splat(2.5)),
            a.rounded(),
            V::convert(whole),
        ];
        for (to, result) in results.iter_mut().zip(of_all) {
            result.store(to);
        }
    }

    #[test]
    fn every_operation_is_the_same_on_every_instruction_set() {
        let special = [0.0, -0.0, f32::NAN, f32::INFINITY, -3.5, 2.5, 1e-40, f32::MIN_POSITIVE];
        let a: Lanes<f32> = std::array::from_fn(|i| special[i % 8]);
        let whole: Lanes<i32> = std::array::from_fn(|i| (i as i32 - 8) * 123_456_789);
        for shift in 0..8 {
            let b: Lanes<f32> = std::array::from_fn(|i| special[(i + shift) % 8]);
            let results = |isa| {
                let mut results = [[0.0; 16]; 13];
                all(isa, &a, &b, &whole, &mut results);
                // The bits of a NaN say nothing.
                results
                    .map(|lanes| lanes.map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }))
            };
            let plain = results(Isa::Portable);
            for isa in Isa::available() {
                assert_eq!(results(isa), plain, "{isa:?}");
            }
        }
    }
}
