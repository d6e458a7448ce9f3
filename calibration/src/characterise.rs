//! Calibration of a chip about which nothing is known but its layout.
//!
//! Every measurement is a [`Question`] to a [`Bench`], whose [`Journal`] keeps the raw readings: a question that was
//! answered before is not put to the chip again, so that a characterisation goes on where it was interrupted, and its
//! results can be derived again from the readings alone, bit by bit.

mod bench;
mod error;
mod journal;

pub use bench::{Bench, Question, Source};
pub use error::CharacteriseError;
pub use journal::Journal;
