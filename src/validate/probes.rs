//! Error of a weight by the basis of the probe.

use alora_calibration::statistics::{
    noise_law::NoiseLaw,
    probe::{AdcRange, Basis, MatrixScale, predict},
};
use tokio::runtime::Handle;

use super::Case;
use crate::error::Error;

/// Basis, figure, half of its last digit, relative scatter of one run.
type Figure = (Basis, f64, f64, f64);

/// Relative standard error of an rms of 64 × 64 errors, `1/√(2·4096)`.
const ONE_RUN: f64 = 0.011;

/// Under RIN the 64 readings of the all-ones pattern hold ¾ of the variance of a signed basis: `0.75/√(2·64)`.
const FEW_READINGS: f64 = 0.066;

/// The step of a converter follows the largest reading, which varies by 2.8 %.
const LARGEST: f64 = 0.028;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    use Basis::{OneHot, SMatrix, SignedHadamard, SplitHadamard};
    let noises: [(&str, NoiseLaw, AdcRange, &[Figure]); 4] = [
        (
            "additive noise 1",
            NoiseLaw::new(1.0, 0.0, 0.0),
            AdcRange::Ideal,
            &[
                (OneHot, 1.0, 0.005, ONE_RUN),
                (SignedHadamard, 0.125, 0.0005, ONE_RUN),
                (SplitHadamard, 0.176, 0.0005, ONE_RUN),
                (SMatrix, 0.25, 0.005, ONE_RUN),
            ],
        ),
        (
            "shot noise, variance = reading",
            NoiseLaw::new(0.0, 1.0, 0.0),
            AdcRange::Ideal,
            &[
                (OneHot, 0.71, 0.005, ONE_RUN),
                (SplitHadamard, 0.70, 0.005, ONE_RUN),
                (SMatrix, 0.99, 0.005, ONE_RUN),
            ],
        ),
        (
            "RIN 1 %",
            NoiseLaw::new(0.0, 0.0, 1e-4),
            AdcRange::Ideal,
            &[
                (OneHot, 0.0058, 0.000_05, ONE_RUN),
                (SignedHadamard, 0.0059, 0.000_05, FEW_READINGS),
                (SplitHadamard, 0.028, 0.0005, ONE_RUN),
                (SMatrix, 0.040, 0.0005, ONE_RUN),
            ],
        ),
        (
            "8-bit converter, range to the largest reading",
            NoiseLaw::default(),
            AdcRange::Rescaled { bits: 8 },
            &[
                (OneHot, 0.0011, 0.000_05, ONE_RUN),
                (SignedHadamard, 0.0053, 0.000_05, LARGEST),
                (SplitHadamard, 0.0077, 0.000_05, LARGEST),
                (SMatrix, 0.0059, 0.000_05, LARGEST),
            ],
        ),
    ];
    let mut cases = Vec::new();
    for (noise, law, adc, figures) in noises {
        for &(basis, figure, rounding, run) in figures {
            let inputs = if basis == SMatrix { 63 } else { 64 };
            let found = predict(basis, inputs, &law, &MatrixScale::uniform_unipolar(64), adc);
            cases.push(Case::within(
                format!("Error of a weight by {}, N = {inputs}: {noise}", basis.name()),
                "independent simulation of one matrix, weights uniform in [0, 1]; 4 standard errors of one run, and its rounding",
                found.variance.sqrt(),
                figure,
                rounding + 4.0 * run * figure,
            ));
        }
    }
    Ok(cases)
}
