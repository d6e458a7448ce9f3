//! Training of a new classification head on frozen features, in digital arithmetic.

use std::{collections::BTreeMap, sync::Arc};

use alora_calibration::{Event, Observer};
use ndarray::{Array2, Axis};

use super::{
    FinetuneConfig, FinetuneError, device::compute_device, loss::value, optimiser::Trained,
    training::check_fit,
};
use crate::{
    dataset::{Dataset, Epoch, Loader, Pipeline},
    model::Model,
    network::{
        Arithmetic, Network, Pass, Targets, classify, constant, initial_base, loss, matrix, with_base,
    },
};

/// `model` with its head trained on `data`; the rest stays. Features of every image are computed once, without augmentation.
///
/// # Errors
/// Images that do not fit, or a loss that is no longer finite.
pub fn train_head(
    model: &Arc<Model>,
    data: &Dataset,
    pipeline: &Pipeline,
    config: &FinetuneConfig,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Model, FinetuneError> {
    config.check()?;
    check_fit(data, model)?;
    let features = features(model, data, pipeline, config.batch_size, observer)?;
    let labels = data.labels();
    let device = compute_device(config.device)?;
    let mut trained = Trained::new(initial_base(model, true), config.weight_decay, &device);
    let per_epoch = data.len().div_ceil(config.batch_size);
    let steps = config.epochs * per_epoch;
    observer.on(Event::Started { stage: "training of the head", steps: config.epochs as u64 });
    for number in 0..config.epochs {
        let order = Epoch { seed, number: number as u64 }.order(data.len());
        for (index, indices) in order.chunks(config.batch_size).enumerate() {
            let inputs = constant(features.select(Axis(0), indices), &device.clone().inner());
            let logits = classify(model.architecture(), inputs, trained.tensors())?;
            let labels = indices.iter().map(|&image| labels[image]).collect();
            let loss = loss(logits, Targets { labels, teacher: None, weight: 0.0, temperature: 1.0 });
            let step = number * per_epoch + index;
            let rate = config.learning_rate * config.schedule.factor(step, steps, config.warmup);
            trained.step(&loss, rate, config.gradient_norm)?;
            let loss = value(&loss)?;
            if !loss.is_finite() {
                return Err(FinetuneError::Diverged { epoch: number + 1, loss });
            }
        }
        observer.on(Event::Step);
        if observer.interrupted() {
            return Err(FinetuneError::Interrupted);
        }
    }
    observer.on(Event::Finished);
    let weights = with_base(model, &trained.values()?)?;
    Ok(Model::new(model.architecture().clone(), weights)?)
}

/// Inputs of the head for every image, `[images, features]`.
fn features(
    model: &Arc<Model>,
    data: &Dataset,
    pipeline: &Pipeline,
    batch_size: usize,
    observer: &mut dyn Observer,
) -> Result<Array2<f32>, FinetuneError> {
    let network = Network::new(Arc::clone(model), Arithmetic::Digital, &|_| false)?;
    let own = BTreeMap::new();
    let batches = data.len().div_ceil(batch_size);
    observer.on(Event::Started { stage: "features of the images", steps: batches as u64 });
    let mut rows = Vec::with_capacity(batches);
    for batch in Loader::new(pipeline, data, (0..data.len()).collect(), batch_size, None)? {
        let features = network.features(batch?.images, &Pass::inference(&own, None, 0))?;
        rows.push(matrix(features)?);
        observer.on(Event::Step);
        if observer.interrupted() {
            return Err(FinetuneError::Interrupted);
        }
    }
    observer.on(Event::Finished);
    let views: Vec<_> = rows.iter().map(|rows| rows.view()).collect();
    // At least one image, all rows of one width.
    ndarray::concatenate(Axis(0), &views).map_err(|error| {
        FinetuneError::Network(crate::network::NetworkError::Tensor { reason: error.to_string() })
    })
}
