//! From counts to fields: dark offsets, half range, phase of the local oscillator.

use alora_drivers::Detection;
use ndarray::{ArrayView1, ArrayView3};
use num_complex::Complex64;

/// What turns the counts of one shot into fields, in fractions of the ADC's full scale.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) detection: Detection,
    pub(super) outputs: usize,
    /// Dark count of each channel.
    pub(super) dark: Vec<f64>,
    /// Fields of one count.
    pub(super) unit: f64,
}

impl Receiver {
    /// Rotation that undoes the phase of the local oscillator in this shot: the reference's phase, reversed. 1 for
    /// homodyne detection, whose oscillator is locked.
    pub(super) fn derotation(&self, counts: &[i32]) -> Complex64 {
        if self.detection != Detection::Iq {
            return Complex64::ONE;
        }
        let first = 2 * self.outputs;
        let reference = Complex64::new(
            f64::from(counts[first]) - self.dark[first],
            f64::from(counts[first + 1]) - self.dark[first + 1],
        );
        let amplitude = reference.norm();
        if amplitude > 0.0 { reference.conj() / amplitude } else { Complex64::ONE }
    }

    /// Field of each output in one shot; real for homodyne detection.
    pub(super) fn fields(&self, counts: &[i32], mut take: impl FnMut(usize, Complex64)) {
        let derotation = self.derotation(counts) * self.unit;
        for output in 0..self.outputs {
            let in_phase = f64::from(counts[output]) - self.dark[output];
            let quadrature = if self.detection == Detection::Iq {
                let channel = self.outputs + output;
                f64::from(counts[channel]) - self.dark[channel]
            } else {
                0.0
            };
            take(output, derotation * Complex64::new(in_phase, quadrature));
        }
    }
}

/// Mean over repeats of the counts of the dark, one a channel.
pub(super) fn mean_counts(counts: ArrayView3<'_, i32>) -> Vec<f64> {
    let (repeats, frames, channels) = counts.dim();
    let mut sums = vec![0i64; channels];
    for row in counts.rows() {
        let row: ArrayView1<'_, i32> = row;
        row.iter().zip(&mut sums).for_each(|(&count, sum)| *sum += i64::from(count));
    }
    sums.into_iter().map(|sum| sum as f64 / (repeats * frames) as f64).collect()
}
