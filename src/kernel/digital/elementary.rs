//! `exp`, `erf` and the logistic function in f32, free of branches so that loops over them vectorise.

use pulp::Simd;

use super::simd::mul_add;

/// Adding and subtracting 1.5·2²³ rounds to the nearest integer (ties to even) and leaves that integer in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `eˣ`, relative error below 2·10⁻⁷ for `x` within −87 and 88; outside it stays at the value of the nearer end.
///
/// Cephes (Moshier): `x = n·ln 2 + r`, a polynomial in `r`, and `2ⁿ` by its exponent bits.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: f32) -> f32 {
    // Written so that NaN passes through both selections.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = mul_add(simd, x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts: n times the first is exact.
    let r = mul_add(simd, n, -0.693_359_4, x);
    let r = mul_add(simd, n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
        p = mul_add(simd, p, r, coefficient);
    }
    let y = mul_add(simd, p, r * r, r) + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `1 / (1 + e⁻ˣ)`, absolute error below 10⁻⁷·2.
#[inline(always)]
pub(super) fn logistic<S: Simd>(simd: S, x: f32) -> f32 {
    1.0 / (1.0 + exp(simd, -x))
}

/// `erf x`, absolute error below 6·10⁻⁷; exactly ±1 beyond ±3.9, where it is less than 4·10⁻⁸ away.
///
/// The odd rational approximation of degree 13/8 used by Eigen and XLA.
#[inline(always)]
pub(super) fn erf<S: Simd>(simd: S, x: f32) -> f32 {
    let square = x * x;
    let mut p = -2.726_142_4e-10_f32;
    for coefficient in
        [2.770_681_5e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_5e-4, -2.954_6e-3, -1.609_603_3e-2]
    {
        p = mul_add(simd, p, square, coefficient);
    }
    let mut q = -1.456_607_2e-5_f32;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2] {
        q = mul_add(simd, q, square, coefficient);
    }
    // What the approximation gives far outside, even ∞/∞, is not selected; NaN is.
    let y = x * p / q;
    let y = if x > 3.9 { 1.0 } else { y };
    if x < -3.9 { -1.0 } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::simd::{dispatch, each};

    dispatch!(exp_body => fn exp_of(x: &mut [f32]));
    dispatch!(erf_body => fn erf_of(x: &mut [f32]));
    dispatch!(logistic_body => fn logistic_of(x: &mut [f32]));

    #[inline(always)]
    fn exp_body<S: Simd>(simd: S, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = exp(simd, *x));
    }

    #[inline(always)]
    fn erf_body<S: Simd>(simd: S, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = erf(simd, *x));
    }

    #[inline(always)]
    fn logistic_body<S: Simd>(simd: S, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = logistic(simd, *x));
    }

    fn grid(from: f32, to: f32) -> Vec<f32> {
        let count = 200_001;
        (0..count).map(|index| from + (to - from) * index as f32 / (count - 1) as f32).collect()
    }

    /// Largest `error(value, exact)` on every instruction set is below `bound`.
    fn check(
        points: &[f32],
        function: fn(&mut [f32]),
        exact: fn(f64) -> f64,
        error: fn(f64, f64) -> f64,
        bound: f64,
    ) {
        each::instruction_set(|set| {
            let mut values = points.to_vec();
            function(&mut values);
            for (x, y) in points.iter().zip(values) {
                let exact = exact(f64::from(*x));
                assert!(error(f64::from(y), exact) < bound, "{set:?}: {y} at {x}, not {exact}");
            }
        });
    }

    fn absolute(value: f64, exact: f64) -> f64 {
        (value - exact).abs()
    }

    #[test]
    fn exp_has_seven_digits_on_every_instruction_set() {
        check(&grid(-86.9, 87.9), exp_of, f64::exp, |value, exact| (value / exact - 1.0).abs(), 2e-7);
    }

    #[test]
    fn erf_agrees_with_statrs_to_six_in_ten_million() {
        let mut points = grid(-6.0, 6.0);
        points.extend([f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30]);
        check(&points, erf_of, statrs::function::erf::erf, absolute, 6e-7);
    }

    #[test]
    fn logistic_is_exact_to_two_in_ten_million_and_saturates() {
        check(&grid(-120.0, 120.0), logistic_of, |x| 1.0 / (1.0 + (-x).exp()), absolute, 2e-7);
    }

    #[test]
    fn not_a_number_stays_one() {
        each::instruction_set(|set| {
            for function in [exp_of, erf_of, logistic_of] {
                let mut values = [f32::NAN; 40];
                function(&mut values);
                assert!(values.iter().all(|value| value.is_nan()), "{set:?} hides NaN");
            }
        });
    }
}
