//! What the common fit asks of the chip.

use std::f64::consts::TAU;

use alora_drivers::Code;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{bench::Bench, fit::Setting, model::ChipModel};
use crate::{
    calibration::{CalibrateError, go_on},
    observer::{Event, Observer},
};

/// Amplitude of the random-sign input vectors: leaves the ADC its headroom.
const PROBE_AMPLITUDE: f64 = 0.6;
/// Vectors a setting.
pub(super) const VECTORS: usize = 4;
/// Seed of the random settings: a calibration of the same chip asks the same questions.
const SEED: u64 = 0x00c0_ffee;

/// Random settings of every shifter with random-sign inputs.
pub(super) struct Questions<'a> {
    model: &'a ChipModel,
    rng: ChaCha8Rng,
}

impl<'a> Questions<'a> {
    pub(super) fn new(model: &'a ChipModel) -> Self {
        Self { model, rng: ChaCha8Rng::seed_from_u64(SEED) }
    }

    /// A phase drawn uniformly over a turn, for every shifter.
    pub(super) fn codes(&mut self, limits: &[Code]) -> Vec<Code> {
        limits
            .iter()
            .map(|&limit| {
                let wanted: f64 = self.rng.random_range(0.0..TAU);
                ((wanted / self.model.drive(1)).sqrt().round() as Code).min(limit)
            })
            .collect()
    }

    /// `count` vectors of random signs.
    pub(super) fn vectors(&mut self, count: usize) -> Array2<f64> {
        let modes = self.model.topology.modes();
        Array2::from_shape_simple_fn((count, modes), || {
            if self.rng.random::<bool>() { PROBE_AMPLITUDE } else { -PROBE_AMPLITUDE }
        })
    }

    /// Measures `count` settings.
    pub(super) async fn ask(
        &mut self,
        bench: &mut Bench<'_>,
        count: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Setting>, CalibrateError> {
        observer.on(Event::Started { stage: "random settings", steps: count as u64 });
        let mut settings = Vec::with_capacity(count);
        for _ in 0..count {
            go_on(observer)?;
            let codes = self.codes(&bench.descriptor.limits);
            let inputs = bench.input_codes(&self.vectors(VECTORS));
            let shown = bench.shown(&codes, &inputs).await?;
            let inputs = bench.sent_fields(&inputs);
            settings.push(Setting { codes, inputs, shown: shown.fields, valid: shown.valid });
            observer.on(Event::Step);
        }
        observer.on(Event::Finished);
        Ok(settings)
    }
}
