//! Is the processor linear? The same matrix found in two probe bases, compared.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::gamma::gamma_ur,
};

use super::interval::chi_square_quantile;

/// Estimates of a matrix in one basis, both `[rows, cols]` in one unit.
#[derive(Clone, Copy, Debug)]
pub struct BasisEstimate<'a> {
    /// Name of the basis, for the sentence.
    pub name: &'a str,
    /// Estimated weights.
    pub weights: ArrayView2<'a, f64>,
    /// Their standard errors, known (from a noise law or pooled), not estimated one by one from a few repeats.
    pub std_errors: ArrayView2<'a, f64>,
}

/// Outcome of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Superposition {
    /// `χ² = Σ (a − b)²/(u_a² + u_b²)`.
    pub chi_square: f64,
    /// Its degrees of freedom: the number of weights.
    pub dof: usize,
    /// Probability of a `χ²` this large if superposition holds.
    pub p_value: f64,
    /// rms of the differences beyond their noise, `√(mean (a − b)² − mean u²)`, in units of the full scale; 0 where the noise
    /// explains all.
    pub excess: f64,
    /// Its 95 % interval.
    pub excess_ci95: [f64; 2],
    /// Effect size: excess over the rms of the noise. Below 1 the departure is smaller than what one comparison can see
    /// in one weight.
    pub effect: f64,
    /// The outcome in a sentence.
    pub sentence: String,
}

/// Level at which departures are called significant.
pub const LEVEL: f64 = 0.01;

/// Compares two estimates of one matrix by bases that light the processor differently (e.g. one-hot and Hadamard).
///
/// A linear processor gives the same weights in both; crosstalk that grows with the light, saturation and compression do not.
/// `d = a − b` has variance `u² = u_a² + u_b²` plus that of the departure, `δ²`. The interval of `δ` is from that of the mean
/// square of `d`, chi-square with Satterthwaite's degrees `2·mean(d²)²·n/Var(d²)`, at most `n` (Biometrics Bull. 2, 110
/// (1946)), less the mean of `u²`. Errors that all weights of a row share make it too narrow.
///
/// `None` when shapes differ, there are fewer than 2 weights, a standard error is not positive, or the full scale is not.
#[must_use]
pub fn superposition(a: &BasisEstimate<'_>, b: &BasisEstimate<'_>, full_scale: f64) -> Option<Superposition> {
    let shapes = [b.weights.dim(), a.std_errors.dim(), b.std_errors.dim()];
    let n = a.weights.len();
    if n < 2
        || shapes.iter().any(|&shape| shape != a.weights.dim())
        || full_scale.is_nan()
        || full_scale <= 0.0
    {
        return None;
    }
    let (mut chi_square, mut squares, mut fourths, mut noise) = (0.0, 0.0, 0.0, 0.0);
    for (((x, y), u), v) in a.weights.iter().zip(b.weights).zip(a.std_errors).zip(b.std_errors) {
        let (d2, u2) = ((x - y).powi(2), u * u + v * v);
        if !d2.is_finite() || u2.is_nan() || u2 <= 0.0 {
            return None;
        }
        chi_square += d2 / u2;
        squares += d2;
        fourths += d2 * d2;
        noise += u2;
    }
    let count = n as f64;
    let (mean_square, noise) = (squares / count, noise / count);
    let spread = fourths / count - mean_square * mean_square;
    let degrees =
        if spread > 0.0 { (2.0 * mean_square * mean_square / spread).min(1.0) * count } else { count };
    let beyond = |square: f64| (square - noise).max(0.0).sqrt() / full_scale;
    let excess = beyond(mean_square);
    let excess_ci95 = [0.975, 0.025].map(|p| beyond(mean_square * degrees / chi_square_quantile(p, degrees)));
    let p_value = chi_square_above(chi_square, count);
    let effect = excess * full_scale / noise.sqrt();
    let found = Superposition {
        chi_square,
        dof: n,
        p_value,
        excess,
        excess_ci95,
        effect,
        sentence: sentence(a.name, b.name, p_value, excess, excess_ci95, effect),
    };
    Some(found)
}

/// `P(χ²_dof > x)`; above 10⁵ degrees by Wilson & Hilferty (PNAS 17, 684 (1931)).
fn chi_square_above(x: f64, dof: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if dof > 1e5 {
        let ninth = 2.0 / (9.0 * dof);
        let z = ((x / dof).cbrt() - (1.0 - ninth)) / ninth.sqrt();
        return Normal::new(0.0, 1.0).map_or(f64::NAN, |law| law.sf(z));
    }
    gamma_ur(0.5 * dof, 0.5 * x)
}

