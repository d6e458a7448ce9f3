//! Laws of a structure function and their fits.

use serde::{Deserialize, Serialize};

use super::LagPoint;

/// Diffusion without bound: `D(τ) = 2 D_rw τ + 2σ_n²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomWalk {
    /// `D_rw`: variance grows by `2 D_rw` a unit of time.
    pub diffusion: f64,
}

/// Ornstein–Uhlenbeck: `D(τ) = 2 s² (1 − e^{−τ/T}) + 2σ_n²` (Uhlenbeck & Ornstein, Phys. Rev. 36, 823 (1930)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrnsteinUhlenbeck {
    /// `s`, stationary standard deviation.
    pub stationary: f64,
    /// `T`, correlation time.
    pub time: f64,
}

/// What the drift follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftLaw {
    /// Grows without bound.
    RandomWalk(RandomWalk),
    /// Ends at `2 s²`.
    OrnsteinUhlenbeck(OrnsteinUhlenbeck),
}

impl DriftLaw {
    /// `⟨(x(t + τ) − x(t))²⟩` without read-out noise.
    #[must_use]
    pub fn variance_after(&self, lag: f64) -> f64 {
        match *self {
            Self::RandomWalk(law) => 2.0 * law.diffusion * lag,
            Self::OrnsteinUhlenbeck(law) => -2.0 * law.stationary.powi(2) * (-lag / law.time).exp_m1(),
        }
    }

    /// Time after programming at which `√(σ₀² + drift)` exceeds `budget`; `None` when it never does, 0 when `σ₀` alone does.
    #[must_use]
    pub fn time_until(&self, sigma: f64, budget: f64) -> Option<f64> {
        let room = budget * budget - sigma * sigma;
        if room <= 0.0 {
            return Some(0.0);
        }
        match *self {
            Self::RandomWalk(law) => (law.diffusion > 0.0).then(|| room / (2.0 * law.diffusion)),
            Self::OrnsteinUhlenbeck(law) => {
                let share = room / (2.0 * law.stationary.powi(2));
                (share < 1.0).then(|| -law.time * (-share).ln_1p())
            }
        }
    }
}

/// A law fitted to a structure function.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftFit {
    /// The law.
    pub law: DriftLaw,
    /// `σ_n²`, read-out variance: given or fitted.
    pub readout_variance: f64,
    /// `Σ (D − fit)²/u²` over the lags. Lags share the elements' histories, so it is for comparison, not a test.
    pub chi_square: f64,
}

/// Correlation times are sought up to this many times the longest lag. There the bend of `D` is 1 %, and it is a random walk.
const LONGEST_TIME: f64 = 50.0;

/// Weighted least squares of `D = 2 D_rw τ + 2σ_n²`, both not negative; `readout_variance` holds `σ_n²` where it is known.
///
/// `None` for fewer than 2 lags, or 3 with an unknown noise.
#[must_use]
pub fn random_walk(points: &[LagPoint], readout_variance: Option<f64>) -> Option<DriftFit> {
    let found = shape_fit(points, readout_variance, |lag| 2.0 * lag)?;
    Some(DriftFit {
        law: DriftLaw::RandomWalk(RandomWalk { diffusion: found.amplitude }),
        readout_variance: found.noise,
        chi_square: found.chi_square,
    })
}

/// Weighted least squares of `D = 2 s²(1 − e^{−τ/T}) + 2σ_n²`; `s²` and `σ_n²` are linear, `T` is sought on a logarithmic grid
/// from a tenth of the shortest to 50 times the longest lag, and refined by golden section.
///
/// `None` for fewer than 3 lags, or 4 with an unknown noise.
#[must_use]
pub fn ornstein_uhlenbeck(points: &[LagPoint], readout_variance: Option<f64>) -> Option<DriftFit> {
    let parameters = if readout_variance.is_some() { 2 } else { 3 };
    if points.len() <= parameters {
        return None;
    }
    let (shortest, longest) = (points.first()?.lag, points.last()?.lag);
    let fit = |ln_time: f64| {
        let time = ln_time.exp();
        shape_fit(points, readout_variance, |lag| -2.0 * (-lag / time).exp_m1())
    };
    let cost = |ln_time: f64| fit(ln_time).map_or(f64::INFINITY, |fit| fit.chi_square);
    let (low, high) = ((0.1 * shortest).ln(), (LONGEST_TIME * longest).ln());
    let grid: Vec<f64> = (0..=GRID).map(|k| low + (high - low) * f64::from(k) / f64::from(GRID)).collect();
    let best = grid.iter().copied().min_by(|x, y| cost(*x).total_cmp(&cost(*y)))?;
    let step = (high - low) / f64::from(GRID);
    let ln_time = golden((best - step).max(low), (best + step).min(high), cost);
    let found = fit(ln_time)?;
    let law = OrnsteinUhlenbeck { stationary: found.amplitude.sqrt(), time: ln_time.exp() };
    Some(DriftFit {
        law: DriftLaw::OrnsteinUhlenbeck(law),
        readout_variance: found.noise,
        chi_square: found.chi_square,
    })
}

const GRID: u32 = 40;

