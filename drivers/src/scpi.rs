//! Bench instruments that speak SCPI lines, and one that speaks lines of its own.
//!
//! A [`Session`] carries one query at a time. It is closed after anything that leaves an answer in doubt, so that no late
//! answer is ever taken for another's. An [`Instrument`] knows who it talks to, reads every setting back, and after each new
//! connection identifies and verifies again before it goes on. The instruments themselves are small structs on top, with
//! their limits checked here before a byte is sent.

mod block;
mod error;
mod identity;
mod instrument;
mod keithley;
mod keysight;
mod line;
mod mtd415t;
mod number;
mod red_pitaya;
mod santec;
mod session;
mod setting;

pub use block::{BlockError, ByteOrder, block, singles, words};
pub use error::ScpiError;
pub use identity::{Identity, Model};
pub use instrument::{BootSign, Instrument, InstrumentError};
pub use keithley::{Keithley2450, SourceLimits, SourceReading};
pub use keysight::{AveragingTime, KeysightPowerMeter, PortPower, PowerRange};
pub use line::LineEnding;
pub use mtd415t::{ControllerFaults, Mtd415t, TemperatureLimits};
pub use number::{NumberError, integer, number, reading};
pub use red_pitaya::{Acquisition, RedPitaya};
pub use santec::{CommandSet, LaserLimits, SantecTsl570};
pub use session::{Dialect, Session};
pub use setting::{Held, Setting};
