//! Bases in which a matrix is probed, and how a weight is decoded from the readings.

mod choice;
mod conditions;
mod hadamard;

use ndarray::{Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

pub use choice::{Choice, Prediction, VarianceShares, choose, predict};
pub use conditions::{AUTO_RANGED, AdcRange, InputAlphabet, MatrixScale};
pub use hadamard::{Construction, HadamardOrder};

/// Set of input vectors from whose readings each weight is found.
///
/// With `M` the order of the Hadamard matrix used, `M ≥ N` (`M ≥ N + 1` for the S-matrix):
///
/// | basis | inputs | passes | variance of a weight, additive noise 1 |
/// |---|---|---|---|
/// | one-hot | 0, 1 | `N` | 1 |
/// | signed Hadamard | −1, 1 | `M` | `1/M` |
/// | split Hadamard | 0, 1 | `2M` | `2/M` |
/// | S-matrix | 0, 1 | `M − 1` | `4/M · N/(N + 1)` |
///
/// Harwit & Sloane, *Hadamard Transform Optics* (Academic Press 1979).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// One input lit at a time.
    OneHot,
    /// Rows of a Hadamard matrix, the parts that are + and those that are − as two passes of unipolar inputs.
    SplitHadamard,
    /// Rows of a Hadamard matrix, for inputs that carry a sign.
    SignedHadamard,
    /// `(1 − H)/2` of a Hadamard matrix without its first row and column.
    SMatrix,
}

impl Basis {
    /// All of them, the plainest first.
    pub const ALL: [Self; 4] = [Self::OneHot, Self::SplitHadamard, Self::SignedHadamard, Self::SMatrix];

    /// Its name in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneHot => "one-hot",
            Self::SplitHadamard => "split Hadamard",
            Self::SignedHadamard => "signed Hadamard",
            Self::SMatrix => "S-matrix",
        }
    }

    /// Inputs with a sign are needed.
    #[must_use]
    pub fn is_signed(self) -> bool {
        self == Self::SignedHadamard
    }

    /// Order of the Hadamard matrix for `inputs`; `None` for one-hot, which needs none.
    #[must_use]
    pub fn order(self, inputs: usize) -> Option<HadamardOrder> {
        match self {
            Self::OneHot => None,
            Self::SplitHadamard | Self::SignedHadamard => Some(HadamardOrder::at_least(inputs)),
            Self::SMatrix => Some(HadamardOrder::at_least(inputs + 1)),
        }
    }

    /// True when the basis is square for `inputs`; otherwise a larger one is cut and there are more passes than needed.
    #[must_use]
    pub fn is_exact(self, inputs: usize) -> bool {
        let wanted = if self == Self::SMatrix { inputs + 1 } else { inputs };
        self.order(inputs).is_none_or(|order| order.order() == wanted)
    }

    /// The probe of `inputs ≥ 1` inputs.
    #[must_use]
    pub fn probe(self, inputs: usize) -> ProbeSet {
        let order = self.order(inputs);
        let hadamard = order.map_or_else(|| Array2::eye(inputs), HadamardOrder::matrix);
        let m = hadamard.nrows() as f64;
        let cut = hadamard.slice(s![.., ..inputs]);
        let (patterns, decoder) = match self {
            Self::OneHot => (hadamard.clone(), hadamard),
            Self::SignedHadamard => (cut.to_owned(), cut.t().mapv(|h| h / m)),
            Self::SplitHadamard => {
                let unipolar = |sign: f64| cut.mapv(|h| 0.5 * (1.0 + sign * h));
                let signed = |sign: f64| cut.t().mapv(|h| sign * h / m);
                (stack(Axis(0), unipolar(1.0), unipolar(-1.0)), stack(Axis(1), signed(1.0), signed(-1.0)))
            }
            Self::SMatrix => {
                let s_matrix = hadamard.slice(s![1.., 1..=inputs]).mapv(|h| 0.5 * (1.0 - h));
                // SᵀS = M/4 (I + J), whose inverse is 4/M (I − J/(N + 1)).
                let sums = s_matrix.sum_axis(Axis(1)) / (inputs as f64 + 1.0);
                let decoder = (&s_matrix.t() - &sums.insert_axis(Axis(0))) * (4.0 / m);
                (s_matrix, decoder)
            }
        };
        ProbeSet { basis: self, patterns, decoder }
    }
}

