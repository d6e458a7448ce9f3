//! Accuracy of a network: digital, quantised, with fresh errors, on frozen chips.

use std::{collections::BTreeMap, sync::Arc};

use alora_calibration::{ErrorLaw, ErrorModel, Event, Observer};
use burn::tensor::{Device, Tensor};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{
    FinetuneError,
    law::scaled_law,
    training::{check_fit, step_seed},
};
use crate::{
    dataset::{Dataset, Epoch, Loader, Pipeline},
    model::{AdapterSet, Model},
    network::{
        AdapterPass, Arithmetic, BatchMoments, ConverterRanges, Network, Pass, Watch, constant, matrix,
        stacked_adapters,
    },
    photonic::{ChipModel, Sampling},
};

/// Right answers among `n` images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub fn of(logits: ArrayView2<'_, f32>, labels: &[usize]) -> Self {
        let right = |(row, &label): (ndarray::ArrayView1<'_, f32>, &usize)| {
            let expected = row[label];
            row.iter().enumerate().all(|(class, &value)| class == label || value < expected)
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

    fn add(&mut self, other: Self) {
        self.correct += other.correct;
        self.n += other.n;
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

/// A network to be evaluated.
#[derive(Clone)]
pub struct Subject<'a> {
    /// The network.
    pub model: Arc<Model>,
    /// Its adapters.
    pub adapters: AdapterUse<'a>,
    /// Ranges of static and learned converters.
    pub ranges: ConverterRanges,
    /// Digital factors on inputs, by group.
    pub input_scales: BTreeMap<String, Arc<Vec<f32>>>,
}

impl<'a> Subject<'a> {
    /// `model` with dynamic ranges and plain inputs.
    #[must_use]
    pub fn new(model: Arc<Model>, adapters: AdapterUse<'a>) -> Self {
        Self { model, adapters, ranges: ConverterRanges::default(), input_scales: BTreeMap::new() }
    }
}

/// Images that a network is evaluated on.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// Images and labels.
    pub data: &'a Dataset,
    /// From images to the network's input.
    pub pipeline: &'a Pipeline,
    /// Images at a time.
    pub batch_size: usize,
}

/// A subject ready to run.
struct Runner {
    network: Network,
    parameters: BTreeMap<String, Tensor<2>>,
    adapter: Option<AdapterPass>,
}

impl Runner {
    /// `subject` on `chip`, or in digital arithmetic.
    fn new(subject: &Subject<'_>, chip: Option<&ChipModel>) -> Result<Self, FinetuneError> {
        let model = match subject.adapters {
            AdapterUse::Merged(adapters) => Arc::new(adapters.merged(&subject.model)?),
            AdapterUse::None | AdapterUse::Parallel(_) => Arc::clone(&subject.model),
        };
        let arithmetic = match chip {
            None => Arithmetic::Digital,
            Some(chip) => Arithmetic::Chip {
                chip: chip.clone(),
                ranges: subject.ranges.clone(),
                input_scales: subject.input_scales.clone(),
            },
        };
        let (parameters, adapter) = match subject.adapters {
            AdapterUse::Parallel(set) => parallel(set, &model)?,
            AdapterUse::None | AdapterUse::Merged(_) => (BTreeMap::new(), None),
        };
        Ok(Self { network: Network::new(model, arithmetic, &|_| false)?, parameters, adapter })
    }

    fn logits(&self, images: Array2<f32>, seed: u64) -> Result<Array2<f32>, FinetuneError> {
        let pass = Pass::inference(&self.parameters, self.adapter, seed);
        Ok(matrix(self.network.forward(images, &pass)?)?)
    }

    fn accuracy(&self, trial: Trial<'_>, seed: u64) -> Result<Accuracy, FinetuneError> {
        let order = (0..trial.data.len()).collect();
        let loader = Loader::new(trial.pipeline, trial.data, order, trial.batch_size, None)?;
        let mut accuracy = Accuracy::default();
        for (index, batch) in loader.enumerate() {
            let batch = batch?;
            let logits = self.logits(batch.images, step_seed(seed, index))?;
            accuracy.add(Accuracy::of(logits.view(), &batch.labels));
        }
        Ok(accuracy)
    }
}

/// Adapters beside the chip, stacked by group.
fn parallel(
    set: &AdapterSet,
    model: &Model,
) -> Result<(BTreeMap<String, Tensor<2>>, Option<AdapterPass>), FinetuneError> {
    // They may not be those of this network.
    set.check(model.architecture())?;
    let Some((_, first)) = set.iter().next() else { return Ok((BTreeMap::new(), None)) };
    let (rank, factor) = (first.rank(), first.factor());
    refuse_other_shapes(set, rank, first.alpha)?;
    let bias = set.iter().any(|(_, adapter)| adapter.a_bias.is_some() || adapter.b_bias.is_some());
    let values = stacked_adapters(model.architecture(), set, rank, bias);
    let device = Device::flex();
    let tensors = values.into_iter().map(|(name, values)| (name, constant(values, &device))).collect();
    Ok((tensors, Some(AdapterPass { factor, dropout: 0.0 })))
}

