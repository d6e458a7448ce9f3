//! Emulated devices: they speak the bytes of real ones, in front of the mock physics.
//!
//! A [`Device`] is a pure state machine: bytes in, bytes out, on a clock that it is told. An [`Emulator`] puts one behind
//! wires, with the time that bytes take on a serial [`Line`] and with the faults of a [`FaultPlan`].

mod board;
mod device;
mod emulator;
mod faults;
mod injector;
mod line;
mod played;
mod powered;
pub mod qontrol;
pub mod scpi;
mod server;
mod world;

pub use board::{BoardDevice, BoardError};
pub use device::Device;
pub use emulator::{Emulator, Ended};
pub use faults::{ByteFault, ByteFaultKind, Direction, Event, EventKind, FaultPlan, FaultPlanError};
pub use line::Line;
pub use played::{Announcement, Played, Served, play};
pub use server::Pty;
pub use world::World;
