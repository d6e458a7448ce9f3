//! Are the residuals Gaussian?

use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

use super::moments::{mean, sorted};

/// Result of the Anderson–Darling test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AndersonDarling {
    /// `A*² = A²(1 + 0.75/n + 2.25/n²)`.
    pub statistic: f64,
    /// Probability of a statistic this large if the residuals are independent and Gaussian.
    pub p_value: f64,
}

/// Fewest values for the test: the small-sample correction is tabulated from 8 on.
const MINIMUM: usize = 8;

/// Anderson–Darling test of normality, mean and variance estimated (Stephens' case 3).
///
/// `A² = −n − (1/n) Σ (2i−1)[ln Φ(z₍ᵢ₎) + ln(1 − Φ(z₍ₙ₊₁₋ᵢ₎))]` with `z = (x − x̄)/s`, `s²` over `n − 1`. P-value from
/// the fit of D'Agostino & Stephens, *Goodness-of-Fit Techniques* (1986), table 4.9, good to about 0.001 for p between
/// 0.01 and 0.9; statistics above 10 are reported as its value at 10, below 1e-21.
///
/// With thousands of values every real device fails it; look at the excess kurtosis for the size of the effect.
/// `None` for fewer than 8 values or when all are equal.
#[must_use]
pub fn anderson_darling(sample: &[f64]) -> Option<AndersonDarling> {
    let n = sample.len();
    if n < MINIMUM {
        return None;
    }
    let count = n as f64;
    let centre = mean(sample);
    let s = (sample.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    if s == 0.0 {
        return None;
    }
    let z: Vec<f64> = sorted(sample).iter().map(|x| (x - centre) / s).collect();
    let sum: f64 =
        (0..n).map(|i| (2.0 * i as f64 + 1.0) * (ln_normal_cdf(z[i]) + ln_normal_cdf(-z[n - 1 - i]))).sum();
    let statistic = (-count - sum / count) * (1.0 + 0.75 / count + 2.25 / (count * count));
    Some(AndersonDarling { statistic, p_value: p_value(statistic) })
}

fn p_value(a: f64) -> f64 {
    let a = a.min(10.0);
    let p = if a < 0.2 {
        1.0 - (-13.436 + 101.14 * a - 223.73 * a * a).exp()
    } else if a < 0.34 {
        1.0 - (-8.318 + 42.796 * a - 59.938 * a * a).exp()
    } else if a < 0.6 {
        (0.9177 - 4.279 * a - 1.38 * a * a).exp()
    } else {
        (1.2937 - 5.709 * a + 0.0186 * a * a).exp()
    };
    p.clamp(0.0, 1.0)
}

/// `ln Φ(z)`, by the leading terms of the asymptotic series where Φ itself would underflow.
fn ln_normal_cdf(z: f64) -> f64 {
    if z < -30.0 {
        let ln_sqrt_tau = 0.5 * std::f64::consts::TAU.ln();
        return -0.5 * z * z - (-z).ln() - ln_sqrt_tau - 1.0 / (z * z);
    }
    (0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)).ln()
}
