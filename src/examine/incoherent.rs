//! Banks of rings. Gauges, as the documentation of [`IncoherentCharacterisation`] has them: the laser's power and the chip's
//! temperature during the characterisation are common to all rings, and widths of lines are told only against phases.

use std::collections::{BTreeMap, HashMap};

use alora_calibration::IncoherentCharacterisation;
use alora_drivers::mock::incoherent::{Element, IncoherentAnswers, TrueDefectKind};

use super::{DefectCount, Kind, Tally, count};

/// Errors of one kind with their standard uncertainties.
type Errors = Vec<(f64, f64)>;

/// A line's finesse, and its levels on and off resonance.
struct Line {
    finesse: f64,
    peak: f64,
    dip: f64,
}

/// `None` for what is no ring.
fn line(element: &Element) -> Option<Line> {
    let Element::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a } = *element else {
        return None;
    };
    let x = r1 * r2 * a;
    let rest = (1.0 - x).powi(2);
    Some(Line {
        finesse: 4.0 * x / rest,
        peak: (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / rest,
        dip: (1.0 - r1 * r1) * (1.0 - (r2 * a).powi(2)) / rest,
    })
}

pub(super) fn examine(
    found: &IncoherentCharacterisation,
    answers: &IncoherentAnswers,
) -> (BTreeMap<String, Kind>, DefectCount) {
    let made: Vec<usize> = answers.truth.defects.iter().map(|defect| defect.actuator).collect();
    let called: Vec<usize> = found.defects.iter().map(|defect| defect.actuator).collect();
    let kinds = errors(found, answers, &made)
        .into_iter()
        .map(|(name, mut errors)| {
            if ["level_off", "swing", "bias_rad"].contains(&name) {
                centre(&mut errors);
            }
            let mut tally = Tally::default();
            errors.into_iter().for_each(|(error, sd)| tally.add(error, sd));
            (name.to_owned(), tally.done())
        })
        .collect();
    (kinds, count(&called, &made, found.limits.len()))
}

fn errors(
    found: &IncoherentCharacterisation,
    answers: &IncoherentAnswers,
    made: &[usize],
) -> BTreeMap<&'static str, Errors> {
    let truth = &answers.truth;
    let nominal = line(&answers.nominal).map_or(1.0, |line| line.finesse);
    let width = |ring: usize| line(&truth.elements[ring]).map_or(1.0, |line| (line.finesse / nominal).sqrt());
    let stuck: HashMap<usize, f64> = (truth.defects.iter())
        .filter_map(|defect| match defect.kind {
            TrueDefectKind::Stuck(drive) => {
                let bent = 1.0 + truth.heater_quartic * drive.powi(2);
                Some((defect.actuator, truth.span_rad[defect.actuator] * drive.powi(2) * bent))
            }
            _ => None,
        })
        .collect();
    let mut errors: BTreeMap<&'static str, Errors> = BTreeMap::new();
    for (ring, law) in found.rings.iter().enumerate().filter(|(ring, _)| !made.contains(ring)) {
        let Some(Line { peak, dip, .. }) = line(&truth.elements[ring]) else { continue };
        let (row, col) = (ring / answers.cols, ring % answers.cols);
        let mut note = |name, error: f64, sd: f64| errors.entry(name).or_default().push((error, sd));
        let power = truth.input_power[col] * (1.0 - truth.input_leak[col]);
        let off = -truth.gain_minus[row] * power;
        note("level_off", law.off.value / off - 1.0, (law.off.std_error / off).abs());
        let swing = power * (truth.gain_plus[row] * peak + truth.gain_minus[row] * dip);
        note("swing", law.swing.value / swing - 1.0, law.swing.std_error / swing);
        let mut bias = truth.bias_rad[ring];
        for (pair, offset) in IncoherentCharacterisation::neighbours().into_iter().enumerate() {
            let place = row.checked_add_signed(offset.0).zip(col.checked_add_signed(offset.1));
            let Some((r, c)) = place.filter(|&(r, c)| r < answers.rows && c < answers.cols) else { continue };
            let from = r * answers.cols + c;
            let coefficient = answers.crosstalk((row, col), (r, c));
            // The heat of a stuck ring never changes: it belongs to the bias.
            match stuck.get(&from) {
                Some(heat) => bias += coefficient * heat,
                None => {
                    let expected = coefficient * width(ring) / width(from);
                    note("crosstalk", law.crosstalk[pair] - expected, law.crosstalk_error[pair]);
                }
            }
        }
        note("bias_rad", law.bias_rad.value - bias * width(ring), law.bias_rad.std_error);
        let span = truth.span_rad[ring] * width(ring);
        note("span_rad", law.span_rad.value - span, law.span_rad.std_error);
        note("quartic", law.quartic.value - truth.heater_quartic, law.quartic.std_error);
    }
    errors
}

/// Takes the median off the errors.
fn centre(errors: &mut Errors) {
    let mut sorted: Vec<f64> = errors.iter().map(|(error, _)| *error).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    errors.iter_mut().for_each(|(error, _)| *error -= median);
}