fn sentence(a: &str, b: &str, p: f64, excess: f64, [low, high]: [f64; 2], effect: f64) -> String {
    let percent = |x: f64| format!("{:.2} %", 100.0 * x);
    if p >= LEVEL {
        return format!(
            "superposition holds within the noise: {a} and {b} differ by no more than read-out noise explains (p = {p:.2}); a \
             departure above {} of full scale would have been seen",
            percent(high)
        );
    }
    let shown = if p < 1e-3 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") };
    format!(
        "superposition does not hold: {a} and {b} differ by {} of full scale (95 %: {} to {}) beyond the noise, {effect:.1} \
         times the noise of a weight ({shown})",
        percent(excess),
        percent(low),
        percent(high),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Two estimates of a 32 × 32 matrix with noise 0.003 and 0.004, one of which departs by rms `departure`.
    fn compared(departure: f64, seed: u64) -> Superposition {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut normal = |_| -> f64 { StandardNormal.sample(rng) };
        let shape = (32, 32);
        let w = Array2::from_shape_fn(shape, |(i, j)| ((i * 32 + j) as f64).sin());
        let noise = [0.003, 0.004];
        let a = Array2::from_shape_fn(shape, &mut normal) * noise[0] + &w;
        let b = Array2::from_shape_fn(shape, &mut normal) * noise[1]
            + Array2::from_shape_fn(shape, &mut normal) * departure
            + &w;
        let errors = noise.map(|u| Array2::from_elem(shape, u));
        superposition(
            &BasisEstimate { name: "one-hot", weights: a.view(), std_errors: errors[0].view() },
            &BasisEstimate { name: "Hadamard", weights: b.view(), std_errors: errors[1].view() },
            1.0,
        )
        .unwrap()
    }

    #[test]
    fn a_linear_processor_is_called_nonlinear_as_often_as_the_level_says() {
        // 1 % of 2000: ± 4·√(0.01·0.99/2000) = 0.9 %.
        let alarms = (0..2000).filter(|&seed| compared(0.0, seed).p_value < LEVEL).count();
        assert!((alarms as f64 / 2000.0 - 0.01).abs() < 4.0 * (0.0099_f64 / 2000.0).sqrt(), "{alarms}");
    }

    #[test]
    fn the_interval_of_the_excess_covers_the_departure() {
        // 95 % of 1000: ± 4·√(0.95·0.05/1000) = 2.8 %. Half of the noise, equal to it, and well above.
        for departure in [0.0025, 0.005, 0.02] {
            let covered = (0..1000)
                .filter(|&seed| {
                    let [low, high] = compared(departure, seed).excess_ci95;
                    (low..=high).contains(&departure)
                })
                .count();
            assert!((covered as f64 / 1000.0 - 0.95).abs() < 0.028, "{departure}: {covered}");
        }
    }

    #[test]
    fn the_outcome_is_a_sentence_with_an_effect_size() {
        let broken = compared(0.01, 1);
        // 0.01 over √(0.003² + 0.004²) = 0.005; the mean square is known to √(2/1024) = 4.4 %.
        assert!((broken.effect - 2.0).abs() < 4.0 * 0.044 * 1.25, "{}", broken.effect);
        assert!(broken.sentence.starts_with("superposition does not hold: one-hot and Hadamard differ by"));
        assert!(broken.sentence.contains("p < 0.001"), "{}", broken.sentence);
        let sound = compared(0.0, 1);
        assert!(sound.sentence.starts_with("superposition holds within the noise"), "{}", sound.sentence);
        assert_eq!(sound.dof, 1024);
    }

    #[test]
    fn tail_probabilities_agree_with_a_table() {
        // P(χ²_10 > 18.307) = 0.05; both ways meet where they change over.
        assert!((chi_square_above(18.307, 10.0) - 0.05).abs() < 1e-5);
        let (below, above) = (1e5 - 1e-3, 1e5 + 1e-3);
        let gap = chi_square_above(100_500.0, below) - chi_square_above(100_500.0, above);
        assert!(gap.abs() < 1e-5, "{gap:e}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (w, u, zero) = (Array2::zeros((2, 2)), Array2::from_elem((2, 2), 0.1), Array2::zeros((2, 2)));
        let of = |std_errors| BasisEstimate { name: "x", weights: w.view(), std_errors };
        assert!(superposition(&of(u.view()), &of(u.view()), 1.0).is_some());
        assert!(superposition(&of(zero.view()), &of(zero.view()), 1.0).is_none());
        assert!(superposition(&of(u.view()), &of(u.slice(ndarray::s![..1, ..])), 1.0).is_none());
        assert!(superposition(&of(u.view()), &of(u.view()), 0.0).is_none());
    }
}
