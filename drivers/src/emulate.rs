//! Emulated devices: they speak the bytes of real ones, in front of the mock physics.
//!
//! A [`Device`] is a pure state machine: bytes in, bytes out, on a clock that it is told. [`serve`](serve::serve) puts one
//! behind a wire, with the time that bytes take on a serial line and with faults.

mod device;

pub use device::Device;
