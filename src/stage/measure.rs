//! Connect, calibrate, measure.

use alora_calibration::{Calibration, MeasurementRecord, Processor, Provenance, calibrate, measure};
use alora_drivers::{DataSheet, PhotonicBackend};

use super::{Context, Purpose};
use crate::{
    config::{Config, ConfigError},
    error::Error,
};

/// A calibrated processor and its measured weight error.
pub struct Measured {
    /// The processor, parked.
    pub processor: Processor,
    /// What calibration learned.
    pub calibration: Calibration,
    /// Raw readings.
    pub record: MeasurementRecord,
}

/// Connects to the processor of `config`; its data sheet is what calibration starts from.
///
/// # Errors
/// A preset or physics key that does not exist.
pub fn connect(config: &Config) -> Result<(Box<dyn PhotonicBackend>, DataSheet), Error> {
    let spec = config.processor.spec().map_err(|reason| ConfigError::Key {
        path: "configuration".into(),
        key: "processor.physics".to_owned(),
        reason,
    })?;
    let data_sheet = spec.data_sheet();
    Ok((spec.connect(config.processor.chip_seed, config.processor.script.clone()), data_sheet))
}

/// Calibrates the processor and measures its weight error. Writes `calibration.toml` and `record.toml` + `record.npz`.
///
/// The processor is parked after, also when this fails.
///
/// # Errors
/// A processor that does not connect, calibrate or measure, or a folder that cannot be written.
pub async fn calibrate_and_measure(context: &mut Context<'_>) -> Result<Measured, Error> {
    let (mut backend, data_sheet) = connect(context.config)?;
    let seed = context.seed(Purpose::Targets);
    let provenance = Provenance::of(backend.descriptor(), context.created.clone(), seed);
    let learned = calibrate(
        &mut *backend,
        &data_sheet,
        &context.config.calibration,
        provenance.clone(),
        &mut *context.observer,
    )
    .await;
    let calibration = match learned {
        Ok(calibration) => calibration,
        Err(error) => {
            backend.park().await?;
            return Err(error.into());
        }
    };
    calibration.write(&context.folder.file("calibration", "calibration.toml"))?;
    context.go_on()?;
    let mut processor = Processor::new(backend, &calibration)?;
    let plan = context.config.measurement.plan(seed);
    let record = match measure(&mut processor, &plan, provenance, &mut *context.observer).await {
        Ok(record) => record,
        Err(error) => {
            processor.park().await?;
            return Err(error.into());
        }
    };
    record.write(&context.folder.file("record", "record.toml"))?;
    context.folder.file("record_arrays", "record.npz");
    context.go_on()?;
    Ok(Measured { processor, calibration, record })
}
