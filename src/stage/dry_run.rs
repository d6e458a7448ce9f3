//! What a deployment would write, with limits checked and no device opened.

mod wiring;

use alora_calibration::{Calibration, EncodeError, ProcessorError};
use alora_drivers::{BackendErrorKind, Code, Descriptor, ProcessorId};
use ndarray::Array2;

use super::{measure::nominal, train::tile_of};
use crate::{
    config::Config,
    deploy::{DeployError, DeploymentPlan, target_from},
    error::{Error, ExitCode},
    model::{AdapterSet, Mlp},
};
pub use wiring::Wiring;

/// Everything that would be written.
pub struct DryRun {
    /// The processor that the calibration belongs to.
    pub processor: ProcessorId,
    /// Highest code of each actuator: the lowest of calibration, chip and station file.
    pub limits: Vec<Code>,
    /// In the order in which they would be written.
    pub writes: Vec<PlannedWrite>,
    /// What a code means at its device.
    pub wiring: Wiring,
}

/// One frame: all actuators at once.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedWrite {
    /// Layer of the network.
    pub layer: String,
    /// Tile within the layer.
    pub tile: usize,
    /// One code an actuator.
    pub codes: Vec<Code>,
    /// Cells that the chip cannot reach.
    pub unreachable: usize,
}

/// The frames that [`super::deploy`] would write for `model`, encoded by `calibration`.
///
/// # Errors
/// A calibration of another kind of processor than the configuration's, weights that cannot be encoded, or a code above a limit.
pub fn dry_run(
    config: &Config,
    calibration: &Calibration,
    model: &Mlp,
    digital: Option<&AdapterSet>,
) -> Result<DryRun, Error> {
    let tile = tile_of(&calibration.descriptor)?;
    let plan = DeploymentPlan::new(model, digital, config.mapping.scaling, tile, config.precision)?;
    let tiles = plan
        .layers
        .iter()
        .flat_map(|layer| layer.tiles.tiles.iter().map(|tile| (layer.name.as_str(), tile.quantised.clone())));
    dry_run_of_tiles(config, calibration, tiles)
}

/// The same of tiles that are cut already, each with the name of its layer.
///
/// # Errors
/// As for [`dry_run`].
pub fn dry_run_of_tiles<'a>(
    config: &Config,
    calibration: &Calibration,
    tiles: impl IntoIterator<Item = (&'a str, Array2<f64>)>,
) -> Result<DryRun, Error> {
    let wiring = Wiring::of(config)?;
    let descriptor = limited(calibration, &nominal(config)?, &wiring)?;
    let encoding = calibration.encoding();
    let mut writes: Vec<PlannedWrite> = Vec::new();
    for (layer, weights) in tiles {
        let tile = writes.iter().rev().take_while(|write| write.layer == layer).count();
        let failed = |source| DeployError::Processor { layer: layer.to_owned(), tile, source };
        let target = target_from(layer, tile, weights)?;
        let unencoded =
            |source: EncodeError| failed(ProcessorError::Encode { processor: descriptor.id.clone(), source });
        let encoded = encoding.encode(&target).map_err(unencoded)?;
        let codes = encoded.frame.0;
        let checked = within_limits(&descriptor, &codes).and_then(|()| wiring.check(&codes));
        checked.map_err(|kind| Error::Device {
            device: format!("layer {layer}, tile {tile}"),
            reason: kind.to_string(),
            class: ExitCode::Limit,
        })?;
        let unreachable = encoded.unreachable.len();
        writes.push(PlannedWrite { layer: layer.to_owned(), tile, codes, unreachable });
    }
    Ok(DryRun { processor: descriptor.id, limits: descriptor.limits, writes, wiring })
}

/// The calibrated processor under the limits of all.
fn limited(calibration: &Calibration, nominal: &Descriptor, wiring: &Wiring) -> Result<Descriptor, Error> {
    let mut descriptor = calibration.descriptor.clone();
    if (descriptor.kind, descriptor.layout) != (nominal.kind, nominal.layout) {
        let reason = format!(
            "the calibration is of {} × {} ({}), the configuration's processor is {} × {} ({}); give the calibration of \
             this processor",
            descriptor.outputs,
            descriptor.inputs,
            descriptor.kind,
            nominal.outputs,
            nominal.inputs,
            nominal.kind
        );
        return Err(Error::Input { path: "--calibration".into(), reason });
    }
    for (actuator, (limit, nominal)) in descriptor.limits.iter_mut().zip(&nominal.limits).enumerate() {
        *limit = (*limit).min(*nominal).min(wiring.highest(actuator));
    }
    Ok(descriptor)
}

fn within_limits(descriptor: &Descriptor, codes: &[Code]) -> Result<(), BackendErrorKind> {
    let mut pairs = codes.iter().zip(&descriptor.limits).enumerate();
    match pairs.find(|(_, (code, limit))| code > limit) {
        None => Ok(()),
        Some((actuator, (&code, &limit))) => Err(BackendErrorKind::OverLimit { actuator, code, limit }),
    }
}
