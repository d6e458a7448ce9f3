//! From actuator codes to the matrix that light meets.

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{
    IncoherentSpec,
    crosstalk::Crosstalk,
    element::Transfer,
    truth::{PAIRS, TrueDefectKind, Truth, stream},
};
use crate::frame::Code;

/// Photocurrents of each row per unit of input power, `[cols, rows]` (inputs first, for the batch product).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Currents {
    /// Difference of the two diodes: the weight.
    pub(crate) difference: Array2<f64>,
    /// Sum of the two diodes: what shot noise follows.
    pub(crate) sum: Array2<f64>,
}

/// Phases of the elements, but for the temperature's part.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    crosstalk: Crosstalk,
    phase: Vec<f64>,
}

impl Bank {
    pub(crate) fn of(spec: &IncoherentSpec, seed: u64) -> Self {
        let pairs = &mut stream(seed, PAIRS);
        let crosstalk = Crosstalk::of(spec).with_spread(spec.physics.crosstalk_spread, pairs);
        Self { crosstalk, phase: vec![0.0; spec.layout().actuators()] }
    }

    /// Who disturbs whom.
    #[cfg(feature = "answer-key")]
    pub(crate) fn crosstalk(&self) -> &Crosstalk {
        &self.crosstalk
    }

    /// Phases under `codes`, with this write's landing errors `landing` (radians): `φ = bias + h + Σ χ h + ε`.
    pub(crate) fn drive(&mut self, spec: &IncoherentSpec, truth: &Truth, codes: &[Code], landing: &[f64]) {
        let full = f64::from(limit(spec));
        let mut drive: Vec<f64> = codes
            .iter()
            .enumerate()
            .map(|(element, &code)| truth.drive_phase(element, f64::from(code) / full))
            .collect();
        for defect in &truth.defects {
            if let TrueDefectKind::Stuck(held) = defect.kind {
                drive[defect.actuator] = truth.drive_phase(defect.actuator, held);
            }
        }
        for (element, phase) in self.phase.iter_mut().enumerate() {
            *phase = truth.bias_rad[element] + drive[element] + landing[element];
        }
        self.crosstalk.add(&drive, &mut self.phase);
    }

    /// Photocurrents with the chip `kelvin` above its nominal temperature.
    pub(crate) fn currents(&self, spec: &IncoherentSpec, truth: &Truth, kelvin: f64) -> Currents {
        let warm = spec.physics.phase_per_kelvin * kelvin;
        let (plus, minus) = self.transmissions(spec, truth, warm);
        let plus = with_leakage(plus, spec.physics.optical_leakage);
        let minus = with_leakage(minus, spec.physics.optical_leakage);
        let per_input = |sign: f64| {
            Array2::from_shape_fn((spec.cols, spec.rows), |(col, row)| {
                truth.gain_plus[row] * plus[(row, col)] + sign * truth.gain_minus[row] * minus[(row, col)]
            })
        };
        Currents { difference: per_input(-1.0), sum: per_input(1.0) }
    }

    /// Transmission to the positive and to the negative diodes, `[rows, cols]`.
    fn transmissions(&self, spec: &IncoherentSpec, truth: &Truth, warm: f64) -> (Array2<f64>, Array2<f64>) {
        let mut plus = Array2::zeros((spec.rows, spec.cols));
        let mut minus = Array2::zeros((spec.rows, spec.cols));
        let rails = spec.rail_count();
        let at = |element: usize| truth.transfer(element, self.phase[element] + warm);
        for (cell, (plus, minus)) in plus.iter_mut().zip(minus.iter_mut()).enumerate() {
            let first = at(cell * rails);
            (*plus, *minus) = match rails {
                1 => (first.plus, first.minus),
                _ => (first.plus, at(cell * rails + 1).plus),
            };
        }
        for defect in &truth.defects {
            if let TrueDefectKind::WeakLine(contrast) = defect.kind {
                let cell = (defect.actuator / rails / spec.cols, defect.actuator / rails % spec.cols);
                (plus[cell], minus[cell]) = match rails {
                    1 => (contrast * plus[cell], 1.0 - contrast * (1.0 - minus[cell])),
                    _ if defect.actuator % 2 == 0 => (contrast * plus[cell], minus[cell]),
                    _ => (plus[cell], contrast * minus[cell]),
                };
            }
        }
        if spec.physics.channel_spacing_rad > 0.0 && rails == 1 {
            self.take_neighbours_channels(spec, truth, warm, &mut plus, &mut minus);
        }
        (plus, minus)
    }

    /// Light of a channel that the two rings next to its own drop on their way, by the tail of their line `s` away:
    /// `D = Σ T_drop(φ' ± s)`, `T⁺ ← T⁺ + D T⁻`, `T⁻ ← (1 − D) T⁻`. To first order in `D`.
    fn take_neighbours_channels(
        &self,
        spec: &IncoherentSpec,
        truth: &Truth,
        warm: f64,
        plus: &mut Array2<f64>,
        minus: &mut Array2<f64>,
    ) {
        let spacing = spec.physics.channel_spacing_rad;
        let drop = |row: usize, col: usize, offset: f64| -> Transfer {
            let element = row * spec.cols + col;
            truth.transfer(element, self.phase[element] + warm + offset)
        };
        for row in 0..spec.rows {
            for col in 0..spec.cols {
                let before = if col > 0 { drop(row, col - 1, -spacing).plus } else { 0.0 };
                let after = if col + 1 < spec.cols { drop(row, col + 1, spacing).plus } else { 0.0 };
                let taken = before + after;
                plus[(row, col)] += taken * minus[(row, col)];
                minus[(row, col)] *= 1.0 - taken;
            }
        }
    }
}

/// Highest actuator code.
pub(crate) fn limit(spec: &IncoherentSpec) -> Code {
    ((1u32 << spec.bits.actuator) - 1) as Code
}

/// Landing errors of one write, in radians.
pub(crate) fn landing(spec: &IncoherentSpec, rng: &mut impl Rng) -> Vec<f64> {
    let sd = spec.physics.repeatability_rad;
    let actuators = spec.layout().actuators();
    if sd == 0.0 {
        return vec![0.0; actuators];
    }
    (0..actuators)
        .map(|_| {
            let deviate: f64 = StandardNormal.sample(rng);
            sd * deviate
        })
        .collect()
}

/// Adds the fraction `leakage` of each of the 4 neighbours: `T'_ij = T_ij + κ (T_i−1j + T_i+1j + T_ij−1 + T_ij+1)`.
fn with_leakage(own: Array2<f64>, leakage: f64) -> Array2<f64> {
    if leakage == 0.0 {
        return own;
    }
    let view: ArrayView2<'_, f64> = own.view();
    let at = |row: Option<usize>, col: Option<usize>| {
        row.zip(col).and_then(|cell| view.get(cell)).copied().unwrap_or(0.0)
    };
    Array2::from_shape_fn(own.dim(), |(row, col)| {
        let neighbours = at(row.checked_sub(1), Some(col))
            + at(Some(row + 1), Some(col))
            + at(Some(row), col.checked_sub(1))
            + at(Some(row), Some(col + 1));
        view[(row, col)] + leakage * neighbours
    })
}
