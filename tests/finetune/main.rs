//! Pre-training, fine-tuning and evaluation together, on every family of networks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod chip;
mod evaluation;
mod families;
mod ranges;
mod resume;
mod schedule;
mod support;
mod training;
