//! The photon-transfer curve of counted photons.

use alora_calibration::statistics::noise_law::{TransferPoint, transfer_curve};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, mean, normal, rng, rounded_up, variance},
};
use crate::error::Error;

/// Reading per photon, read-out noise, relative intensity noise.
const GAIN: f64 = 0.002;
const READ: f64 = 0.004;
const RIN: f64 = 0.03;

const SEEDS: u64 = 200;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let laws: Vec<_> =
        (0..SEEDS).filter_map(|seed| transfer_curve(&curve(&mut rng(seed)))).map(|curve| curve.law).collect();
    let case = |name: &str, values: Vec<f64>, expected: f64| {
        let error = (variance(&values) / values.len() as f64).sqrt();
        Case::within(
            format!("Photon-transfer curve of Poisson counts: {name} over what was put in"),
            "Poisson law: variance = read-out² + gain · mean + RIN² · mean²; 4 standard errors of 200 curves",
            mean(&values) / expected,
            1.0,
            rounded_up(STANDARD_ERRORS * error / expected),
        )
    };
    Ok(vec![
        case("additive variance", laws.iter().map(|law| law.additive).collect(), READ * READ),
        case("slope, the reading per photon", laws.iter().map(|law| law.shot).collect(), GAIN),
        case("multiplicative variance", laws.iter().map(|law| law.relative).collect(), RIN * RIN),
        Case::at_most(
            "Curves of these that could not be fitted",
            "every one has 3 terms and 40 signals; a count",
            (SEEDS as usize - laws.len()) as f64,
            0.0,
        ),
    ])
}

/// 40 signals up to 1, i.e. 500 photons, each read 200 times. The laser's noise moves the mean of a Poisson law.
fn curve(rng: &mut ChaCha8Rng) -> Vec<TransferPoint> {
    (1..=40)
        .filter_map(|level| {
            let photons = f64::from(level) / 40.0 / GAIN;
            let readings: Vec<f64> = (0..200)
                .map(|_| {
                    let lit = (photons * (1.0 + RIN * normal(rng))).max(1e-9);
                    let count = Poisson::new(lit).map_or(f64::NAN, |law| law.sample(rng));
                    GAIN * count + READ * normal(rng)
                })
                .collect();
            TransferPoint::of(&readings)
        })
        .collect()
}
