//! A deployment programmed again and compared with what was asked.

use alora_calibration::{Event, Observer, Processor};
use ndarray::Axis;
use serde::Serialize;

use super::{
    DeployError, VerificationLimits, plan::target_from, record::StoredLayer, write_back::write_tile,
};

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VerificationOutcome {
    /// Tiles programmed.
    pub tiles: usize,
    /// Tiles whose codes were read back equal and whose residuals are within the limit.
    pub verified: usize,
    /// Tiles whose codes differ from those of the deployment: the calibration has changed since.
    pub recoded: usize,
    /// Largest |measured − target|, full scale = 1.
    pub worst_residual: f64,
    /// rms of measured − target, full scale = 1.
    pub residual_rms: f64,
    /// Where the largest residual was found, in words.
    pub worst_at: String,
}

/// Programs each tile of `layers`, measures it and compares.
///
/// # Errors
/// A stored tile that is no weight matrix, a device error, or the operator's interruption.
pub async fn verify(
    processor: &mut Processor,
    layers: &[StoredLayer],
    limits: VerificationLimits,
    observer: &mut dyn Observer,
) -> Result<VerificationOutcome, DeployError> {
    let tiles: usize = layers.iter().map(|layer| layer.targets.len_of(Axis(0))).sum();
    observer.on(Event::Started { stage: "verifying", steps: tiles as u64 });
    let mut outcome = VerificationOutcome { tiles, ..VerificationOutcome::default() };
    let mut squares = 0.0;
    for layer in layers {
        let pairs = layer.targets.outer_iter().zip(layer.codes.outer_iter());
        for (index, (target, codes)) in pairs.enumerate() {
            if observer.interrupted() {
                return Err(DeployError::Interrupted);
            }
            let target = target_from(&layer.name, index, target.to_owned())?;
            let written = write_tile(processor, &target, limits).await.map_err(|source| {
                DeployError::Processor { layer: layer.name.clone(), tile: index, source }
            })?;
            outcome.verified += usize::from(written.verified);
            outcome.recoded += usize::from(codes.iter().ne(&written.codes));
            squares += written.residual_rms.powi(2);
            if written.worst_residual > outcome.worst_residual {
                outcome.worst_residual = written.worst_residual;
                outcome.worst_at = format!("layer {}, tile {index}, {}", layer.name, written.worst_cell);
            }
            observer.on(Event::Step);
        }
    }
    outcome.residual_rms = (squares / tiles.max(1) as f64).sqrt();
    observer.on(Event::Finished);
    Ok(outcome)
}
