//! What no measurement of the outputs can tell, settled by choice.
//!
//! * A static phase `d_m` after the attenuators goes through the U mesh (`T(θ, φ) diag(e^{i d_m}, e^{i d_{m+1}}) = e^{i d_{m+1}}
//!   T(θ, φ + d_m − d_{m+1})`) and comes off at the outputs: attenuator φ0 are 0.
//! * The common phase of the outputs is not told from that of the oscillator's reference: it is kept as the reference has it,
//!   and uncertainties of outputs are about their mean.

use super::{layout::Layout, parameters::Blocks};

/// The canonical gauge of one layout.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Gauge {
    modes: usize,
    /// φ of each attenuator.
    attenuators: Vec<usize>,
    /// `(upper, φ)` of the U mesh in propagation order.
    mesh: Vec<(usize, usize)>,
    outputs: Vec<usize>,
}

impl Gauge {
    pub(in crate::coherent) fn new(layout: &Layout) -> Self {
        let topology = &layout.topology;
        let modes = layout.modes();
        Self {
            modes,
            attenuators: (0..modes).map(|mode| topology.attenuator_theta(mode) + 1).collect(),
            mesh: (topology.sites().iter().enumerate())
                .map(|(position, site)| (site.upper, topology.u_theta(position) + 1))
                .collect(),
            outputs: (0..modes).map(|mode| topology.output_phase(mode)).collect(),
        }
    }

    /// Takes phases at 0 V (or a small change of them) among `values` to the canonical gauge.
    pub(in crate::coherent) fn fix(&self, blocks: &Blocks, values: &mut [f64]) {
        let phases = &mut values[blocks.phase.clone()];
        let mut screen: Vec<f64> =
            self.attenuators.iter().map(|&shifter| std::mem::take(&mut phases[shifter])).collect();
        for &(upper, phi) in &self.mesh {
            phases[phi] += screen[upper] - screen[upper + 1];
            screen[upper] = screen[upper + 1];
        }
        for (&output, ahead) in self.outputs.iter().zip(&screen) {
            phases[output] += ahead;
        }
    }

    /// Takes the mean off a small change of the outputs' phases.
    pub(in crate::coherent) fn centre(&self, blocks: &Blocks, values: &mut [f64]) {
        let phases = &mut values[blocks.phase.clone()];
        let mean = self.outputs.iter().map(|&output| phases[output]).sum::<f64>() / self.modes as f64;
        self.outputs.iter().for_each(|&output| phases[output] -= mean);
    }
}
