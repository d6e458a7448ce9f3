//! The kernel against plain loops in f64, and against itself.

#![allow(clippy::unwrap_used, reason = "tests")]

mod forward;
mod gradient;
mod group;
mod limits;
mod noise;
