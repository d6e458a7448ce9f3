//! The training loop: of adapters, of the base, digital or on the simulated chip.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alora_calibration::{Event, Observer};
use burn::tensor::{Device, Tensor};
use ndarray::Array2;

use super::{
    BaseScope, DistillationConfig, FinetuneConfig, FinetuneError,
    checkpoint::{Checkpoint, Progress},
    device::compute_device,
    evaluation::refuse_other_shapes,
    fingerprint::fingerprint,
    law::stretched,
    loss::value,
    optimiser::Trained,
    ranging::static_ranges,
    statistics::RunningStatistics,
};
use crate::{
    dataset::{Batch, Dataset, Epoch, Loader, Pipeline},
    model::{AdapterSet, Model},
    network::{
        AdapterPass, Arithmetic, ConverterRanges, Mode, Network, Pass, Targets, Watch, adapters_from,
        constant, initial_adapters, initial_base, input_range_name, loss, stacked_adapters, with_base,
    },
    photonic::{ChipModel, RangeKind},
};

/// What a training run is given.
pub struct Job<'a> {
    /// The network to adapt.
    pub model: Arc<Model>,
    /// Adapters to go on from.
    pub adapters: Option<&'a AdapterSet>,
    /// Training images.
    pub data: &'a Dataset,
    /// From images to the network's input, with augmentation.
    pub pipeline: &'a Pipeline,
    /// The chip, with its whole error; techniques that are off leave their part of it out.
    pub chip: &'a ChipModel,
    /// Digital factors on inputs, by group.
    pub input_scales: BTreeMap<String, Arc<Vec<f32>>>,
    /// What is asked.
    pub config: &'a FinetuneConfig,
    /// Seed of initialisation, order, augmentation and fresh errors.
    pub seed: u64,
    /// Where the state is kept between steps, and gone on from where it is found.
    pub checkpoint: Option<&'a Path>,
}

/// What training gave.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneOutcome {
    /// The adapters; `None` where the base itself trained, or nothing did.
    pub adapters: Option<AdapterSet>,
    /// The network with adapters merged, or the trained base.
    pub merged: Arc<Model>,
    /// Ranges of static and learned converters after training.
    pub ranges: ConverterRanges,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Loss on the images kept aside after each epoch; empty without early stop.
    pub held_out: Vec<f64>,
    /// Values that trained.
    pub trainable: usize,
    /// Values of the base.
    pub total: usize,
}

/// Trains for `job.chip`.
///
/// With `techniques.lora` the base is frozen and only the adapters train; without it the base trains: on the chip with `qat` or
/// `nat`, in digital arithmetic with neither. The same arguments give the same result, on any number of threads.
///
/// # Errors
/// A value outside its range, images that do not fit the network, an error law that cannot be sampled so, a device that was
/// not compiled in, a loss that is no longer finite, a checkpoint of another run, or an interruption.
pub fn finetune(job: &Job<'_>, observer: &mut dyn Observer) -> Result<FinetuneOutcome, FinetuneError> {
    job.config.check()?;
    check_fit(job.data, &job.model)?;
    let mut training = Training::new(job)?;
    training.run(observer)?;
    training.outcome()
}

/// Refuses images and labels that the network cannot take.
pub(super) fn check_fit(data: &Dataset, model: &Model) -> Result<(), FinetuneError> {
    if data.is_empty() {
        return Err(FinetuneError::NoImages { name: data.name().to_owned() });
    }
    let classes = model.architecture().classes();
    match data.labels().into_iter().enumerate().find(|(_, label)| *label >= classes) {
        Some((index, label)) => {
            Err(FinetuneError::Label { name: data.name().to_owned(), index, label, classes })
        }
        None => Ok(()),
    }
}

struct Training<'a> {
    job: &'a Job<'a>,
    network: Network,
    teacher: Option<Network>,
    trained: Trained,
    statistics: RunningStatistics,
    device: Device,
    /// Images that train, and those kept aside.
    data: Dataset,
    aside: Option<Dataset>,
    progress: Progress,
    best: BTreeMap<String, Array2<f32>>,
}