/// Adapters are stacked by group, so all must have one rank and one α.
pub(super) fn refuse_other_shapes(set: &AdapterSet, rank: usize, alpha: f32) -> Result<(), FinetuneError> {
    match set.iter().find(|(_, adapter)| adapter.rank() != rank || adapter.alpha != alpha) {
        Some((layer, adapter)) => Err(FinetuneError::AdapterShape {
            layer: layer.to_owned(),
            rank: adapter.rank(),
            alpha: adapter.alpha,
            expected_rank: rank,
            expected_alpha: alpha,
        }),
        None => Ok(()),
    }
}

/// Accuracy of `subject` on `chip`, or in digital arithmetic without one. The same arguments give the same result.
///
/// # Errors
/// Images or adapters that do not fit the network, or an error law that cannot be sampled so.
pub fn evaluate(
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: Option<&ChipModel>,
    seed: u64,
) -> Result<Accuracy, FinetuneError> {
    check_fit(trial.data, &subject.model)?;
    Runner::new(subject, chip)?.accuracy(trial, seed)
}

/// Outputs of `subject` for `images`, `[n, channels · height · width]`: `[n, classes]`.
///
/// # Errors
/// As [`evaluate`].
pub fn logits(
    subject: &Subject<'_>,
    images: Array2<f32>,
    chip: Option<&ChipModel>,
    seed: u64,
) -> Result<Array2<f32>, FinetuneError> {
    Runner::new(subject, chip)?.logits(images, seed)
}

/// `subject` and its model with batch-norm statistics estimated again over `batches` batches of `trial` on `chip`: errors of the
/// chip shift and widen the activations that norms expect (AdaBS: Joshi et al., Nat. Commun. 11, 2473 (2020)). Moments are the
/// means over the batches. A network without batch norms comes back as it was.
///
/// # Errors
/// As [`evaluate`].
pub fn reestimate_norms(
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: Option<&ChipModel>,
    batches: usize,
    seed: u64,
) -> Result<Model, FinetuneError> {
    let runner = Runner::new(subject, chip)?;
    let watch = Watch::norms();
    let order = Epoch { seed, number: 0 }.order(trial.data.len());
    for (index, indices) in order.chunks(trial.batch_size).take(batches).enumerate() {
        let batch = trial.pipeline.batch(trial.data, indices, None)?;
        let pass = Pass::inference(&runner.parameters, runner.adapter, step_seed(seed, index));
        runner.network.forward(batch.images, &Pass { watch: Some(&watch), ..pass })?;
    }
    let (architecture, mut weights) = Model::clone(&subject.model).into_parts();
    for (norm, batches) in watch.take_moments() {
        let count = batches.len() as f32;
        for part in ["running_mean", "running_var"] {
            let Some(parameter) = weights.get_mut(&format!("{norm}.{part}")) else { continue };
            parameter.values.fill(0.0);
            for BatchMoments { moments, .. } in &batches {
                let values = if part == "running_mean" { &moments.mean } else { &moments.variance };
                parameter.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / count);
            }
        }
    }
    Ok(Model::new(architecture, weights)?)
}

/// Accuracies over draws or chips, as parts of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// 5th percentile, interpolated between order statistics.
    pub p5: f64,
    /// Each, in the order of the seeds.
    pub values: Vec<f64>,
    /// Seed of each.
    pub seeds: Vec<u64>,
}

impl Spread {
    fn of(values: Vec<f64>, seeds: Vec<u64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let place = 0.05 * (sorted.len().saturating_sub(1)) as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        let at = |index: usize| sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0);
        Self {
            mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
            min: at(0),
            max: at(sorted.len().saturating_sub(1)),
            p5: at(below) + part * (at(below + 1) - at(below)),
            values,
            seeds,
        }
    }
}

/// What a network is worth on a kind of chip, in simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images.
    pub images: usize,
    /// f32.
    pub digital: f64,
    /// With converters, without error.
    pub quantised: f64,
    /// With errors drawn anew for each vector (each step for laws that cannot be), one value a draw.
    pub fresh: Option<Spread>,
    /// With errors frozen on each of several chips.
    pub frozen: Option<Spread>,
}

/// What a network is worth without errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WithoutError {
    /// In f32.
    pub digital: Accuracy,
    /// With converters.
    pub quantised: Accuracy,
}

