//! What was measured with one frame, ready for the fit; and what the twin says of it.

use num_complex::Complex64;

use super::{
    layout::Layout,
    optics::{Chip, Fields, Part, Tape, turns},
    parameters::{Phases, Twin},
};

/// Raw fields measured with one frame.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Setting {
    /// Phase of each shifter by the data sheet's law, radians.
    pub(in crate::coherent) drive: Vec<f64>,
    /// Amplitudes sent, one column a vector.
    pub(in crate::coherent) inputs: Fields,
    /// In phase and quadrature as fractions of full scale, dark removed.
    pub(in crate::coherent) shown: Fields,
    /// 1 where a count is good, 0 where it was at a limit; as `shown`.
    pub(in crate::coherent) valid: Fields,
    /// Phase of the local oscillator at each vector, as the reference says.
    pub(in crate::coherent) oscillator: Vec<f64>,
}

/// A setting as the twin sees it.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Seen {
    pub(in crate::coherent) phases: Phases,
    /// `(cos, sin)` of every phase.
    pub(in crate::coherent) shifted: Vec<(f64, f64)>,
    pub(in crate::coherent) tape: Tape,
    /// `w`, fields at the hybrids without the oscillator's phase.
    pub(in crate::coherent) fields: Fields,
    /// `(cos, sin)` of the oscillator's phase at each vector.
    pub(in crate::coherent) turns: Vec<(f64, f64)>,
    /// How far that is from the reference's, radians.
    pub(in crate::coherent) astray: Vec<f64>,
    /// `shown − y`, 0 where nothing valid was seen.
    pub(in crate::coherent) residual: Fields,
    /// Derivative of `y` by the oscillator's phase, 0 where nothing valid was seen.
    pub(in crate::coherent) by_oscillator: Fields,
    /// `Σ r²`, and how many quadratures stand behind it: those that are valid less what the oscillator's phases took up.
    pub(in crate::coherent) square: f64,
    pub(in crate::coherent) freedom: f64,
}

impl Seen {
    /// `v = r + u (ψ − ψ_ref)`: the residual with the oscillator's phases where the reference has them, to first order. With `ψ` at
    /// its best, `u·r / s² = (ψ − ψ_ref) / σ_ref²`, so that `W v = r / s²`: the gradient of the fit, phases at their best.
    pub(in crate::coherent) fn residual_at_reference(&self, modes: usize) -> Fields {
        let mut residual = self.residual.clone();
        let width = residual.width;
        for mode in 0..modes {
            let by = self.by_oscillator.row(mode).iter().enumerate();
            residual
                .row_mut(mode)
                .iter_mut()
                .zip(by)
                .for_each(|(r, (k, u))| *r += self.astray[k % width] * u);
        }
        residual
    }
}

/// How surely the reference tells the oscillator's phase, and the noise of a quadrature.
#[derive(Clone, Copy, Debug)]
pub(in crate::coherent) struct Noise {
    /// Standard deviation of a quadrature, fraction of full scale.
    pub(in crate::coherent) quadrature: f64,
    /// Standard deviation of the reference's phase, radians.
    pub(in crate::coherent) oscillator: f64,
}

/// Newton steps for the oscillator's phase of a vector.
const OSCILLATOR_STEPS: usize = 3;

impl Setting {
    /// The fields that enter the meshes.
    pub(in crate::coherent) fn driven(&self, twin: &Twin, modes: usize) -> Fields {
        let mut fields = self.inputs.clone();
        for (mode, gain) in twin.of(|b| &b.input).iter().enumerate().take(modes) {
            let gain = gain.exp();
            fields.row_mut(mode).iter_mut().for_each(|entry| *entry *= gain);
        }
        fields
    }

    /// The setting at the twin's parameters. With `noise` the phase of the oscillator is estimated vector by vector from
    /// fields and reference together (maximum a posteriori); without, it is the reference's.
    #[inline(always)]
    pub(in crate::coherent) fn seen(
        &self,
        layout: &Layout,
        twin: &Twin,
        parts: &[Part],
        noise: Option<Noise>,
    ) -> Seen {
        let modes = layout.modes();
        let phases = twin.phases(layout, &self.drive);
        let shifted = turns(&phases.phases);
        let chip = Chip::turned(layout, parts, &shifted);
        let mut fields = self.driven(twin, modes);
        let tape = chip.record(&mut fields);
        for (mode, gain) in twin.of(|b| &b.output).iter().enumerate() {
            let gain = gain.exp();
            fields.row_mut(mode).iter_mut().for_each(|entry| *entry *= gain);
        }
        let width = self.inputs.width;
        let mut seen = Seen {
            phases,
            tape,
            shifted,
            fields,
            turns: Vec::with_capacity(width),
            astray: Vec::with_capacity(width),
            residual: Fields::dark(modes, width),
            by_oscillator: Fields::dark(modes, width),
            square: 0.0,
            freedom: 0.0,
        };
        for vector in 0..width {
            let reference = self.oscillator[vector];
            let mut phase = reference;
            if let Some(noise) = noise {
                for _ in 0..OSCILLATOR_STEPS {
                    let (along, norm) = self.compare(twin, &mut seen, vector, phase);
                    let weight = noise.quadrature.powi(-2);
                    let prior = noise.oscillator.powi(-2);
                    phase += (along * weight - (phase - reference) * prior) / (norm * weight + prior);
                }
            }
            let (_, norm) = self.compare(twin, &mut seen, vector, phase);
            if let Some(noise) = noise {
                let known = norm * noise.quadrature.powi(-2);
                seen.freedom -= known / (known + noise.oscillator.powi(-2));
            }
            let (s, c) = phase.sin_cos();
            seen.turns.push((c, s));
            seen.astray.push(phase - reference);
        }
        for mode in 0..modes {
            seen.square += seen.residual.row(mode).iter().map(|r| r * r).sum::<f64>();
            seen.freedom += self.valid.row(mode).iter().sum::<f64>();
        }
        seen
    }

    /// Fills in residual and derivative of one vector; `(u·r, u·u)` with `u` the derivative by the oscillator's phase.
    #[inline(always)]
    fn compare(&self, twin: &Twin, seen: &mut Seen, vector: usize, phase: f64) -> (f64, f64) {
        let width = self.inputs.width;
        let (imbalance, skew) = (twin.of(|b| &b.imbalance), twin.of(|b| &b.skew));
        let (offset_i, offset_q) = (twin.of(|b| &b.offset_i), twin.of(|b| &b.offset_q));
        let turn = Complex64::cis(phase);
        let (mut along, mut norm) = (0.0, 0.0);
        for mode in 0..imbalance.len() {
            let w = seen.fields.at(mode, vector) * turn;
            let (shown, valid) = (self.shown.row(mode), self.valid.row(mode));
            let i = valid[vector] * (shown[vector] - w.re - offset_i[mode]);
            let q = valid[width + vector]
                * (shown[width + vector]
                    - (1.0 + imbalance[mode]) * w.im
                    - skew[mode] * w.re
                    - offset_q[mode]);
            let du = -w.im * valid[vector];
            let dv = ((1.0 + imbalance[mode]) * w.re - skew[mode] * w.im) * valid[width + vector];
            seen.residual.put(mode, vector, Complex64::new(i, q));
            seen.by_oscillator.put(mode, vector, Complex64::new(du, dv));
            along += du * i + dv * q;
            norm += du * du + dv * dv;
        }
        (along, norm)
    }
}
