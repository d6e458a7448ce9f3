//! Shared by the coherent tests: a calibrated mock, and its σ in plain code of its own.

use alora_calibration::{
    Calibration, CalibrationPlan, Probe, Processor, Provenance, Silent, WeightMatrix, calibrate,
};
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{CoherentMock, CoherentSpec, Script},
};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) async fn calibrated(spec: CoherentSpec, seed: u64, script: Script) -> (Processor, Calibration) {
    let sheet = DataSheet::Coherent(spec.data_sheet());
    let mut mock = CoherentMock::new(spec, seed, script);
    let provenance = Provenance::of(mock.descriptor(), "2025-01-01T00:00:00Z".into(), seed);
    let calibration =
        calibrate(&mut mock, &sheet, &CalibrationPlan::default(), provenance, &mut Silent).await.unwrap();
    (Processor::new(Box::new(mock), &calibration).unwrap(), calibration)
}

/// Uniform in [−1, 1], scaled so that the largest magnitude is 1.
pub(crate) fn random_target(modes: usize, rng: &mut ChaCha8Rng) -> WeightMatrix {
    let mut target = Array2::from_shape_simple_fn((modes, modes), || rng.random_range(-1.0..1.0));
    let largest = target.iter().fold(0.0, |max: f64, w: &f64| max.max(w.abs()));
    target /= largest;
    WeightMatrix::new(target).unwrap()
}

/// Error of `programmings` random matrices read `repeats` times each, fractions of full scale = max|target| = 1.
pub(crate) struct ProgrammingError {
    /// rms over cells of (mean over repeats − target), read-out component removed.
    pub(crate) programming: f64,
    /// rms of (expected by the model − target): rounding of the codes.
    pub(crate) rounding: f64,
    pub(crate) saturated: usize,
    /// Each cell's residual.
    pub(crate) residuals: Vec<f64>,
}

pub(crate) async fn programming_error(
    processor: &mut Processor,
    seed: u64,
    programmings: usize,
    repeats: usize,
) -> ProgrammingError {
    let modes = processor.descriptor().outputs;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let (mut residuals, mut within, mut rounding, mut saturated) = (Vec::new(), 0.0, 0.0, 0);
    for _ in 0..programmings {
        let target = random_target(modes, &mut rng);
        let programmed = processor.program(&target).await.unwrap();
        rounding += (&programmed.expected - &target.view()).iter().map(|e| e * e).sum::<f64>();
        let read = processor.read_weights(Probe::OneHot, repeats).await.unwrap();
        saturated += read.saturated;
        within += read.values.var_axis(Axis(0), 1.0).sum();
        let mean = read.values.mean_axis(Axis(0)).unwrap();
        residuals.extend((&mean - &target.view()).iter().copied());
    }
    let n = residuals.len() as f64;
    let square = residuals.iter().map(|r| r * r).sum::<f64>() / n;
    ProgrammingError {
        programming: (square - within / n / repeats as f64).max(0.0).sqrt(),
        rounding: (rounding / n).sqrt(),
        saturated,
        residuals,
    }
}