/// Least of `cost` between `low` and `high`, where it has one minimum.
fn golden(mut low: f64, mut high: f64, cost: impl Fn(f64) -> f64) -> f64 {
    let section = 0.5 * (5.0_f64.sqrt() - 1.0);
    for _ in 0..40 {
        let width = section * (high - low);
        if cost(high - width) <= cost(low + width) { high = low + width } else { low = high - width }
    }
    0.5 * (low + high)
}

struct ShapeFit {
    amplitude: f64,
    noise: f64,
    chi_square: f64,
}

/// Weighted least squares of `D = A·shape(τ) + 2σ_n²`, `A ≥ 0`, `σ_n² ≥ 0` or known. Weights `1/u²`; where no standard error
/// is known (one element), all lags weigh `1/D²`, as the error of a mean square is proportional to it.
fn shape_fit(points: &[LagPoint], known: Option<f64>, shape: impl Fn(f64) -> f64) -> Option<ShapeFit> {
    if points.len() < if known.is_some() { 2 } else { 3 } {
        return None;
    }
    let unknown_errors = points.iter().any(|point| point.std_error.is_nan() || point.std_error <= 0.0);
    let weight = |point: &LagPoint| {
        let error = if unknown_errors { point.mean } else { point.std_error };
        error.max(f64::MIN_POSITIVE.sqrt()).powi(-2)
    };
    let [mut w, mut x, mut y, mut xx, mut xy] = [0.0; 5];
    for point in points {
        let (k, f) = (weight(point), shape(point.lag));
        w += k;
        x += k * f;
        y += k * point.mean;
        xx += k * f * f;
        xy += k * f * point.mean;
    }
    let slope_for = |noise: f64| ((xy - 2.0 * noise * x) / xx).max(0.0);
    let (amplitude, noise) = match known {
        Some(noise) => (slope_for(noise), noise),
        None => {
            let spread = xx - x * x / w;
            let amplitude = if spread > 1e-12 * xx { ((xy - x * y / w) / spread).max(0.0) } else { 0.0 };
            let noise = 0.5 * (y - amplitude * x) / w;
            if noise >= 0.0 { (amplitude, noise) } else { (slope_for(0.0), 0.0) }
        }
    };
    let miss = |point: &LagPoint| point.mean - amplitude * shape(point.lag) - 2.0 * noise;
    let chi_square = points.iter().map(|point| weight(point) * miss(point).powi(2)).sum::<f64>();
    chi_square.is_finite().then_some(ShapeFit { amplitude, noise, chi_square })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn exact(law: DriftLaw, noise: f64) -> Vec<LagPoint> {
        (0..12)
            .map(|k| 1.5_f64.powi(k))
            .map(|lag| {
                let mean = law.variance_after(lag) + 2.0 * noise;
                LagPoint { lag, mean, std_error: 0.1 * mean }
            })
            .collect()
    }

    #[test]
    fn exact_structure_functions_give_their_laws_back() {
        let walk = DriftLaw::RandomWalk(RandomWalk { diffusion: 0.3 });
        let ou = DriftLaw::OrnsteinUhlenbeck(OrnsteinUhlenbeck { stationary: 0.7, time: 9.0 });
        for known in [None, Some(0.2)] {
            let found = random_walk(&exact(walk, 0.2), known).unwrap();
            assert!((found.readout_variance - 0.2).abs() < 1e-12);
            assert!((found.law.variance_after(2.0) - 1.2).abs() < 1e-12);
            let found = ornstein_uhlenbeck(&exact(ou, 0.2), known).unwrap();
            let DriftLaw::OrnsteinUhlenbeck(law) = found.law else { unreachable!() };
            // Golden section: 40 steps of 0.618 from a grid of 0.24 in ln T; but a minimum is flat to √ε.
            assert!((law.time / 9.0 - 1.0).abs() < 1e-6 && (law.stationary - 0.7).abs() < 1e-6, "{law:?}");
            assert!((found.readout_variance - 0.2).abs() < 1e-6);
        }
    }

    #[test]
    fn the_budget_is_spent_when_the_variance_says_so() {
        let walk = DriftLaw::RandomWalk(RandomWalk { diffusion: 0.5 });
        assert_eq!(walk.time_until(3.0, 5.0), Some(16.0));
        assert_eq!(walk.time_until(5.0, 5.0), Some(0.0));
        let still = DriftLaw::RandomWalk(RandomWalk { diffusion: 0.0 });
        assert_eq!(still.time_until(3.0, 5.0), None);
        let ou = DriftLaw::OrnsteinUhlenbeck(OrnsteinUhlenbeck { stationary: 3.0, time: 7.0 });
        let time = ou.time_until(3.0, 5.0).unwrap();
        assert!((ou.variance_after(time) - 16.0).abs() < 1e-12);
        // 3² + 2·3² = 27: a budget of √27 is never exceeded.
        assert_eq!(ou.time_until(3.0, 5.2), None);
    }

    #[test]
    fn too_few_lags_give_no_law() {
        let points = exact(DriftLaw::RandomWalk(RandomWalk { diffusion: 1.0 }), 0.0);
        assert!(random_walk(&points[..2], None).is_none() && random_walk(&points[..2], Some(0.0)).is_some());
        assert!(ornstein_uhlenbeck(&points[..3], None).is_none());
    }
}
