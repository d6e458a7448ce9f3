//! The board protocol of alora, version 1: framed, checked, numbered commands between a host and an FPGA or
//! microcontroller board. No `std`, no allocation: the caller brings all memory.
//!
//! ```text
//! frame = COBS( version u8 = 1 | type u8 | seq u16 | payload | crc32 u32 ) 0x00        little-endian
//! ```
//!
//! with the CRC-32/ISO-HDLC (that of zlib) over version to payload. A reply carries the request's number and its type
//! with the highest bit set; a refusal has the type 0xFF. [`Firmware`] is the whole board side of it, for a [`Hardware`].
#![no_std]

mod firmware;
mod frame;
mod memory;
mod nak;
mod reader;
mod reply;
mod request;

pub use firmware::{Firmware, Hardware, Identity};
pub use frame::{Frame, FrameError, OVERHEAD, VERSION, crc32, decode, encode, max_encoded};
pub use memory::Memory;
pub use nak::Nak;
pub use reader::FrameReader;
pub use reply::{Event, EventCode, Flags, Hello, Sense};
pub use request::{Codes, Kind, REPLY, Request};

/// Type of a refusal.
pub const NAK: u8 = 0xFF;
/// Minor version that this crate speaks.
pub const MINOR: u8 = 0;