/// Evaluates `subject` in digital arithmetic, and on `chip` without its error. `observer` gets a step for each.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_without_error(
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: &ChipModel,
    observer: &mut dyn Observer,
) -> Result<WithoutError, FinetuneError> {
    observer.on(Event::Started { stage: "evaluation without error", steps: 2 });
    // Nothing is drawn: any seed will do.
    let digital = evaluate(subject, trial, None, 0)?;
    observer.on(Event::Step);
    let quiet = ChipModel { error: None, sampling: Sampling::PerExecution, ..chip.clone() };
    let quantised = evaluate(subject, trial, Some(&quiet), 0)?;
    observer.on(Event::Step);
    observer.on(Event::Finished);
    Ok(WithoutError { digital, quantised })
}

/// Evaluates `subject` in digital arithmetic, quantised, with fresh errors `draws` times and on `chips` frozen chips. `observer`
/// gets a step for each.
///
/// # Errors
/// As [`evaluate`], or an interruption.
pub fn evaluate_all(
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: &ChipModel,
    draws: usize,
    chips: usize,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Evaluation, FinetuneError> {
    let without = evaluate_without_error(subject, trial, chip, observer)?;
    let [fresh, frozen] = evaluate_under_error(subject, trial, chip, [draws, chips], seed, observer)?;
    Ok(Evaluation {
        images: without.digital.n,
        digital: without.digital.fraction(),
        quantised: without.quantised.fraction(),
        fresh,
        frozen,
    })
}

/// Evaluates `subject` with fresh errors so many times and on so many frozen chips: a spread of each; `None` where there is nothing
/// to draw. `observer` gets a step for each.
///
/// # Errors
/// As [`evaluate`], or an interruption.
pub fn evaluate_under_error(
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: &ChipModel,
    [draws, chips]: [usize; 2],
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<[Option<Spread>; 2], FinetuneError> {
    // A measured map is one chip; there is nothing to draw.
    let mapped = matches!(chip.error, Some(ErrorLaw::Map { .. }));
    let (draws, chips) = match (&chip.error, mapped) {
        (None, _) => return Ok([None, None]),
        (Some(_), true) => (0, 1),
        (Some(_), false) => (draws, chips),
    };
    observer.on(Event::Started { stage: "evaluation under error", steps: (draws + chips) as u64 });
    let mut run = |count: usize, sampling: &dyn Fn(u64) -> Sampling| {
        let seeds: Vec<u64> = (0..count).map(|index| step_seed(seed, index) >> 1).collect();
        let mut values = Vec::with_capacity(count);
        let on = |seed| Runner::new(subject, Some(&ChipModel { sampling: sampling(seed), ..chip.clone() }));
        // Fresh errors leave the programming alone: one network serves all draws.
        let frozen = matches!(sampling(0), Sampling::Frozen { .. });
        let shared = if frozen { None } else { Some(on(0)?) };
        for &seed in &seeds {
            let accuracy = match &shared {
                Some(shared) => shared.accuracy(trial, seed)?,
                None => on(seed)?.accuracy(trial, seed)?,
            };
            values.push(accuracy.fraction());
            observer.on(Event::Step);
            if observer.interrupted() {
                return Err(FinetuneError::Interrupted);
            }
        }
        Ok(Spread::of(values, seeds))
    };
    let fresh_sampling = match chip.error {
        // Residuals cannot be drawn per execution.
        Some(ErrorLaw::Empirical { .. }) => Sampling::PerStep,
        _ => Sampling::PerExecution,
    };
    let fresh = if draws > 0 { Some(run(draws, &|_| fresh_sampling)?) } else { None };
    let frozen_sampling = |seed| if mapped { Sampling::Map } else { Sampling::Frozen { chip_seed: seed } };
    let frozen = if chips > 0 { Some(run(chips, &frozen_sampling)?) } else { None };
    observer.on(Event::Finished);
    Ok([fresh, frozen])
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
    subject: &Subject<'_>,
    trial: Trial<'_>,
    chip: &ChipModel,
    error: &ErrorModel,
    sigmas: &[f64],
    seed: u64,
) -> Result<Vec<CurvePoint>, FinetuneError> {
    let mut points = Vec::with_capacity(sigmas.len());
    for &sigma in sigmas {
        let chip = ChipModel { error: scaled_law(error, sigma)?, ..chip.clone() };
        let accuracy = evaluate(subject, trial, Some(&chip), seed)?;
        points.push(CurvePoint { sigma, accuracy });
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::array;

    use super::*;

    #[test]
    fn a_row_with_nan_and_a_tie_are_no_right_answers() {
        let logits = array![[1.0_f32, 2.0], [2.0, 1.0], [3.0, 3.0], [f32::NAN, 0.0]];
        assert_eq!(Accuracy::of(logits.view(), &[1, 0, 0, 1]), Accuracy { correct: 2, n: 4 });
    }

    #[test]
    fn the_fifth_percentile_lies_between_the_two_lowest_of_eleven() {
        let spread = Spread::of((0..11).rev().map(f64::from).collect(), (0..11).collect());
        assert_eq!((spread.min, spread.p5, spread.max, spread.mean), (0.0, 0.5, 10.0, 5.0));
    }
}