impl<'a> Training<'a> {
    fn new(job: &'a Job<'a>) -> Result<Self, FinetuneError> {
        let config = job.config;
        let device = compute_device(config.device)?;
        let (data, aside) = if config.early_stop.patience > 0 {
            let (data, aside) = job.data.split(config.early_stop.held_out, job.seed)?;
            (data, Some(aside))
        } else {
            (job.data.clone(), None)
        };
        if let Some(adapters) = job.adapters.filter(|_| config.techniques.lora) {
            refuse_other_shapes(adapters, config.adapter.rank, config.adapter.alpha)?;
        }
        let arithmetic = arithmetic(job)?;
        let values = initial_values(job, &arithmetic);
        let progress = Progress { fingerprint: fingerprint(job, &values)?, ..Progress::default() };
        let network =
            Network::new(Arc::clone(&job.model), arithmetic, &|name| values.contains_key(name))?.on(&device);
        let teacher = (config.distillation.weight > 0.0)
            .then(|| Network::new(Arc::clone(&job.model), Arithmetic::Digital, &|_| false))
            .transpose()?;
        let trained = Trained::new(values, config.weight_decay, &device);
        let statistics = RunningStatistics::of(&job.model);
        let best = BTreeMap::new();
        let mut training =
            Self { job, network, teacher, trained, statistics, device, data, aside, progress, best };
        training.go_on()?;
        Ok(training)
    }

    /// Goes on from the checkpoint, if there is one.
    fn go_on(&mut self) -> Result<(), FinetuneError> {
        let Some(path) = self.job.checkpoint else { return Ok(()) };
        let Some(found) = Checkpoint::read(path, &self.progress.fingerprint)? else { return Ok(()) };
        self.trained.restore(found.values, found.moments, &self.device);
        self.statistics.restore(found.statistics);
        self.progress = found.progress;
        self.best = found.best;
        Ok(())
    }

    fn save(&self) -> Result<(), FinetuneError> {
        let Some(path) = self.job.checkpoint else { return Ok(()) };
        let checkpoint = Checkpoint {
            progress: self.progress.clone(),
            values: self.trained.values()?,
            moments: self.trained.moments()?,
            statistics: self.statistics.values().clone(),
            best: self.best.clone(),
        };
        checkpoint.write(path)
    }

    fn steps_per_epoch(&self) -> usize {
        self.data.len().div_ceil(self.job.config.batch_size)
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<(), FinetuneError> {
        let per_epoch = self.steps_per_epoch();
        let left = (self.job.config.epochs * per_epoch).saturating_sub(self.progress.step);
        observer.on(Event::Started { stage: self.stage(), steps: left as u64 });
        while self.progress.step < self.job.config.epochs * per_epoch && !self.stops_early() {
            self.epoch(per_epoch, observer)?;
        }
        observer.on(Event::Finished);
        Ok(())
    }

    fn stage(&self) -> &'static str {
        if self.job.config.techniques.train() { "fine-tuning" } else { "training" }
    }

    /// The rest of the present epoch.
    fn epoch(&mut self, per_epoch: usize, observer: &mut dyn Observer) -> Result<(), FinetuneError> {
        let config = self.job.config;
        let number = self.progress.step / per_epoch;
        let epoch = Epoch { seed: self.job.seed, number: number as u64 };
        let done = (self.progress.step % per_epoch) * config.batch_size;
        let order = epoch.order(self.data.len()).split_off(done);
        let loader = Loader::new(self.job.pipeline, &self.data, order, config.batch_size, Some(epoch))?;
        let mut sum = f64::from_bits(self.progress.sum);
        for batch in loader {
            let batch = batch?;
            let images = batch.labels.len();
            let loss = self.step(batch)?;
            if !loss.is_finite() {
                return Err(FinetuneError::Diverged { epoch: number + 1, loss });
            }
            sum += loss * images as f64;
            self.progress.step += 1;
            self.progress.sum = sum.to_bits();
            observer.on(Event::Step);
            if self.progress.step.is_multiple_of(per_epoch) {
                break;
            }
            if config.checkpoint_steps > 0 && self.progress.step.is_multiple_of(config.checkpoint_steps) {
                self.save()?;
            }
            if observer.interrupted() {
                self.save()?;
                return Err(FinetuneError::Interrupted);
            }
        }
        let mean = sum / self.data.len() as f64;
        self.progress.losses.push(mean.to_bits());
        self.progress.sum = 0.0_f64.to_bits();
        let aside = self.note_held_out()?;
        let aside = aside.map_or_else(String::new, |loss| format!(", {loss:.4} on images kept aside"));
        observer.on(Event::Note(format!("epoch {} of {}: loss {mean:.4}{aside}", number + 1, config.epochs)));
        // Only now is the epoch whole: its loss is noted, and the next starts from 0.
        self.save()?;
        if observer.interrupted() { Err(FinetuneError::Interrupted) } else { Ok(()) }
    }

