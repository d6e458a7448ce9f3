//! One device of a station, as it is when it is switched on.

use super::{
    BoardDevice, Device, World,
    qontrol::QontrolChain,
    scpi::{
        EmulatedKeithley2450, EmulatedMtd415t, EmulatedPowerMeter, EmulatedRedPitaya, EmulatedTsl570,
        ScpiDevice,
    },
    world::InWorld,
};
use crate::{
    Amperes, Volts, Watts,
    qontrol::{CHANNELS, ModuleKind},
    station::{DeviceEntry, EmulatedDevice, QontrolEntry, Station, StationError},
};

/// Load of an emulated source meter, in ohms.
const LOAD: f64 = 1000.0;

pub(super) fn device(
    station: &Station,
    world: Option<&World>,
    name: &str,
    settings: &EmulatedDevice,
) -> Result<Box<dyn Device>, StationError> {
    let bench = station.bench.as_ref();
    let first = detector_offset(station, name);
    // Instruments that no bench names are in a world of their own.
    let world = world.filter(|_| bench.is_some_and(|bench| bench.devices().contains(&name))).cloned();
    let seed = station.emulate.chip_seed;
    Ok(match station.device(name)? {
        DeviceEntry::Board(_) => Box::new(board(station)?),
        DeviceEntry::Qontrol(entry) => Box::new(chain(entry, name, first, settings, world)?),
        DeviceEntry::KeysightN774x(_) => {
            let meter = metered(settings, seed);
            Box::new(ScpiDevice::new(match (world, first) {
                (Some(world), Some(first)) => meter
                    .lit_by(move |port, _| Watts(world.reading(first + usize::from(port.saturating_sub(1))))),
                _ => in_steady_light(meter, settings),
            }))
        }
        DeviceEntry::Keithley2450(_) => {
            let source = EmulatedKeithley2450::new(seed);
            let name = name.to_owned();
            Box::new(ScpiDevice::new(match world {
                Some(world) => source
                    .heard_by(move |volts| world.drive(&name, &[volts]))
                    .loaded_with(|volts, _| Amperes(volts.0 / LOAD)),
                None => source,
            }))
        }
        DeviceEntry::SantecTsl570(_) => {
            let laser = EmulatedTsl570::new(settings.command_set, seed);
            Box::new(ScpiDevice::new(match world {
                Some(world) => laser.heard_by(move |state| world.shine(state)),
                None => laser,
            }))
        }
        DeviceEntry::ThorlabsMtd415t(_) => {
            let mut controller = EmulatedMtd415t::new(seed);
            if settings.answers_settings {
                controller = controller.answering_settings();
            }
            Box::new(match world {
                Some(world) => controller.cooling(move |state, _| world.temperature(state)),
                None => controller,
            })
        }
        DeviceEntry::RedPitaya(_) => {
            let device = EmulatedRedPitaya::new(seed);
            Box::new(ScpiDevice::new(match world {
                Some(world) => red_pitaya(device, name, first, world),
                None => device,
            }))
        }
    })
}

fn metered(settings: &EmulatedDevice, seed: u64) -> EmulatedPowerMeter {
    let meter = EmulatedPowerMeter::new(settings.ports, seed);
    if settings.listing.is_empty() { meter } else { meter.listing(settings.listing.clone()) }
}

fn in_steady_light(meter: EmulatedPowerMeter, settings: &EmulatedDevice) -> EmulatedPowerMeter {
    if settings.light_watt.is_empty() {
        return meter;
    }
    let light = settings.light_watt.clone();
    meter.lit_by(move |port, _| {
        Watts(light.get(usize::from(port.saturating_sub(1))).copied().unwrap_or_default())
    })
}

/// The first of the bench's detector channels that is on this device.
fn detector_offset(station: &Station, name: &str) -> Option<usize> {
    let devices = &station.bench.as_ref()?.outputs.devices;
    let before = devices.iter().take_while(|device| *device != name);
    devices
        .iter()
        .any(|device| device == name)
        .then(|| before.map(|device| played_channels(station, device)).sum())
}

/// Detector channels that a played device has.
fn played_channels(station: &Station, name: &str) -> usize {
    let usual = EmulatedDevice::default();
    let settings = station.emulate.device.get(name).unwrap_or(&usual);
    match station.device.get(name) {
        Some(DeviceEntry::KeysightN774x(_)) => {
            if settings.ports <= 4 {
                4
            } else {
                8
            }
        }
        Some(DeviceEntry::RedPitaya(_)) => 2,
        Some(DeviceEntry::Qontrol(entry)) => {
            let kinds = settings.kinds(entry).unwrap_or_default();
            CHANNELS * kinds.into_iter().filter(|kind| *kind == ModuleKind::S8i).count()
        }
        _ => 0,
    }
}

fn board(station: &Station) -> Result<BoardDevice, StationError> {
    let missing = || StationError::missing("chip", "an emulated board carries a simulated chip");
    let spec = station.chip.as_ref().ok_or_else(missing)?.spec()?;
    let board = BoardDevice::new(spec, station.emulate.chip_seed, station.emulate.script.clone());
    board.map_err(|error| StationError::missing("chip", error.to_string()))
}

fn chain(
    entry: &QontrolEntry,
    name: &str,
    first: Option<usize>,
    settings: &EmulatedDevice,
    world: Option<World>,
) -> Result<QontrolChain, StationError> {
    let kinds = settings.kinds(entry)?;
    let inputs = kinds.iter().enumerate().filter(|(_, kind)| !kind.drives());
    let inputs = inputs.flat_map(|(module, _)| module * CHANNELS..(module + 1) * CHANNELS);
    let detectors = first.map_or_else(Default::default, |first| inputs.zip(first..).collect());
    let mut played = QontrolChain::new(&kinds);
    settings.open_channels.iter().for_each(|&channel| played.load(channel, f64::INFINITY));
    Ok(match world {
        Some(world) => played.with_io(InWorld { world, device: name.to_owned(), detectors }),
        None => played,
    })
}

/// Its outputs drive, its inputs see: each sample of a record is the same reading, as the light holds still.
fn red_pitaya(
    device: EmulatedRedPitaya,
    name: &str,
    first: Option<usize>,
    world: World,
) -> EmulatedRedPitaya {
    let (name, driven) = (name.to_owned(), world.clone());
    let device = device.heard_by(move |outputs| driven.drive(&name, &outputs));
    let Some(first) = first else { return device };
    let mut held = Volts(0.0);
    device.fed_by(move |_, input, sample| {
        if sample == 0 {
            held = Volts(world.reading(first + input));
        }
        held
    })
}
