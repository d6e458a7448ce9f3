//! What tells one training run from another.

use std::{collections::BTreeMap, fmt::Write as _};

use ndarray::Array2;
use sha2::{Digest, Sha256};

use super::{FinetuneError, training::Job};

/// Images that are looked at.
const IMAGES: usize = 16;

/// What a checkpoint must agree with: configuration, chip, preprocessing, seed, the model's weights, the values from which training
/// starts, digital factors, all labels and some of the images.
pub(super) fn fingerprint(
    job: &Job<'_>,
    start: &BTreeMap<String, Array2<f32>>,
) -> Result<String, FinetuneError> {
    let mut hash = Sha256::new();
    let (config, chip, preprocess) = (job.config, job.chip, job.pipeline.preprocess());
    hash.update(format!("{config:?} {chip:?} {preprocess:?} {} {:?}", job.seed, job.input_scales));
    for (name, parameter) in job.model.weights().iter() {
        hash.update(name);
        add(&mut hash, &parameter.values);
    }
    for (name, values) in start {
        hash.update(name);
        add(&mut hash, values);
    }
    let data = job.data;
    hash.update(data.name());
    for label in data.labels() {
        hash.update((label as u64).to_le_bytes());
    }
    for image in (0..data.len()).step_by(data.len().div_ceil(IMAGES).max(1)) {
        hash.update(data.read(image)?.pixels);
    }
    Ok(hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    }))
}

fn add<'a>(hash: &mut Sha256, values: impl IntoIterator<Item = &'a f32>) {
    for value in values {
        hash.update(value.to_le_bytes());
    }
}