    /// One step; its loss.
    fn step(&mut self, batch: Batch) -> Result<f64, FinetuneError> {
        let config = self.job.config;
        let steps = config.epochs * self.steps_per_epoch();
        let step = self.progress.step;
        let teacher = self.teach(&batch)?;
        let watch = self.trains_norms().then(Watch::norms);
        let parameters = self.parameters(self.trained.tensors().clone());
        let pass = Pass {
            trained: &parameters,
            adapter: self.adapter(),
            mode: Mode::Training,
            seed: step_seed(self.job.seed, step),
            error_factor: ramp(step, steps, config.sigma_ramp),
            watch: watch.as_ref(),
        };
        let logits = self.network.forward(batch.images, &pass)?;
        let DistillationConfig { weight, temperature } = config.distillation;
        let loss = loss(logits, Targets { labels: batch.labels, teacher, weight, temperature });
        let rate = config.learning_rate * config.schedule.factor(step, steps, config.warmup);
        self.trained.step(&loss, rate, config.gradient_norm)?;
        if let Some(watch) = &watch {
            self.statistics.follow(watch.take_moments());
        }
        value(&loss)
    }

    /// Logits of the digital network.
    fn teach(&self, batch: &Batch) -> Result<Option<Vec<f32>>, FinetuneError> {
        let Some(teacher) = &self.teacher else { return Ok(None) };
        let own = BTreeMap::new();
        let logits = teacher.forward(batch.images.clone(), &Pass::inference(&own, None, 0))?;
        Ok(Some(crate::network::matrix(logits)?.into_raw_vec_and_offset().0))
    }

    /// Whether batch norms follow the batches: where all of the base trains.
    fn trains_norms(&self) -> bool {
        !self.job.config.techniques.lora
            && self.job.config.scope == BaseScope::All
            && !self.statistics.is_empty()
    }

    fn adapter(&self) -> Option<AdapterPass> {
        let config = self.job.config;
        config.techniques.lora.then(|| AdapterPass {
            factor: config.adapter.alpha / config.adapter.rank as f32,
            dropout: config.adapter.dropout,
        })
    }

    /// What the network is run with: `trained`, and the running statistics.
    fn parameters(&self, mut trained: BTreeMap<String, Tensor<2>>) -> BTreeMap<String, Tensor<2>> {
        let plain = self.device.clone().inner();
        for (name, values) in self.statistics.values() {
            trained.insert(name.clone(), constant(values.clone(), &plain));
        }
        trained
    }

    /// Loss on the images kept aside; keeps the best values.
    fn note_held_out(&mut self) -> Result<Option<f64>, FinetuneError> {
        let Some(aside) = &self.aside else { return Ok(None) };
        let parameters = self.parameters(self.trained.frozen());
        let mut sum = 0.0;
        let order: Vec<usize> = (0..aside.len()).collect();
        for (index, indices) in order.chunks(self.job.config.batch_size).enumerate() {
            let batch = self.job.pipeline.batch(aside, indices, None)?;
            // The same errors after each epoch: what changes is the network.
            let pass = Pass::inference(&parameters, self.adapter(), step_seed(!self.job.seed, index));
            let logits = self.network.forward(batch.images, &pass)?;
            let targets = Targets { labels: batch.labels, teacher: None, weight: 0.0, temperature: 1.0 };
            sum += value(&loss(logits, targets))? * indices.len() as f64;
        }
        let mean = sum / aside.len().max(1) as f64;
        let best =
            self.progress.held_out.iter().map(|bits| f64::from_bits(*bits)).fold(f64::INFINITY, f64::min);
        if mean < best {
            self.best = self.trained.values()?;
            // Values without the statistics that they were judged with would be another network.
            self.best.extend(self.statistics.values().clone());
        }
        self.progress.held_out.push(mean.to_bits());
        Ok(Some(mean))
    }

