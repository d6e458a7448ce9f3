//! Fit of one element's law to its sweep.

use alora_drivers::datasheet::{DriveLaw, IncoherentDataSheet, NominalElement};

use super::{element::ElementLookup, law::Law};

/// Fitted parameters: offset, amplitude, bias, span, exponent.
const PARAMETERS: usize = 5;
/// Scatter of a reading about the law that the prior is weighed against, in nominal weight units: converter step,
/// read-out noise and the crosstalk of the neighbours' sweeps together.
const EXPECTED_SCATTER: f64 = 0.01;
/// The maker's tolerances are taken this much wider, plus [`PRIOR_FLOOR`]: they steer a sweep that says little of a
/// parameter and yield to one that says much.
const PRIOR_WIDENING: f64 = 3.0;
const PRIOR_FLOOR: f64 = 1e-3;
const MOST_STEPS: usize = 60;

type Vector = [f64; PARAMETERS];
type Matrix = [[f64; PARAMETERS]; PARAMETERS];

/// One reading of a sweep: drive `u` (0 to 1) and signal in nominal weight units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SweepPoint {
    pub(crate) drive: f64,
    pub(crate) signal: f64,
}

/// Damped Gauss–Newton (Levenberg–Marquardt; Marquardt, SIAM J. Appl. Math. 11, 431 (1963)) for
/// `Σ ((s − model)/scatter)² + Σ ((θ − θ₀)/tolerance)²`, from the data sheet's law. `sign` is −1 for the negative rail.
///
/// `weight_sd` is from the covariance `(JᵀJ/s² + prior)⁻¹` with the scatter `s` found in the residuals.
/// `None` with fewer points than parameters or when the normal equations are singular.
pub(crate) fn fit(sheet: &IncoherentDataSheet, sign: f64, points: &[SweepPoint]) -> Option<ElementLookup> {
    if points.len() < PARAMETERS {
        return None;
    }
    let problem =
        Problem { law: sheet.element, points, prior: Prior::of(&sheet.drive, &sheet.drive_tolerance) };
    let mut theta = problem.start(sign);
    let mut cost = problem.cost(&theta);
    let mut damping = 1e-3;
    for _ in 0..MOST_STEPS {
        let (normal, gradient) = problem.normal_equations(&theta, EXPECTED_SCATTER);
        let mut damped = normal;
        for (index, row) in damped.iter_mut().enumerate() {
            row[index] *= 1.0 + damping;
        }
        let step = solve(damped, gradient)?;
        let mut trial = theta;
        for (value, change) in trial.iter_mut().zip(step) {
            *value += change;
        }
        let trial_cost = problem.cost(&trial);
        if trial_cost < cost && problem.allowed(&trial) {
            let settled = cost - trial_cost < 1e-9 * cost;
            (theta, cost) = (trial, trial_cost);
            damping = (damping * 0.2_f64).max(1e-9);
            if settled {
                break;
            }
        } else {
            damping *= 5.0;
            if damping > 1e9 {
                break;
            }
        }
    }
    problem.lookup(&theta)
}

struct Prior {
    mean: [f64; 3],
    sd: [f64; 3],
}

impl Prior {
    fn of(drive: &DriveLaw, tolerance: &DriveLaw) -> Self {
        let widened = |tolerance: f64| PRIOR_WIDENING * tolerance + PRIOR_FLOOR;
        Self {
            mean: [drive.bias_rad, drive.span_rad, drive.exponent],
            sd: [tolerance.bias_rad, tolerance.span_rad, tolerance.exponent].map(widened),
        }
    }
}

struct Problem<'a> {
    law: NominalElement,
    points: &'a [SweepPoint],
    prior: Prior,
}

impl Problem<'_> {
    /// The data sheet's drive law, with offset and amplitude by linear least squares.
    fn start(&self, sign: f64) -> Vector {
        let [bias, span, exponent] = self.prior.mean;
        let signals = || {
            let law = |point: &SweepPoint| self.law.signal(bias + span * point.drive.powf(exponent));
            self.points.iter().map(move |point| (law(point), point.signal))
        };
        let n = self.points.len() as f64;
        let (mean_f, mean_s) =
            signals().fold((0.0, 0.0), |(f, s), (law, signal)| (f + law / n, s + signal / n));
        let (covariance, variance) = signals().fold((0.0, 0.0), |(c, v), (law, signal)| {
            (c + (law - mean_f) * (signal - mean_s), v + (law - mean_f).powi(2))
        });
        let slope = if variance > 0.0 { covariance / variance } else { sign };
        [mean_s - slope * mean_f, slope, bias, span, exponent]
    }

    fn allowed(&self, theta: &Vector) -> bool {
        theta[3] > 0.0 && theta[4] > 0.05
    }

    fn model(&self, theta: &Vector, drive: f64) -> (f64, Vector) {
        let [offset, amplitude, bias, span, exponent] = *theta;
        let power = if drive > 0.0 { drive.powf(exponent) } else { 0.0 };
        let phase = bias + span * power;
        let signal = self.law.signal(phase);
        let by_phase = amplitude * self.law.slope(phase);
        let logarithm = if drive > 0.0 { drive.ln() } else { 0.0 };
        (
            offset + amplitude * signal,
            [1.0, signal, by_phase, by_phase * power, by_phase * span * power * logarithm],
        )
    }

    fn residual_sum(&self, theta: &Vector) -> f64 {
        self.points.iter().map(|point| (point.signal - self.model(theta, point.drive).0).powi(2)).sum()
    }

    fn cost(&self, theta: &Vector) -> f64 {
        let prior: f64 =
            (0..3).map(|i| ((theta[i + 2] - self.prior.mean[i]) / self.prior.sd[i]).powi(2)).sum();
        self.residual_sum(theta) / EXPECTED_SCATTER.powi(2) + prior
    }

    fn normal_equations(&self, theta: &Vector, scatter: f64) -> (Matrix, Vector) {
        let mut normal = [[0.0; PARAMETERS]; PARAMETERS];
        let mut gradient = [0.0; PARAMETERS];
        let weight = scatter.powi(-2);
        for point in self.points {
            let (value, jacobian) = self.model(theta, point.drive);
            for i in 0..PARAMETERS {
                gradient[i] += weight * jacobian[i] * (point.signal - value);
                for j in 0..PARAMETERS {
                    normal[i][j] += weight * jacobian[i] * jacobian[j];
                }
            }
        }
        for i in 0..3 {
            let precision = self.prior.sd[i].powi(-2);
            normal[i + 2][i + 2] += precision;
            gradient[i + 2] += precision * (self.prior.mean[i] - theta[i + 2]);
        }
        (normal, gradient)
    }

    fn lookup(&self, theta: &Vector) -> Option<ElementLookup> {
        let freedom = (self.points.len() - PARAMETERS).max(1) as f64;
        let scatter = (self.residual_sum(theta) / freedom).sqrt().max(1e-9);
        let (normal, _) = self.normal_equations(theta, scatter);
        let mut variance = 0.0;
        for point in self.points {
            let (_, jacobian) = self.model(theta, point.drive);
            let spread = solve(normal, jacobian)?;
            variance += spread.iter().zip(jacobian).map(|(s, j)| s * j).sum::<f64>();
        }
        let [offset, amplitude, bias_rad, span_rad, exponent] = *theta;
        let weight_sd = (variance / self.points.len() as f64).max(0.0).sqrt();
        let lookup =
            ElementLookup { offset, amplitude, bias_rad, span_rad, exponent, weight_sd, residual: scatter };
        theta.iter().all(|value| value.is_finite()).then_some(lookup)
    }
}

