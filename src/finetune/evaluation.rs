//! Accuracy of a network, in digital arithmetic or on a simulated chip.

use alora_calibration::ErrorModel;
use ndarray::{Array2, ArrayView2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    ChipModel, FinetuneError,
    batches::check_fit,
    chip::scaled_law,
    execution::{execute, sent},
    programmed::Programmed,
};
use crate::{
    dataset::Dataset,
    model::{AdapterSet, Mlp},
};

/// Images that share one δW under [`Sampling::PerStep`](super::Sampling::PerStep).
const STEP: usize = 200;

/// Right answers among `n` images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Images with the right class.
    pub correct: usize,
    /// Images.
    pub n: usize,
}

impl Accuracy {
    /// Right answers among `labels`; the answer to a row of `logits`, `[n, classes]`, is its largest entry.
    ///
    /// A row that holds NaN has no right answer.
    #[must_use]
    pub fn of(logits: ArrayView2<'_, f32>, labels: &[u8]) -> Self {
        let right = |(row, &label): (ndarray::ArrayView1<'_, f32>, &u8)| {
            let expected = row[usize::from(label)];
            row.iter().enumerate().all(|(class, &value)| class == usize::from(label) || value < expected)
        };
        Self {
            correct: logits.rows().into_iter().zip(labels).filter(|pair| right((pair.0, pair.1))).count(),
            n: labels.len(),
        }
    }

    /// Part of right answers, 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.correct as f64 / self.n.max(1) as f64
    }
}

/// Where a network's adapters run.
#[derive(Clone, Copy, Debug, Default)]
pub enum AdapterUse<'a> {
    /// There are none.
    #[default]
    None,
    /// Merged into the weights that are written to the chip.
    Merged(&'a AdapterSet),
    /// Beside the chip, in digital arithmetic.
    Parallel(&'a AdapterSet),
}

/// How a network is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// The chip; `None` for digital arithmetic.
    pub chip: Option<&'a ChipModel>,
    /// Adapters.
    pub adapters: AdapterUse<'a>,
    /// Seed of errors that are drawn anew.
    pub seed: u64,
}

/// Accuracy of `model` on `data` under `conditions`. The same arguments give the same result.
///
/// # Errors
/// Images or adapters that do not fit the network, or an error law that cannot be sampled so.
pub fn evaluate(model: &Mlp, data: &Dataset, conditions: &Conditions<'_>) -> Result<Accuracy, FinetuneError> {
    check_fit(data, model)?;
    Ok(Accuracy::of(logits(model, data.images.view(), conditions)?.view(), &data.labels))
}

/// A point of an accuracy curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// rms of δW, in units of full scale.
    pub sigma: f64,
    /// Accuracy there.
    pub accuracy: Accuracy,
}

/// σ of the usual curve, in units of full scale: 0 to 10 %.
pub const CURVE_SIGMAS: [f64; 7] = [0.0, 0.005, 0.012, 0.02, 0.03, 0.05, 0.1];

/// Accuracy on `chip` with the law of `error` stretched to each of `sigmas`, in units of full scale. The error of `chip` itself
/// is not used.
///
/// # Errors
/// Those of [`evaluate`], or a law that cannot be stretched.
pub fn accuracy_curve(
    model: &Mlp,
    data: &Dataset,
    chip: &ChipModel,
    adapters: AdapterUse<'_>,
    error: &ErrorModel,
    sigmas: &[f64],
    seed: u64,
) -> Result<Vec<CurvePoint>, FinetuneError> {
    let mut points = Vec::with_capacity(sigmas.len());
    for &sigma in sigmas {
        let chip = ChipModel { error: scaled_law(error, sigma)?, ..chip.clone() };
        let accuracy = evaluate(model, data, &Conditions { chip: Some(&chip), adapters, seed })?;
        points.push(CurvePoint { sigma, accuracy });
    }
    Ok(points)
}

/// Outputs of `model` for `inputs`, `[n, in]`, under `conditions`: `[n, classes]`.
///
/// # Errors
/// Adapters that do not fit the network, or an error law that cannot be sampled so.
pub fn logits(
    model: &Mlp,
    inputs: ArrayView2<'_, f32>,
    conditions: &Conditions<'_>,
) -> Result<Array2<f32>, FinetuneError> {
    let merged = match conditions.adapters {
        AdapterUse::Merged(adapters) => Some(adapters.merged(model)?),
        AdapterUse::None | AdapterUse::Parallel(_) => None,
    };
    let parallel = match conditions.adapters {
        // Checked against this network, which may not be the one they were made for.
        AdapterUse::Parallel(adapters) => Some(AdapterSet::new(adapters.adapters().to_vec(), model)?),
        AdapterUse::None | AdapterUse::Merged(_) => None,
    };
    let model = merged.as_ref().unwrap_or(model);
    let mut rng = ChaCha8Rng::seed_from_u64(conditions.seed);
    let mut x = inputs.to_owned();
    for (index, layer) in model.layers().iter().enumerate() {
        if index > 0 {
            x.mapv_inplace(|value| value.max(0.0));
        }
        let mut y = match conditions.chip {
            Some(chip) => on_chip(x.clone(), layer.weight.view(), chip, index as u64, &mut rng)?,
            None => x.dot(&layer.weight.t()),
        };
        if let Some(adapters) = &parallel {
            let adapter = &adapters.adapters()[index];
            y += &(x.dot(&adapter.a.t()).dot(&adapter.b.t()) * adapter.factor());
        }
        y += &layer.bias;
        x = y;
    }
    Ok(x)
}

fn on_chip(
    inputs: Array2<f32>,
    weight: ArrayView2<'_, f32>,
    chip: &ChipModel,
    layer: u64,
    rng: &mut ChaCha8Rng,
) -> Result<Array2<f32>, FinetuneError> {
    chip.check()?;
    let mut programmed = Programmed::new(weight, chip, layer)?;
    let vectors = sent(inputs, &programmed);
    if !programmed.is_redrawn() {
        return Ok(execute(vectors.view(), &programmed, rng.random()));
    }
    let mut outputs = Array2::zeros((vectors.nrows(), weight.nrows()));
    for start in (0..vectors.nrows()).step_by(STEP) {
        let step = s![start..(start + STEP).min(vectors.nrows()), ..];
        let seed = rng.random();
        programmed.redraw(seed);
        outputs.slice_mut(step).assign(&execute(vectors.slice(step), &programmed, seed));
    }
    Ok(outputs)
}
