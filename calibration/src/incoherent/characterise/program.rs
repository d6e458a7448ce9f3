//! From wanted phases and weights to heats and codes, crosstalk compensated.

use super::bank::{BIAS, BankModel};

/// Rounds of the fixed point: neighbours bring less than a fifth of a ring's phase, so that each round divides the error
/// by more than 5.
const ROUNDS: usize = 16;

/// What one ring is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    /// To stand at this phase.
    Phase(f64),
    /// To be heated by this own phase.
    Heat(f64),
}

/// Own heats that bring every ring to what is wanted of it, none below 0 or above what its heater can: Gauss–Seidel on
/// `h_k = φ_k − b_k − Σ χ_kl h_l`, projected (Cryer, SIAM J. Control 9, 385 (1971)).
pub(super) fn heats_for(model: &BankModel, wanted: &[Wanted]) -> Vec<f64> {
    let mut heats = vec![0.0; wanted.len()];
    for _ in 0..ROUNDS {
        sweep(model, wanted, &mut heats);
    }
    heats
}

fn sweep(model: &BankModel, wanted: &[Wanted], heats: &mut [f64]) {
    for (ring, wanted) in wanted.iter().enumerate() {
        let heat = match *wanted {
            Wanted::Heat(heat) => heat,
            Wanted::Phase(phase) => {
                phase - model.rings[ring][BIAS] - model.disturbance(ring, |neighbour| heats[neighbour])
            }
        };
        heats[ring] = heat.clamp(0.0, model.heat(ring, 1.0).max(0.0));
    }
}

/// Own heats under which the bank holds `targets`, or the nearest that each ring can hold; below resonance.
pub(super) fn heats_of_weights(model: &BankModel, targets: &[f64]) -> Vec<f64> {
    let mut heats = vec![0.0; targets.len()];
    let mut phases = vec![0.0; targets.len()];
    for round in 0..ROUNDS {
        let wanted: Vec<Wanted> = targets
            .iter()
            .enumerate()
            .map(|(ring, &target)| {
                // The neighbours' phases of the round before; at first none is near another's channel.
                let tail =
                    if round == 0 { 0.0 } else { model.tail(ring, |neighbour| phases[neighbour]).taken };
                Wanted::Phase(model.phase_for(ring, target, tail))
            })
            .collect();
        sweep(model, &wanted, &mut heats);
        phases = model.phases(&heats);
    }
    heats
}
