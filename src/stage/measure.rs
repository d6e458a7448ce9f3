//! Connect, calibrate, measure.

use alora_calibration::{Calibration, MeasurementRecord, Processor, Provenance, calibrate, measure};
use alora_drivers::{
    DataSheet, Descriptor, PhotonicBackend,
    mock::{Script, Spec},
    station::{Station, StationError},
};

use super::{Context, Purpose};
use crate::{
    config::{Config, ConfigError, load_station},
    error::Error,
    guarded,
};

const TOOL: &str = concat!("alora ", env!("CARGO_PKG_VERSION"));

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
/// A preset or physics key that does not exist, a station file that does not fit, or a processor that does not answer.
pub async fn connect(config: &Config) -> Result<(Box<dyn PhotonicBackend>, DataSheet), Error> {
    let Some(station) = station_of(config)? else {
        let spec = simulated(config)?;
        let data_sheet = spec.data_sheet();
        return Ok((spec.connect(config.processor.chip_seed, config.processor.script.clone()), data_sheet));
    };
    let data_sheet = station.nominal().map_err(|error| unfit(config, error))?.data_sheet;
    Ok((guarded::connect(&station, TOOL).await?, data_sheet))
}

/// What the processor of `config` should be, without connecting to it.
///
/// # Errors
/// A preset or physics key that does not exist, or a station file that does not fit.
pub fn nominal(config: &Config) -> Result<Descriptor, Error> {
    match station_of(config)? {
        Some(station) => Ok(station.nominal().map_err(|error| unfit(config, error))?.descriptor),
        None => {
            let chip = simulated(config)?.connect(config.processor.chip_seed, Script::default());
            Ok(chip.descriptor().clone())
        }
    }
}

fn simulated(config: &Config) -> Result<Spec, Error> {
    let named = |reason| ConfigError::Key {
        path: "configuration".into(),
        key: "processor.physics".to_owned(),
        reason,
    };
    Ok(config.processor.spec().map_err(named)?)
}

/// The station on which the processor stands, with the configuration's ports; `None` for a simulated one.
pub(super) fn station_of(config: &Config) -> Result<Option<Station>, Error> {
    let Some(path) = &config.processor.station else { return Ok(None) };
    let mut station = load_station(path, &[])?;
    for (name, port) in &config.processor.ports {
        station.set_port(name, port.clone()).map_err(|error| unfit(config, error))?;
    }
    Ok(Some(station))
}

pub(super) fn unfit(config: &Config, error: StationError) -> Error {
    let path = config.processor.station.clone().unwrap_or_default();
    Error::Input { path, reason: error.to_string() }
}

/// Calibrates the processor and measures its weight error. Writes `calibration.toml` and `record.toml` + `record.npz`.
///
/// The processor is parked after, also when this fails.
///
/// # Errors
/// A processor that does not connect, calibrate or measure, or a folder that cannot be written.
pub async fn calibrate_and_measure(context: &mut Context<'_>) -> Result<Measured, Error> {
    let (mut backend, data_sheet) = connect(context.config).await?;
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