/// Solves `A x = b` for a symmetric positive definite `A` by Cholesky factorisation. `None` when it is not.
fn solve(mut a: Matrix, mut b: Vector) -> Option<Vector> {
    for i in 0..PARAMETERS {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            let rest = a[i][j] - dot;
            if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                a[i][i] = rest.sqrt();
            } else {
                a[i][j] = rest / a[j][j];
            }
        }
    }
    for i in 0..PARAMETERS {
        let dot: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i][i];
    }
    for i in (0..PARAMETERS).rev() {
        let dot: f64 = (i + 1..PARAMETERS).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn sheet() -> IncoherentDataSheet {
        IncoherentDataSheet {
            element: NominalElement::BalancedMzi,
            drive: DriveLaw { bias_rad: -0.3, span_rad: 3.8, exponent: 2.0 },
            drive_tolerance: DriveLaw { bias_rad: 0.1, span_rad: 0.1, exponent: 0.05 },
            counts_per_unit: 100.0,
        }
    }

    /// `0.1 − 0.9 cos(−0.2 + 3.9 u^2.05)` at `n` drives, with noise.
    fn sweep(n: usize, noise: f64, rng: &mut impl Rng) -> Vec<SweepPoint> {
        (0..n)
            .map(|point| {
                let drive = point as f64 / (n - 1) as f64;
                let deviate: f64 = StandardNormal.sample(rng);
                let signal = 0.1 - 0.9 * (-0.2 + 3.9 * drive.powf(2.05)).cos() + noise * deviate;
                SweepPoint { drive, signal }
            })
            .collect()
    }

    #[test]
    fn a_fit_recovers_the_law_that_made_a_quiet_sweep() {
        let found = fit(&sheet(), 1.0, &sweep(24, 0.0, &mut ChaCha8Rng::seed_from_u64(1))).unwrap();
        let expected = [0.1, 0.9, -0.2, 3.9, 2.05];
        let found = [found.offset, found.amplitude, found.bias_rad, found.span_rad, found.exponent];
        for (found, expected) in found.iter().zip(expected) {
            // The prior pulls by its weight against 24 points at the expected scatter of 1 %: (0.01/0.3)²/24 of a
            // deviation of one tolerance, 10 times that along the parameters that trade against each other.
            assert!((found - expected).abs() < 5e-3, "{found} {expected}");
        }
    }

    #[test]
    fn the_standard_error_of_a_look_up_is_that_of_its_weights_over_many_sweeps() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let truth = sweep(24, 0.0, rng);
        let (mut found, mut claimed) = (0.0, 0.0);
        let sweeps = 400;
        for _ in 0..sweeps {
            let lookup = fit(&sheet(), 1.0, &sweep(24, 0.01, rng)).unwrap();
            for point in &truth {
                let weight =
                    lookup.offset + lookup.amplitude * sheet().element.signal(lookup.phase(point.drive));
                found += (weight - point.signal).powi(2);
            }
            claimed += lookup.weight_sd.powi(2) * truth.len() as f64;
        }
        // 400 sweeps of about 5 independent deviations each: ± √(2/2000) = 3 % in variance, 4 of them.
        assert!((found / claimed - 1.0).abs() < 0.13, "{}", found / claimed);
    }

    #[test]
    fn an_element_that_does_not_respond_has_no_amplitude() {
        let points: Vec<_> =
            (0..24).map(|point| SweepPoint { drive: f64::from(point) / 23.0, signal: 0.4 }).collect();
        let lookup = fit(&sheet(), 1.0, &points).unwrap();
        assert!(lookup.amplitude.abs() < 1e-6 && (lookup.offset - 0.4).abs() < 1e-6);
    }

    #[test]
    fn fewer_points_than_parameters_are_no_fit() {
        assert_eq!(fit(&sheet(), 1.0, &sweep(4, 0.0, &mut ChaCha8Rng::seed_from_u64(1))), None);
    }
}
