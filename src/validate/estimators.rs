//! Estimators of σ on Gaussian, contaminated and heavy-tailed samples; tests of normality; σ as a function of w.

use alora_calibration::statistics::{
    histogram::Histogram,
    moments::{gaussian_mle, mad_sigma},
    normality::anderson_darling,
    state::state_dependence,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, mean, normals, rng, rounded_up, student_t5, uniform, variance},
};
use crate::error::Error;

/// Residuals of one sample, as in the simulation they are compared with: a 16 × 16 matrix programmed once.
const RESIDUALS: usize = 256;
const SAMPLES: u64 = 2000;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = estimators();
    cases.extend(normality());
    cases.extend(state());
    Ok(cases)
}

/// Estimates of one kind of sample, one a seed.
struct Estimates {
    likelihood: Vec<f64>,
    mad: Vec<f64>,
    histogram: Vec<f64>,
}

impl Estimates {
    fn of(sample: impl Fn(&mut ChaCha8Rng) -> Vec<f64>) -> Self {
        let mut all = Self { likelihood: Vec::new(), mad: Vec::new(), histogram: Vec::new() };
        for seed in 0..SAMPLES {
            let sample = sample(&mut rng(seed));
            all.likelihood.push(gaussian_mle(&sample));
            all.mad.push(mad_sigma(&sample));
            // A fit that does not converge gives nothing to average; it must stay rare, see `estimators`.
            all.histogram.extend(
                Histogram::of(&sample).and_then(|bins| bins.fit_gaussian_to(&sample)).map(|fit| fit.sigma),
            );
        }
        all
    }
}

fn estimators() -> Vec<Case> {
    let gaussian = Estimates::of(|rng| normals(RESIDUALS, rng));
    let outliers = Estimates::of(|rng| {
        let mut sample = normals(RESIDUALS, rng);
        for x in &mut sample {
            if rng.random_bool(0.02) {
                *x = 10.0_f64.copysign(*x);
            }
        }
        sample
    });
    let tails = Estimates::of(|rng| student_t5(RESIDUALS, rng));
    let simulated = "independent simulation, n = 256; 4 standard errors and ± 0.005 of its rounding";
    let average = |claim: &str, values: &[f64], expected: f64| {
        let error = (variance(values) / values.len() as f64).sqrt();
        Case::within(claim, simulated, mean(values), expected, rounded_up(STANDARD_ERRORS * error) + 0.005)
    };
    let fits = (gaussian.histogram.len() + outliers.histogram.len() + tails.histogram.len()) as f64;
    vec![
        average("Gaussian residuals: likelihood σ over σ", &gaussian.likelihood, 0.997),
        average("Gaussian residuals: histogram σ over σ", &gaussian.histogram, 0.999),
        Case::within(
            "Gaussian residuals: variance of the histogram σ over that of the likelihood σ",
            "independent simulation, n = 256: 2.4 times the data; 4 standard errors √(4/samples)",
            variance(&gaussian.histogram) / variance(&gaussian.likelihood),
            2.4,
            STANDARD_ERRORS * 2.4 * (4.0 / SAMPLES as f64).sqrt(),
        ),
        average("2 % of residuals at ± 10 σ: likelihood σ over core σ", &outliers.likelihood, 1.68),
        average("2 % of residuals at ± 10 σ: MAD σ over core σ", &outliers.mad, 1.02),
        Case {
            against: "independent simulation, n = 256: 1.00 to 1.09 by the rule for the bins; here outliers have bins of \
                      their own: 1.00; 4 standard errors and ± 0.005 of its rounding"
                .to_owned(),
            ..average("2 % of residuals at ± 10 σ: histogram σ over core σ", &outliers.histogram, 1.0)
        },
        average("Student t with 5 degrees: likelihood σ over σ", &tails.likelihood, 1.0),
        average("Student t with 5 degrees: histogram σ over σ, too low", &tails.histogram, 0.81),
        Case::at_most(
            "Share of these histograms to which no Gaussian could be fitted",
            "a figure that is missing must be rare: 1 in 1000",
            100.0 * (1.0 - fits / (3 * SAMPLES) as f64),
            0.1,
        )
        .in_unit("%"),
    ]
}

fn normality() -> Vec<Case> {
    let rejected = |samples: u64, sample: fn(usize, &mut ChaCha8Rng) -> Vec<f64>| {
        let count = (0..samples)
            .filter_map(|seed| anderson_darling(&sample(RESIDUALS, &mut rng(seed))))
            .filter(|test| test.p_value < 0.05)
            .count();
        100.0 * count as f64 / samples as f64
    };
    let binomial = |p: f64, samples: u64| 100.0 * (p * (1.0 - p) / samples as f64).sqrt();
    vec![
        Case::within(
            "Anderson–Darling at 5 % rejects Gaussian residuals",
            "level of the test; 4 binomial standard errors, 4000 samples of 256",
            rejected(4000, normals),
            5.0,
            STANDARD_ERRORS * binomial(0.05, 4000),
        )
        .in_unit("%"),
        Case::within(
            "Anderson–Darling at 5 % rejects Student t with 5 degrees",
            "independent simulation: 0.83 at n = 256; 4 binomial standard errors, 1000 samples, and half its last digit",
            rejected(1000, student_t5),
            83.0,
            STANDARD_ERRORS * binomial(0.83, 1000) + 0.5,
        )
        .in_unit("%"),
    ]
}

/// `σ²(w) = 1e-4 + 9e-4 |w| + 6e-4 w²`: 1 % at 0, 4 % at full scale.
fn state() -> Vec<Case> {
    const PAIRS: usize = 40_000;
    let truth = |w: f64| (1e-4 + 9e-4 * w + 6e-4 * w * w).sqrt();
    let rng = &mut rng(3);
    let weights: Vec<f64> = uniform(PAIRS, rng).iter().map(|w| w.abs()).collect();
    let r: Vec<f64> = normals(PAIRS, rng).iter().zip(&weights).map(|(unit, &w)| unit * truth(w)).collect();
    let found = state_dependence(&weights, &r);
    // The end of a parabola through n variances varies by 3 σ² √(2/n): half of that for σ.
    let error = 1.5 * (2.0 / PAIRS as f64).sqrt();
    let mut cases: Vec<Case> = [(0.0, 1.0), (0.5, 2.645_75), (1.0, 4.0)]
        .map(|(w, sigma)| {
            let fitted = found.as_ref().map_or(f64::NAN, |fit| (fit.a + fit.b * w + fit.c * w * w).sqrt());
            Case::within(
                format!("σ(w) of state-dependent residuals at w = {w}"),
                "injected truth; 4 standard errors 1.5·σ·√(2/n), n = 40 000",
                100.0 * fitted,
                sigma,
                STANDARD_ERRORS * error * sigma,
            )
            .in_unit("%")
        })
        .into();
    let alarms = (0..1000)
        .filter_map(|seed| {
            let rng = &mut super::random::rng(seed);
            let weights: Vec<f64> = uniform(512, rng).iter().map(|w| w.abs()).collect();
            state_dependence(&weights, &normals(512, rng))
        })
        .filter(|fit| fit.p_value < 0.05)
        .count();
    cases.push(
        Case::within(
            "Breusch–Pagan at 5 % calls a constant σ state-dependent",
            "level of the test; 4 binomial standard errors, 1000 samples of 512",
            alarms as f64 / 10.0,
            5.0,
            STANDARD_ERRORS * 100.0 * (0.05 * 0.95 / 1000.0_f64).sqrt(),
        )
        .in_unit("%"),
    );
    cases
}
