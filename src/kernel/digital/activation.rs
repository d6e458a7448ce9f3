//! Activation functions, element by element.

use pulp::Simd;
use rayon::prelude::*;
use thiserror::Error;

use super::chunks::element_chunk;
use super::elementary::{erf, exp, logistic};
use super::simd::dispatch;
use crate::kernel::pieces::in_pieces;

/// `√(2/π)`.
const SQRT_2_OVER_PI: f32 = 0.797_884_6;
/// Cubic coefficient of the tanh form of GELU.
const CUBIC: f32 = 0.044_715;
/// Slope of [`Activation::QuickGelu`].
const QUICK: f32 = 1.702;
/// `1/√(2π)`.
const DENSITY: f32 = 0.398_942_3;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x Φ(x)` with the normal distribution function (Hendrycks and Gimpel, arXiv 1606.08415).
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π)·(x + 0.044715 x³)))`, of the same paper.
    GeluTanh,
    /// `x / (1 + e^(−1.702 x))`, of the same paper.
    QuickGelu,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// `max(x, 0)`; its slope at 0 is 0.
    Relu,
}

/// An activation that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no activation `{name}`; known are gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, silu, swish and relu"
)]
pub struct UnknownActivation {
    /// The name found.
    pub name: String,
}

impl Activation {
    /// By its name in Hugging Face's `hidden_act`.
    ///
    /// # Errors
    /// When the name is none of those known.
    pub fn from_hf(name: &str) -> Result<Self, UnknownActivation> {
        match name {
            "gelu" | "gelu_python" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "quick_gelu" => Ok(Self::QuickGelu),
            "silu" | "swish" => Ok(Self::Silu),
            "relu" => Ok(Self::Relu),
            _ => Err(UnknownActivation { name: name.to_owned() }),
        }
    }

    /// `f(x)`, value by value.
    #[must_use]
    pub fn forward(self, x: &[f32]) -> Vec<f32> {
        let chunk = |(): &mut (), index: usize, y: &mut [f32]| {
            let x = &x[index * element_chunk()..][..y.len()];
            match self {
                Self::Gelu => gelu(x, y),
                Self::GeluTanh => gelu_tanh(x, y),
                Self::QuickGelu => scaled_silu(QUICK, x, y),
                Self::Silu => scaled_silu(1.0, x, y),
                Self::Relu => relu(x, y),
            }
        };
        in_pieces(x.len(), element_chunk(), || (), chunk).0
    }

    /// `g ← g · f'(x)`: the gradient by `y` becomes the gradient by `x`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn backward(self, x: &[f32], g: &mut [f32]) {
        assert_eq!(x.len(), g.len(), "g: as long as x");
        let chunks = g.par_chunks_mut(element_chunk()).zip(x.par_chunks(element_chunk()));
        chunks.for_each(|(g, x)| match self {
            Self::Gelu => gelu_slope(x, g),
            Self::GeluTanh => gelu_tanh_slope(x, g),
            Self::QuickGelu => scaled_silu_slope(QUICK, x, g),
            Self::Silu => scaled_silu_slope(1.0, x, g),
            Self::Relu => relu_slope(x, g),
        });
    }
}

dispatch!(gelu_body => fn gelu(x: &[f32], y: &mut [f32]));
dispatch!(gelu_slope_body => fn gelu_slope(x: &[f32], g: &mut [f32]));
dispatch!(gelu_tanh_body => fn gelu_tanh(x: &[f32], y: &mut [f32]));
dispatch!(gelu_tanh_slope_body => fn gelu_tanh_slope(x: &[f32], g: &mut [f32]));
dispatch!(scaled_silu_body => fn scaled_silu(a: f32, x: &[f32], y: &mut [f32]));
dispatch!(scaled_silu_slope_body => fn scaled_silu_slope(a: f32, x: &[f32], g: &mut [f32]));
dispatch!(relu_body => fn relu(x: &[f32], y: &mut [f32]));
dispatch!(relu_slope_body => fn relu_slope(x: &[f32], g: &mut [f32]));

/// `Φ(x)`.
#[inline(always)]
fn distribution<S: Simd>(simd: S, x: f32) -> f32 {
    0.5 + 0.5 * erf(simd, x * std::f32::consts::FRAC_1_SQRT_2)
}

#[inline(always)]
fn gelu_body<S: Simd>(simd: S, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * distribution(simd, x);
    }
}

/// `Φ(x) + x φ(x)`.
#[inline(always)]
fn gelu_slope_body<S: Simd>(simd: S, x: &[f32], g: &mut [f32]) {
    for (g, &x) in g.iter_mut().zip(x) {
        *g *= distribution(simd, x) + x * DENSITY * exp(simd, -0.5 * x * x);
    }
}

#[inline(always)]
fn gelu_tanh_body<S: Simd>(simd: S, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        // (1 + tanh u)/2 is the logistic function of 2u.
        *y = x * logistic(simd, 2.0 * SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x));
    }
}

