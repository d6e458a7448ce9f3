//! Emulated bench instruments: SCPI with its keywords, error queue and event register, and a temperature controller that
//! speaks letters.
//!
//! What an instrument sees of the world comes in through a hook (a closure), and what it does to the world goes out through
//! one; without hooks the world is a constant with a little seeded noise.

mod command;
mod device;
mod keithley;
mod keysight;
mod mtd415t;
mod noise;
mod red_pitaya;
mod santec;

pub use command::{Command, Fault};
pub use device::{Answer, ScpiDevice, ScpiInstrument, Stuck};
pub use keithley::EmulatedKeithley2450;
pub use keysight::EmulatedPowerMeter;
pub use mtd415t::{EmulatedMtd415t, ThermalState};
pub use noise::Noise;
pub use red_pitaya::EmulatedRedPitaya;
pub use santec::{EmulatedTsl570, LaserState};
