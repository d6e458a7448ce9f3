//! One-pass statistics of long streams against closed forms.

use alora_calibration::statistics::streaming::{StreamSummary, Streaming};
use rand::seq::SliceRandom;
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, normals, rng},
};
use crate::error::Error;

/// Whole numbers 0 … 999, each this many times.
const TIMES: usize = 10_000;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = whole_numbers();
    cases.extend(gaussian());
    Ok(cases)
}

/// Ten million numbers in random order, about 0 and 10⁶ away from it, in two parts that are put together.
fn whole_numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, offset, limit) in [("0 to 999", 0.0, 1e-12), ("10⁶ to 10⁶ + 999", 1e6, 1e-9)] {
        let rng = &mut rng(1);
        let mut numbers: Vec<f64> = (0..1000).map(|k| f64::from(k) + offset).collect();
        let mut parts = [Streaming::new(rng), Streaming::new(rng)];
        for round in 0..TIMES {
            numbers.shuffle(rng);
            parts[usize::from(round > TIMES / 3)].push_slice(&numbers);
        }
        let [mut first, second] = parts;
        let joined = first.merge(second).is_ok();
        let found = first.summary();
        let n = 1000.0 * TIMES as f64;
        let variance = (1e6 - 1.0) / 12.0;
        let relative =
            |value: f64, expected: f64| if joined { (value / expected - 1.0).abs() } else { f64::NAN };
        // G₂ of n values from the kurtosis of the discrete uniform law.
        let g2 = -1.2 * (1e6 + 1.0) / (1e6 - 1.0);
        let kurtosis = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * g2 + 6.0);
        let excess = found.excess_kurtosis.map_or(f64::NAN, |estimate| estimate.value);
        for (name, error) in [
            ("mean", relative(found.mean, 499.5 + offset)),
            ("variance", relative(found.gaussian_mle.powi(2), variance)),
            ("excess kurtosis", relative(excess, kurtosis)),
        ] {
            cases.push(Case::at_most(
                format!("{name} of 10⁷ whole numbers from {place} in one pass, relative error"),
                "discrete uniform law: 999/2, (10⁶ − 1)/12, −1.2(10⁶ + 1)/(10⁶ − 1); rounding",
                error,
                limit,
            ));
        }
        if offset == 0.0 {
            cases.extend(places_of(&found));
        }
    }
    cases
}

fn places_of(found: &StreamSummary) -> [Case; 2] {
    let unit = found.resolution;
    [
        Case::within(
            "median of these from the fine histogram, off by bins",
            "499.5; one bin, and half a step of the numbers",
            (found.median - 499.5) / unit,
            0.0,
            1.0 + 0.5 / unit,
        ),
        Case::within(
            "1.4826 · median absolute deviation of these over 1.4826 · 250",
            "250 of the uniform law; two bins and a step of the numbers",
            found.mad_sigma / (1.482_602_2 * 250.0),
            1.0,
            (2.0 * unit + 1.0) / 250.0,
        ),
    ]
}

fn gaussian() -> Vec<Case> {
    let n = 1_000_000;
    let rng = &mut rng(2);
    let mut streaming = Streaming::new(rng);
    for _ in 0..n / 1000 {
        streaming.push_slice(&normals(1000, rng));
    }
    let found = streaming.summary();
    [(0.975, 1.959_964, 0.058_45), (0.999, 3.090_232, 0.003_367)]
        .map(|(p, expected, density): (f64, f64, f64)| {
            Case::within(
                format!("Quantile at {p} of 10⁶ Gaussian numbers in one pass"),
                "`scipy.stats.norm.ppf`; 4 standard errors √(p(1 − p)/n)/φ, and one bin of the histogram",
                found.quantile(p),
                expected,
                STANDARD_ERRORS * (p * (1.0 - p) / f64::from(n)).sqrt() / density + found.resolution,
            )
        })
        .into()
}