/// With `s` the logistic function of `2u`: `s + x s (1 − s) · 2u'`.
#[inline(always)]
fn gelu_tanh_slope_body<S: Simd>(simd: S, x: &[f32], g: &mut [f32]) {
    for (g, &x) in g.iter_mut().zip(x) {
        let square = CUBIC * x * x;
        let s = logistic(simd, 2.0 * SQRT_2_OVER_PI * x * (1.0 + square));
        *g *= s + x * s * (1.0 - s) * (2.0 * SQRT_2_OVER_PI) * (1.0 + 3.0 * square);
    }
}

/// `x / (1 + e^(−a x))`.
#[inline(always)]
fn scaled_silu_body<S: Simd>(simd: S, a: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * logistic(simd, a * x);
    }
}

#[inline(always)]
fn scaled_silu_slope_body<S: Simd>(simd: S, a: f32, x: &[f32], g: &mut [f32]) {
    for (g, &x) in g.iter_mut().zip(x) {
        let s = logistic(simd, a * x);
        *g *= s * (1.0 + a * x * (1.0 - s));
    }
}

#[inline(always)]
fn relu_body<S: Simd>(_: S, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        // NaN passes, as in PyTorch.
        *y = if x < 0.0 { 0.0 } else { x };
    }
}

#[inline(always)]
fn relu_slope_body<S: Simd>(_: S, x: &[f32], g: &mut [f32]) {
    for (g, &x) in g.iter_mut().zip(x) {
        *g = if x > 0.0 { *g } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};
    use crate::kernel::digital::simd::each;

    const ALL: [Activation; 5] =
        [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Silu, Activation::Relu];

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => 0.5 * x * (1.0 + statrs::function::erf::erf(x / 2.0_f64.sqrt())),
            Activation::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Relu => x.max(0.0),
        }
    }

    fn points() -> Vec<f32> {
        let mut x: Vec<f32> = random(1, 997).iter().map(|x| 4.0 * x).collect();
        x.extend([1e-6, -1e-6, 30.0, -30.0, 1e4, -1e4]);
        x
    }

    #[test]
    fn every_activation_is_within_two_millionths_of_f64() {
        // erf is good to 6·10⁻⁷, half of which enters with the factor |x| ≤ 5.5 at most.
        let x = points();
        for activation in ALL {
            let y = activation.forward(&x);
            for (x, y) in x.iter().zip(y) {
                let exact = exact(activation, f64::from(*x));
                let error = (f64::from(y) - exact).abs();
                assert!(error <= 2e-6 * (1.0 + exact.abs()), "{activation:?}({x}) = {y}, not {exact}");
            }
        }
    }

    #[test]
    fn every_slope_agrees_with_finite_differences() {
        let x = points();
        for activation in ALL {
            let weights = random(2, x.len());
            let mut g = weights.clone();
            activation.backward(&x, &mut g);
            // Relative to the largest slope, not to the large values at the ends.
            let loss = |x: &[f64]| -> Vec<f64> { x.iter().map(|&x| exact(activation, x)).collect() };
            let step = 1e-4;
            let (above, below): (Vec<_>, Vec<_>) = wide(&x).iter().map(|x| (x + step, x - step)).unzip();
            let slopes: Vec<f64> = loss(&above)
                .iter()
                .zip(loss(&below))
                .zip(&weights)
                .zip(&x)
                .map(|(((a, b), w), &x)| {
                    if activation == Activation::Relu && x.abs() < 1e-4 {
                        f64::from(*w) * f64::from(x > 0.0)
                    } else {
                        f64::from(*w) * (a - b) / (2.0 * step)
                    }
                })
                .collect();
            assert_close("slope", &g, &slopes, 2e-6);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_gelu_to_rounding() {
        let x = points();
        let expected: Vec<f64> = x.iter().map(|&x| exact(Activation::Gelu, f64::from(x))).collect();
        each::instruction_set(|set| {
            let mut y = vec![0.0; x.len()];
            gelu(&x, &mut y);
            for ((x, y), expected) in x.iter().zip(y).zip(&expected) {
                assert!(
                    (f64::from(y) - expected).abs() <= 2e-6 * (1.0 + expected.abs()),
                    "{set:?}: {y} at {x}"
                );
            }
        });
    }

    #[test]
    fn a_small_gradient_check_goes_through_the_common_oracle_too() {
        let x = random(3, 19);
        let weights = random(4, 19);
        let mut g = weights.clone();
        Activation::Gelu.backward(&x, &mut g);
        assert_gradient("gelu", &x, &g, |x| {
            weigh(&weights, &x.iter().map(|&x| exact(Activation::Gelu, x)).collect::<Vec<_>>())
        });
    }

    #[test]
    fn names_of_hugging_face_are_understood_and_others_named() {
        assert_eq!(Activation::from_hf("gelu_pytorch_tanh").unwrap(), Activation::GeluTanh);
        assert_eq!(Activation::from_hf("gelu").unwrap(), Activation::Gelu);
        let error = Activation::from_hf("mish").unwrap_err().to_string();
        assert!(error.contains("`mish`") && error.contains("quick_gelu"), "{error}");
    }
}
