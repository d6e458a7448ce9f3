//! Input vectors, codes and raw fields of a characterisation.

use std::f64::consts::PI;

use alora_drivers::{Code, Descriptor, InputBatch, InputCode, Readout, datasheet::CoherentDataSheet};
use ndarray::Array2;
use num_complex::Complex64;

use crate::coherent::twin::{Fields, Setting};

/// Converters of the processor, and what is known of its receiver.
#[derive(Clone, Debug)]
pub(super) struct Front {
    pub(super) modes: usize,
    /// Highest input code.
    top: f64,
    /// Data-sheet phase at code 1; the phase grows with the code's square.
    unit_phase: f64,
    pub(super) limits: Vec<Code>,
    /// One count as a fraction of full scale.
    pub(super) count: f64,
    /// Counts in the dark of every channel.
    pub(super) dark: Vec<f64>,
}

impl Front {
    pub(super) fn new(descriptor: &Descriptor, sheet: &CoherentDataSheet) -> Self {
        let step = sheet.v_max.0 / f64::from((1u32 << descriptor.bits.actuator) - 1);
        Self {
            modes: descriptor.outputs,
            top: f64::from(descriptor.input_range().1),
            unit_phase: PI * (step / sheet.v_pi.0).powi(2),
            limits: descriptor.limits.clone(),
            count: 1.0 / f64::from(1u32 << (descriptor.bits.output - 1)),
            dark: vec![0.0; descriptor.channels()],
        }
    }

    /// Data-sheet phase at `code`, radians.
    pub(super) fn drive(&self, code: Code) -> f64 {
        self.unit_phase * f64::from(code) * f64::from(code)
    }

    /// The code nearest to a data-sheet phase.
    pub(super) fn code(&self, shifter: usize, drive: f64) -> Code {
        ((drive.max(0.0) / self.unit_phase).sqrt().round() as Code).min(self.limits[shifter])
    }

    /// Data-sheet phase at the highest code.
    pub(super) fn most(&self, shifter: usize) -> f64 {
        self.drive(self.limits[shifter])
    }

    pub(super) fn drives(&self, codes: &[Code]) -> Vec<f64> {
        codes.iter().map(|&code| self.drive(code)).collect()
    }

    /// Input codes of amplitudes in `[−1, 1]`, `[vectors, inputs]`.
    pub(super) fn inputs(&self, amplitudes: &Array2<f64>) -> InputBatch {
        InputBatch(amplitudes.mapv(|value| (value * self.top).round() as InputCode))
    }

    /// One reading of every vector with one frame, as the fit takes it.
    pub(super) fn setting(&self, codes: &[Code], inputs: &InputBatch, readout: &Readout) -> Setting {
        let (vectors, _) = inputs.0.dim();
        let (repeats, frames, _) = readout.counts.dim();
        debug_assert_eq!(frames, vectors);
        let width = vectors * repeats;
        let mut setting = Setting {
            drive: self.drives(codes),
            inputs: Fields::dark(self.modes, width),
            shown: Fields::dark(self.modes, width),
            valid: Fields::dark(self.modes, width),
            oscillator: Vec::with_capacity(width),
        };
        for shot in 0..width {
            let (repeat, vector) = (shot / vectors, shot % vectors);
            let at = |channel: usize| {
                let value = f64::from(readout.counts[(repeat, vector, channel)]) - self.dark[channel];
                let valid = if readout.saturated[(repeat, vector, channel)] { 0.0 } else { 1.0 };
                (value * self.count, valid)
            };
            for mode in 0..self.modes {
                setting.inputs.row_mut(mode)[shot] = f64::from(inputs.0[(vector, mode)]) / self.top;
                let (i, q) = (at(mode), at(self.modes + mode));
                setting.shown.put(mode, shot, Complex64::new(i.0 * i.1, q.0 * q.1));
                setting.valid.put(mode, shot, Complex64::new(i.1, q.1));
            }
            let reference = Complex64::new(at(2 * self.modes).0, at(2 * self.modes + 1).0);
            setting.oscillator.push(reference.arg());
        }
        setting
    }

    /// Matrix from inputs to outputs, `[outputs, inputs]`, from one reading of a full set of orthogonal vectors: the
    /// oscillator's phase taken out by the reference. Dark, balance and gains are not.
    pub(super) fn matrix(&self, inputs: &InputBatch, readout: &Readout) -> Array2<Complex64> {
        let sent = inputs.0.mapv(|code| f64::from(code) / self.top);
        let energy: f64 = sent.iter().map(|x| x * x).sum::<f64>() / self.modes as f64;
        let setting = self.setting(&[], inputs, readout);
        let mut matrix = Array2::zeros((self.modes, self.modes));
        for (vector, row) in sent.rows().into_iter().enumerate() {
            let turn = Complex64::cis(-setting.oscillator[vector]);
            for output in 0..self.modes {
                let field = setting.shown.at(output, vector) * turn;
                for (input, x) in row.iter().enumerate() {
                    matrix[(output, input)] += field * (x / energy);
                }
            }
        }
        matrix
    }
}
