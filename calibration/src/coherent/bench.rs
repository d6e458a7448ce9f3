//! Measuring fields on the connected processor.

use alora_drivers::{ActuatorFrame, Code, Descriptor, Detection, InputBatch, InputCode, PhotonicBackend};
use ndarray::Array2;
use num_complex::Complex64;

use super::receiver::{Receiver, mean_counts};
use crate::{calibration::CalibrateError, mesh::circuit::Fields};

/// Shots averaged for the dark offsets.
const DARK_SHOTS: usize = 256;

/// Codes by which an output shifter turns its field by about a quarter, so that a homodyne detector sees the other
/// quadrature.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuarterTurn {
    pub(super) base: Code,
    pub(super) turned: Code,
    /// Phase between them.
    pub(super) angle: f64,
}

/// Fields measured with one frame.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// `[outputs, vectors]`, fraction of full scale, averaged over repeats.
    pub(super) fields: Fields,
    /// Same shape: false where a count was at a limit.
    pub(super) valid: Vec<bool>,
}

/// The connected processor, with what is known of its receiver.
pub(super) struct Bench<'a> {
    backend: &'a mut dyn PhotonicBackend,
    pub(super) descriptor: Descriptor,
    pub(super) receiver: Receiver,
    pub(super) repeats: usize,
    /// Homodyne only, once the output shifters are known.
    pub(super) quarter_turns: Option<Vec<QuarterTurn>>,
    /// Input vectors sent so far.
    pub(super) sent: u64,
}

impl<'a> Bench<'a> {
    /// Measures the dark offsets: every input at 0.
    pub(super) async fn new(
        backend: &'a mut dyn PhotonicBackend,
        repeats: usize,
    ) -> Result<Self, CalibrateError> {
        let descriptor = backend.descriptor().clone();
        backend.park().await?;
        let nothing = InputBatch(Array2::zeros((1, descriptor.input_width())));
        let readout = backend.execute(&nothing, DARK_SHOTS).await?;
        let mut dark = mean_counts(readout.counts.view());
        if descriptor.detection == Detection::Iq {
            // The reference is lit even now; its own offset is not seen apart from it.
            dark[2 * descriptor.outputs..].fill(0.0);
        }
        let receiver = Receiver {
            detection: descriptor.detection,
            outputs: descriptor.outputs,
            dark,
            unit: 1.0 / f64::from(1u32 << (descriptor.bits.output - 1)),
        };
        Ok(Self { backend, descriptor, receiver, repeats, quarter_turns: None, sent: DARK_SHOTS as u64 })
    }

    /// Input codes of `amplitudes`, `[vectors, inputs]`, each in `[−1, 1]`.
    pub(super) fn input_codes(&self, amplitudes: &Array2<f64>) -> InputBatch {
        let top = f64::from(self.descriptor.input_range().1);
        InputBatch(amplitudes.mapv(|value| (value * top).round() as InputCode))
    }

    /// Amplitudes that `inputs` really send, `[inputs, vectors]`.
    pub(super) fn sent_fields(&self, inputs: &InputBatch) -> Fields {
        let top = f64::from(self.descriptor.input_range().1);
        let (vectors, modes) = inputs.0.dim();
        let mut fields = Fields::zeros(modes, vectors);
        for ((vector, mode), &code) in inputs.0.indexed_iter() {
            fields.row_mut(mode)[vector] = Complex64::new(f64::from(code) / top, 0.0);
        }
        fields
    }

    /// What the detectors show with `codes`: both quadratures for IQ, the real one for homodyne detection.
    pub(super) async fn shown(
        &mut self,
        codes: &[Code],
        inputs: &InputBatch,
    ) -> Result<Measured, CalibrateError> {
        let _ = self.backend.apply(&ActuatorFrame(codes.to_vec())).await?;
        let readout = self.backend.execute(inputs, self.repeats).await?;
        let (repeats, vectors, channels) = readout.counts.dim();
        self.sent += (repeats * vectors) as u64;
        let outputs = self.descriptor.outputs;
        let mut fields = Fields::zeros(outputs, vectors);
        let mut valid = vec![true; outputs * vectors];
        let counts: Vec<i32> = readout.counts.iter().copied().collect();
        let flags: Vec<bool> = readout.saturated.iter().copied().collect();
        for (shot, (counts, flags)) in counts.chunks(channels).zip(flags.chunks(channels)).enumerate() {
            let vector = shot % vectors;
            self.receiver.fields(counts, |output, field| {
                fields.row_mut(output)[vector] += field / repeats as f64;
                let other = if channels > outputs { flags[outputs + output] } else { false };
                if flags[output] || other {
                    valid[output * vectors + vector] = false;
                }
            });
        }
        Ok(Measured { fields, valid })
    }

    /// Complex fields with `codes`. A homodyne detector is asked twice, a quarter turn of the output shifters apart;
    /// the fields are those of the first of the two, whose output codes replace those in `codes`.
    pub(super) async fn fields(
        &mut self,
        codes: &mut [Code],
        inputs: &InputBatch,
    ) -> Result<Measured, CalibrateError> {
        let Some(turns) = self.quarter_turns.clone() else { return self.shown(codes, inputs).await };
        let first_output = codes.len() - turns.len();
        let mut second_codes = codes.to_vec();
        for (mode, turn) in turns.iter().enumerate() {
            codes[first_output + mode] = turn.base;
            second_codes[first_output + mode] = turn.turned;
        }
        let mut first = self.shown(codes, inputs).await?;
        let second = self.shown(&second_codes, inputs).await?;
        for (mode, turn) in turns.iter().enumerate() {
            let (s, c) = turn.angle.sin_cos();
            // Re(z e^{iδ}) = cos δ Re z − sin δ Im z.
            for (z, turned) in first.fields.row_mut(mode).iter_mut().zip(second.fields.row(mode)) {
                z.im = (c * z.re - turned.re) / s;
            }
        }
        first.valid.iter_mut().zip(&second.valid).for_each(|(a, b)| *a &= b);
        Ok(first)
    }
}
