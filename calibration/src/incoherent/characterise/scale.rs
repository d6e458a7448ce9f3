//! What each ring reaches, which rings do not work as the others, and the full scale of each row.

use super::{
    bank::{BIAS, BankModel, SPAN},
    inputs::Inputs,
    solve::median,
    sweeps::Swept,
};
use crate::{
    characterise::CharacteriseError,
    incoherent::{Defect, DefectKind},
};

/// Share of its row's usual swing, of the bank's usual span or of its row's usual reach below which a ring is weak.
const WEAK: f64 = 0.7;

/// What one ring reaches, in nominal weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

/// Reach of every ring, with its neighbours at any weight between lowest and highest.
pub(super) fn reaches(model: &BankModel) -> Vec<Reach> {
    // Neighbours heat most when they stand on resonance, least when they are at rest.
    let hot: Vec<f64> = (0..model.rings.len())
        .map(|ring| (-model.rings[ring][BIAS]).clamp(0.0, model.heat(ring, 1.0).max(0.0)))
        .collect();
    let phases = model.phases(&hot);
    let weight = |ring: usize, phase: f64| {
        model.weight(ring, phase, model.tail(ring, |neighbour| phases[neighbour]).taken)
    };
    (0..model.rings.len())
        .map(|ring| {
            let cold = model.rings[ring][BIAS];
            let warmed = cold + model.disturbance(ring, |neighbour| hot[neighbour]);
            let full = cold + model.heat(ring, 1.0);
            let ends = [weight(ring, warmed.min(0.0)), weight(ring, full.min(0.0))];
            Reach { lowest: ends[0].min(ends[1]), highest: ends[0].max(ends[1]) }
        })
        .collect()
}

/// Full scale of each row, and the rings that were left out of it.
pub(super) fn full_scale(
    model: &BankModel,
    inputs: &Inputs,
    swept: &[Swept],
    reaches: &[Reach],
) -> Result<(Vec<f64>, Vec<Defect>), CharacteriseError> {
    let (rows, cols) = (model.rows, model.cols);
    let gain = |ring: usize| inputs.gain(ring / cols, ring % cols);
    let response: Vec<f64> =
        reaches.iter().enumerate().map(|(ring, reach)| (reach.highest - reach.lowest) / gain(ring)).collect();
    let follows = |ring: usize| swept[ring] != Swept::Still;
    let usual = median(response.clone());
    let usual_span = median(model.rings.iter().map(|theta| theta[SPAN]).collect());
    let symmetric = |ring: usize| reaches[ring].highest.min(-reaches[ring].lowest) / gain(ring);
    let usual_reach = median((0..rows * cols).map(symmetric).collect());
    let sound = |ring: usize| {
        follows(ring)
            && response[ring] >= WEAK * usual
            && model.rings[ring][SPAN] >= WEAK * usual_span
            && symmetric(ring) >= WEAK * usual_reach
    };
    let mut scale = Vec::with_capacity(rows);
    for row in 0..rows {
        let of_row = (row * cols..(row + 1) * cols).filter(|&ring| sound(ring));
        let least = of_row.map(|ring| symmetric(ring) * gain(ring)).fold(f64::INFINITY, f64::min);
        if !(least.is_finite() && least > 0.0) {
            return Err(CharacteriseError::NoSoundElement { row });
        }
        scale.push(least);
    }
    let defects = (0..rows * cols)
        .filter(|&ring| !sound(ring))
        .map(|ring| Defect {
            actuator: ring,
            row: ring / cols,
            col: ring % cols,
            kind: if follows(ring) { DefectKind::Weak } else { DefectKind::Stuck },
            response: response[ring] / usual,
            reach: symmetric(ring) / usual_reach,
        })
        .collect();
    Ok((scale, defects))
}