fn stack(axis: Axis, mut first: Array2<f64>, second: Array2<f64>) -> Array2<f64> {
    // Never an error: both parts have the same shape.
    let _same_shape = first.append(axis, second.view());
    first
}

/// Input vectors of a basis, and the least-squares decoder of the readings.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSet {
    basis: Basis,
    patterns: Array2<f64>,
    decoder: Array2<f64>,
}

impl ProbeSet {
    /// The basis.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Number of input vectors, `K`.
    #[must_use]
    pub fn passes(&self) -> usize {
        self.patterns.nrows()
    }

    /// Input vectors `P`, `[K, N]`, relative to full input.
    #[must_use]
    pub fn patterns(&self) -> ArrayView2<'_, f64> {
        self.patterns.view()
    }

    /// `D = (PᵀP)⁻¹Pᵀ`, `[N, K]`: weights from readings.
    #[must_use]
    pub fn decoder(&self) -> ArrayView2<'_, f64> {
        self.decoder.view()
    }

    /// Weights `[N, outputs]` from the readings `Y = P Wᵀ`, `[K, outputs]`: `Wᵀ = D Y`, by least squares.
    ///
    /// `None` when `readings` has another number of rows than there are passes.
    #[must_use]
    pub fn decode(&self, readings: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
        (readings.nrows() == self.passes()).then(|| self.decoder.dot(&readings))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::statistics::noise_law::NoiseLaw;

    #[test]
    fn every_basis_decodes_every_size_exactly() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for inputs in 1..=70 {
            let w = Array2::from_shape_simple_fn((inputs, 3), || rng.random_range(-1.0..1.0));
            for basis in Basis::ALL {
                let probe = basis.probe(inputs);
                let found = probe.decode(probe.patterns().dot(&w).view()).unwrap();
                let error = (&found - &w).iter().fold(0.0_f64, |most, error| most.max(error.abs()));
                // K products and sums of terms below N.
                let bound = 2.0 * f64::EPSILON * (probe.passes() * inputs) as f64;
                assert!(error <= bound, "{basis:?} of {inputs}: {error:e}");
                let light = probe.patterns();
                assert!(basis.is_signed() || light.iter().all(|&x| x == 0.0 || x == 1.0));
            }
        }
    }

    #[test]
    fn sizes_that_need_no_cut_are_told() {
        let exact = |basis: Basis| (1..=24).filter(|&n| basis.is_exact(n)).collect::<Vec<_>>();
        assert_eq!(exact(Basis::SignedHadamard), [1, 2, 4, 8, 12, 16, 20, 24]);
        assert_eq!(exact(Basis::SMatrix), [1, 3, 7, 11, 15, 19, 23]);
        assert_eq!(exact(Basis::OneHot).len(), 24);
        assert_eq!(Basis::SMatrix.probe(64).passes(), 67);
    }

    #[test]
    fn readings_of_another_length_are_refused() {
        assert_eq!(Basis::OneHot.probe(4).decode(Array2::zeros((5, 2)).view()), None);
    }

    /// rms error of the weights decoded from one pass over `probe`, a matrix `w` (`[N, outputs]`), 16 passes averaged.
    fn simulated(basis: Basis, law: &NoiseLaw, bits: Option<u32>, seed: u64) -> f64 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs = if basis == Basis::SMatrix { 63 } else { 64 };
        let probe = basis.probe(inputs);
        let mut squares = 0.0;
        for _ in 0..ROUNDS {
            let w = Array2::from_shape_simple_fn((inputs, 64), || rng.random_range(0.0..1.0));
            let clean = probe.patterns().dot(&w);
            let top = clean.iter().fold(0.0_f64, |top, y| top.max(y.abs()));
            let noisy = clean.mapv(|y| {
                let unit: f64 = StandardNormal.sample(rng);
                let y = y + law.variance_at(y).sqrt() * unit;
                bits.map_or(y, |bits| {
                    let step = top / f64::from(1 << bits);
                    (y / step).round() * step
                })
            });
            let errors = probe.decode(noisy.view()).unwrap() - &w;
            squares += errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        }
        (squares / ROUNDS as f64).sqrt()
    }

    const ROUNDS: usize = 16;

    /// Basis, rms error of a weight, half of the last digit.
    type Figure = (Basis, f64, f64);

    /// N = 64, weights uniform in [0, 1] (the one-hot figures say so: shot √½ = 0.71, RIN 0.01·√⅓ = 0.0058), an 8-bit
    /// step of the largest reading over 2⁸; 63 inputs for the S-matrix. Figures computed apart from this code, one run.
    const PUBLISHED: [(&str, &[Figure]); 4] = [
        (
            "additive",
            &[
                (Basis::OneHot, 1.00, 0.005),
                (Basis::SignedHadamard, 0.125, 0.0005),
                (Basis::SplitHadamard, 0.176, 0.0005),
                (Basis::SMatrix, 0.25, 0.005),
            ],
        ),
        (
            "shot",
            &[
                (Basis::OneHot, 0.71, 0.005),
                (Basis::SplitHadamard, 0.70, 0.005),
                (Basis::SMatrix, 0.99, 0.005),
            ],
        ),
        (
            "relative",
            &[
                (Basis::OneHot, 0.0058, 0.00005),
                (Basis::SignedHadamard, 0.0059, 0.00005),
                (Basis::SplitHadamard, 0.028, 0.0005),
                (Basis::SMatrix, 0.040, 0.0005),
            ],
        ),
        (
            "converter",
            &[
                (Basis::OneHot, 0.0011, 0.00005),
                (Basis::SignedHadamard, 0.0053, 0.00005),
                (Basis::SplitHadamard, 0.0077, 0.00005),
                (Basis::SMatrix, 0.0059, 0.00005),
            ],
        ),
    ];

    #[test]
    fn formula_simulation_and_published_figures_agree() {
        for (noise, figures) in PUBLISHED {
            let (law, adc, bits) = match noise {
                "additive" => (NoiseLaw::new(1.0, 0.0, 0.0), AdcRange::Ideal, None),
                "shot" => (NoiseLaw::new(0.0, 1.0, 0.0), AdcRange::Ideal, None),
                "relative" => (NoiseLaw::new(0.0, 0.0, 1e-4), AdcRange::Ideal, None),
                _ => (NoiseLaw::default(), AdcRange::Rescaled { bits: 8 }, Some(8)),
            };
            for &(basis, published, rounding) in figures {
                let inputs = if basis == Basis::SMatrix { 63 } else { 64 };
                let predicted =
                    predict(basis, inputs, &law, &MatrixScale::uniform_unipolar(64), adc).variance.sqrt();
                // Relative error of one run: 4096 errors; but under RIN the 64 readings of the all-ones pattern hold ¾ of
                // the variance of the signed basis, and a converter's step follows the largest of the readings, which
                // varies by 1.28 σ/√(2 ln 64) = 0.44 σ of 2.3 in 37 (all-ones), or of 1.63 in 22 (S-matrix): 2.8 %.
                let run = match (noise, basis) {
                    ("relative", Basis::SignedHadamard) => 0.75 / (2.0 * 64.0_f64).sqrt(),
                    ("converter", Basis::OneHot) => 1.0 / 8192.0_f64.sqrt(),
                    ("converter", _) => 0.028,
                    _ => 1.0 / 8192.0_f64.sqrt(),
                };
                let distance = rounding + 4.0 * run * published;
                assert!(
                    (predicted - published).abs() <= distance,
                    "{noise}, {basis:?}: formula {predicted}, published {published} ± {distance}"
                );
                let found = simulated(basis, &law, bits, 3);
                // The largest of correlated readings of the S-matrix (½ within an output) is a little below that of
                // independent ones, for which the formula is: another 3 %.
                let model = if noise == "converter" && basis != Basis::OneHot { 0.03 } else { 0.0 };
                let distance = (4.0 * run / (ROUNDS as f64).sqrt() + model) * predicted;
                assert!(
                    (found - predicted).abs() <= distance,
                    "{noise}, {basis:?}: simulated {found}, formula {predicted} ± {distance}"
                );
            }
        }
    }
}