    fn stops_early(&self) -> bool {
        let patience = self.job.config.early_stop.patience;
        let losses: Vec<f64> = self.progress.held_out.iter().map(|bits| f64::from_bits(*bits)).collect();
        let best = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        patience > 0 && best.is_some_and(|(epoch, _)| losses.len() - 1 - epoch >= patience)
    }

    fn outcome(mut self) -> Result<FinetuneOutcome, FinetuneError> {
        let config = self.job.config;
        let values =
            if self.best.is_empty() { self.trained.values()? } else { self.statistics.part(self.best) };
        let trainable = values.values().map(Array2::len).sum();
        let total = self.job.model.architecture().parameters();
        let mut ranges = match self.network.arithmetic() {
            Arithmetic::Chip { ranges, .. } => ranges.clone(),
            Arithmetic::Digital => ConverterRanges::default(),
        };
        for (group, range) in &mut ranges.input {
            if let Some(learned) = values.get(&input_range_name(group)).and_then(|values| values.first()) {
                *range = *learned;
            }
        }
        let model = &self.job.model;
        let (adapters, merged) = if config.techniques.lora {
            let (rank, alpha) = (config.adapter.rank, config.adapter.alpha);
            let adapters = adapters_from(model.architecture(), &values, rank, alpha)?;
            let set = AdapterSet::new(adapters, model.architecture())?;
            let merged = set.merged(model)?;
            (Some(set), merged)
        } else {
            let mut weights = with_base(model, &values)?;
            self.statistics.write_into(&mut weights);
            (None, Model::new(model.architecture().clone(), weights)?)
        };
        let losses = |bits: &[u64]| bits.iter().map(|bits| f64::from_bits(*bits)).collect();
        Ok(FinetuneOutcome {
            adapters,
            merged: Arc::new(merged),
            ranges,
            losses: losses(&self.progress.losses),
            held_out: losses(&self.progress.held_out),
            trainable,
            total,
        })
    }
}

/// What computes the products while training: the chip with the parts that the techniques show.
fn arithmetic(job: &Job<'_>) -> Result<Arithmetic, FinetuneError> {
    let techniques = job.config.techniques;
    if !(techniques.qat || techniques.nat) {
        return Ok(Arithmetic::Digital);
    }
    let error = job.chip.error.clone().filter(|_| techniques.nat && job.config.sigma_factor > 0.0);
    let chip = ChipModel {
        precision: job.chip.precision.filter(|_| techniques.qat),
        error: error.map(|law| stretched(law, job.config.sigma_factor)),
        sampling: job.config.sampling,
        ..job.chip.clone()
    };
    chip.check().map_err(crate::network::NetworkError::from)?;
    let ranges = static_ranges(&job.model, &chip, &job.input_scales, job.data, job.pipeline)?;
    Ok(Arithmetic::Chip { chip, ranges, input_scales: job.input_scales.clone() })
}

/// What trains, as it starts.
fn initial_values(job: &Job<'_>, arithmetic: &Arithmetic) -> BTreeMap<String, Array2<f32>> {
    let config = job.config;
    let architecture = job.model.architecture();
    let (rank, bias) = (config.adapter.rank, config.adapter.bias);
    if !config.techniques.lora {
        return initial_base(&job.model, config.scope == BaseScope::Head);
    }
    let mut values = match job.adapters {
        Some(set) => stacked_adapters(architecture, set, rank, bias),
        None => initial_adapters(architecture, rank, bias, job.seed),
    };
    if let Arithmetic::Chip { chip, ranges, .. } = arithmetic
        && chip.mapping.input_range == RangeKind::Learned
    {
        for (group, range) in &ranges.input {
            values.insert(input_range_name(group), Array2::from_elem((1, 1), *range));
        }
    }
    values
}

/// A seed for a step: neighbouring steps and seeds do not share random numbers.
pub(super) fn step_seed(seed: u64, step: usize) -> u64 {
    // SplitMix64 (Steele et al., OOPSLA 2014).
    let mut z = seed.wrapping_add((step as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Factor on the error at step `done` of `steps`: rises to 1 over the first `part` of them.
fn ramp(done: usize, steps: usize, part: f64) -> f32 {
    if part <= 0.0 { 1.0 } else { (((done + 1) as f64) / (part * steps as f64).max(1.0)).min(1.0) as f32 }
}
