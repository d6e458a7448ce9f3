//! Write a network to the processor, verify it, run the test set on it.

use std::path::Path;

use alora_calibration::{Calibration, Processor, Provenance};

use super::{Context, connect, train::tile_of};
use crate::{
    config::Config,
    dataset::{Dataset, Pipeline},
    deploy::{DeploymentPlan, DeploymentRecord, OnChipOutcome, VerificationLimits, run_on_chip},
    error::Error,
    model::{AdapterSet, Mlp},
};

/// What came of a deployment.
pub struct Deployed {
    /// Description, with every layer's figures.
    pub record: DeploymentRecord,
    /// Logits and arrays.
    pub outcome: OnChipOutcome,
    /// Share of test images that the processor classifies right.
    pub accuracy: f64,
}

/// Joins the connected processor with the calibration at `path`.
///
/// # Errors
/// A file that is no calibration, or one of another processor.
pub async fn processor_from(config: &Config, path: &Path) -> Result<Processor, Error> {
    let calibration = Calibration::read(path)?;
    let (backend, _) = connect(config).await?;
    Ok(Processor::new(backend, &calibration)?)
}

/// Writes `model` tile after tile, verifies each tile and runs `test` on the processor; `digital` adapters stay beside
/// it; `stage` names it to the observer. Writes `NAME.toml` + `NAME.npz`. The processor is parked after, also when this fails.
///
/// # Errors
/// Weights that cannot be written, a device error, an interruption, or a folder that cannot be written.
pub async fn deploy(
    context: &mut Context<'_>,
    processor: &mut Processor,
    model: &Mlp,
    digital: Option<&AdapterSet>,
    (test, pipeline): (&Dataset, &Pipeline),
    name: &str,
    stage: &'static str,
) -> Result<Deployed, Error> {
    let config = context.config;
    let limits =
        VerificationLimits { repeats: config.deployment.repeats, residual: config.deployment.residual_limit };
    let tile = tile_of(processor.descriptor())?;
    let plan = DeploymentPlan::new(model, digital, config.mapping.scaling, tile, config.precision)?;
    let images = pipeline.all(test)?;
    let outcome =
        run_on_chip(processor, &plan, images.images.view(), limits, stage, &mut *context.observer).await;
    processor.park().await?;
    let outcome = outcome.map_err(|error| match error {
        crate::deploy::DeployError::Interrupted => Error::Interrupted,
        other => other.into(),
    })?;
    let provenance = Provenance::of(processor.descriptor(), context.created.clone(), config.seed);
    let record =
        DeploymentRecord::of(&outcome, config.mapping.scaling, tile, config.precision, limits, provenance);
    let key = name.replace('-', "_");
    record.write(&context.folder.file(&key, &format!("{name}.toml")), &outcome.layers)?;
    context.folder.file(&format!("{key}_arrays"), &format!("{name}.npz"));
    let accuracy = outcome.correct(&images.labels) as f64 / test.len().max(1) as f64;
    Ok(Deployed { record, outcome, accuracy })
}
