//! What is known of a chip: the law of every shifter and the gains around the meshes.

use std::f64::consts::{PI, TAU};

use alora_drivers::{Code, datasheet::CoherentDataSheet};
use num_complex::Complex64;

use crate::mesh::{
    Topology,
    circuit::{Circuit, Fields},
    mzi::wrap,
};

/// Parameters of the calibrated model `Y = diag(g) C(φ) diag(h) X`, `φ_k = φ0_k + (1 + ρ_k) γ V²`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameters {
    /// Phase of each shifter at 0 V, radians.
    pub(super) phi0: Vec<f64>,
    /// Relative departure of each shifter's `π / Vπ²` from the data sheet; −1 for one that does not respond.
    pub(super) rho: Vec<f64>,
    /// Gain of each output, fraction of the ADC's full scale a unit field.
    pub(super) gain: Vec<f64>,
    /// Amplitude of each input relative to nominal.
    pub(super) input: Vec<f64>,
}

/// The fixed part of the model: light path and DAC law.
#[derive(Clone, Debug)]
pub(super) struct ChipModel {
    pub(super) topology: Topology,
    pub(super) circuit: Circuit,
    /// Phase at code 1 by the data sheet; the phase grows with the code's square.
    unit_phase: f64,
    limits: Vec<Code>,
}

impl ChipModel {
    pub(super) fn new(modes: usize, sheet: &CoherentDataSheet, bits: u8, limits: &[Code]) -> Self {
        let topology = Topology::new(modes);
        let top = f64::from((1u32 << bits) - 1);
        let unit_phase = PI * (sheet.v_max.0 / top / sheet.v_pi.0).powi(2);
        Self { circuit: Circuit::ideal(&topology), topology, unit_phase, limits: limits.to_vec() }
    }

    /// Data-sheet values.
    pub(super) fn nominal(&self, sheet: &CoherentDataSheet) -> Parameters {
        let (shifters, modes) = (self.topology.shifters(), self.topology.modes());
        Parameters {
            phi0: vec![sheet.phase_at_zero.0; shifters],
            rho: vec![0.0; shifters],
            gain: vec![1.0; modes],
            input: vec![1.0; modes],
        }
    }

    /// Phase that the data sheet's law adds at `code`.
    pub(super) fn drive(&self, code: Code) -> f64 {
        self.unit_phase * f64::from(code) * f64::from(code)
    }

    /// `e^{iφ}` of every shifter.
    pub(super) fn turns(&self, parameters: &Parameters, codes: &[Code]) -> Vec<Complex64> {
        (0..codes.len())
            .map(|k| Complex64::cis(parameters.phi0[k] + (1.0 + parameters.rho[k]) * self.drive(codes[k])))
            .collect()
    }

    /// The matrix between input and output gains, rows = outputs.
    pub(super) fn transfer(&self, parameters: &Parameters, codes: &[Code]) -> Fields {
        let mut fields = Fields::identity(self.topology.modes());
        self.circuit.forward(&self.turns(parameters, codes), &mut fields);
        fields
    }

    /// The code whose phase is nearest to `phase` (mod 2π) at the lowest voltage that reaches it.
    pub(super) fn code_for(&self, parameters: &Parameters, shifter: usize, phase: f64) -> Code {
        let slope = (1.0 + parameters.rho[shifter]) * self.unit_phase;
        if slope <= 0.0 {
            return 0;
        }
        let wanted = wrap(phase - parameters.phi0[shifter]);
        let limit = self.limits[shifter];
        let below = (wanted / slope).sqrt().floor().min(f64::from(limit)) as Code;
        let miss = |code: Code| {
            let off = wrap(slope * f64::from(code) * f64::from(code) - wanted);
            off.min(TAU - off)
        };
        let mut best = 0;
        for code in [below, below.saturating_add(1).min(limit)] {
            if miss(code) < miss(best) {
                best = code;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use alora_drivers::{Radians, Volts};

    use super::*;

    #[test]
    fn every_phase_is_met_within_half_a_step_at_less_than_one_turn() {
        let sheet = CoherentDataSheet {
            v_pi: Volts(4.0),
            v_max: Volts(6.0),
            phase_at_zero: Radians(0.4),
            loss_db: 0.0,
        };
        let model = ChipModel::new(2, &sheet, 8, &[255; 10]);
        let parameters = model.nominal(&sheet);
        for step in 0..1000 {
            let phase = TAU * f64::from(step) / 1000.0;
            let code = model.code_for(&parameters, 0, phase);
            let off = wrap(0.4 + model.drive(code) - phase);
            // Steps grow with the voltage: half of 2 c + 1 units at the code c just below the phase. Just below a full
            // turn code 0 may be nearer still.
            let half_step = model.unit_phase * ((wrap(phase - 0.4) / model.unit_phase).sqrt() + 0.5);
            assert!(off.min(TAU - off) <= half_step, "phase {phase}: code {code}");
            assert!(model.drive(code) < TAU + half_step);
        }
    }
}
