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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use alora_drivers::datasheet::NominalElement;

    use super::*;
    use crate::incoherent::characterise::{
        bank::{FIRST_PAIR, FIRST_TAIL, NEAREST, OFF, PARAMETERS, QUARTIC, SPAN, SWING},
        line::Line,
    };

    /// 3 × 4 equal rings with 3 % crosstalk, tails and a quartic term.
    fn bank() -> BankModel {
        let element =
            NominalElement::AddDropRing { input_coupling: 0.99, drop_coupling: 0.99, round_trip: 0.996 };
        let mut theta = [0.0; PARAMETERS];
        (theta[OFF], theta[SWING], theta[BIAS], theta[SPAN], theta[QUARTIC]) =
            (-1.0, 1.66, -0.18, 0.42, 0.01);
        theta[FIRST_PAIR..FIRST_PAIR + NEAREST].fill(0.03);
        theta[FIRST_TAIL..].fill(1.0);
        BankModel::new(3, 4, Line::of(&element).unwrap(), vec![theta; 12], 0.34)
    }

    #[test]
    fn heats_of_weights_hold_the_weights_with_all_crosstalk_and_tails() {
        let bank = bank();
        let targets: Vec<f64> = (0..12).map(|ring| -0.6 + 0.1 * f64::from(ring)).collect();
        let weights = bank.weights(&heats_of_weights(&bank, &targets));
        for (weight, target) in weights.iter().zip(&targets) {
            // 16 rounds, each dividing the error by more than 5: far below rounding of the codes.
            assert!((weight - target).abs() < 1e-8, "{weight} {target}");
        }
    }

    #[test]
    fn a_heater_is_never_asked_for_less_than_nothing_or_more_than_it_has() {
        let bank = bank();
        let wanted = [Wanted::Phase(-3.0), Wanted::Phase(3.0)].repeat(6);
        let heats = heats_for(&bank, &wanted);
        assert!(heats.iter().all(|heat| (0.0..=bank.heat(0, 1.0)).contains(heat)), "{heats:?}");
    }

    #[test]
    fn the_drive_for_a_heat_undoes_the_heat_of_a_drive() {
        let bank = bank();
        for step in 0..=20 {
            let power = f64::from(step) / 20.0;
            assert!((bank.power_for(0, bank.heat(0, power)) - power).abs() < 1e-12);
        }
    }
}
