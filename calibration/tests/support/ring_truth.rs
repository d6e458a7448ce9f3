//! The truth of a simulated ring bank, as a characterisation could find it at best.

use std::collections::BTreeMap;

use alora_calibration::IncoherentCharacterisation;
use alora_drivers::mock::{
    IncoherentMock, IncoherentSpec,
    incoherent::{Element, TrueDefectKind},
};
use ndarray::Array2;

/// Intervals that cover, of how many, and squared standard scores.
#[derive(Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) covered: usize,
    pub(crate) count: usize,
    pub(crate) errors: f64,
    pub(crate) claimed: f64,
}

/// The matrix that the chip holds, as its decoder would scale a perfect reading.
pub(crate) fn true_weights(mock: &IncoherentMock, learned: &IncoherentCharacterisation) -> Array2<f64> {
    let mut weights = mock.true_weights();
    for (mut row, scale) in weights.rows_mut().into_iter().zip(&learned.full_scale) {
        row /= *scale;
    }
    weights
}

/// Coverage of the truth by the 95 % intervals of sound elements, gauges settled as the struct's documentation says.
pub(crate) fn coverage(
    mock: &IncoherentMock,
    spec: &IncoherentSpec,
    learned: &IncoherentCharacterisation,
) -> BTreeMap<&'static str, Tally> {
    let truth = mock.truth();
    let finesse = |element: &Element| -> (f64, f64, f64) {
        let Element::AddDropRing { input_coupling: r1, drop_coupling: r2, round_trip: a } = *element else {
            return (0.0, 0.0, 0.0);
        };
        let x = r1 * r2 * a;
        let rest = (1.0 - x).powi(2);
        let peak = (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / rest;
        let dip = (1.0 - r1 * r1) * (1.0 - (r2 * a).powi(2)) / rest;
        (4.0 * x / rest, peak, dip)
    };
    let nominal = finesse(&spec.element).0;
    let width: Vec<f64> =
        truth.elements.iter().map(|element| (finesse(element).0 / nominal).sqrt()).collect();
    let stuck: BTreeMap<usize, f64> = truth
        .defects
        .iter()
        .filter_map(|defect| match defect.kind {
            TrueDefectKind::Stuck(drive) => Some((
                defect.actuator,
                truth.span_rad[defect.actuator]
                    * drive.powi(2)
                    * (1.0 + truth.heater_quartic * drive.powi(2)),
            )),
            _ => None,
        })
        .collect();
    let defective: Vec<usize> = truth.defects.iter().map(|defect| defect.actuator).collect();
    let mut differences: BTreeMap<&'static str, Vec<(f64, f64)>> = BTreeMap::new();
    for (ring, law) in learned.rings.iter().enumerate().filter(|(ring, _)| !defective.contains(ring)) {
        let (row, col) = (ring / spec.cols, ring % spec.cols);
        let (_, peak, dip) = finesse(&truth.elements[ring]);
        let power = truth.input_power[col] * (1.0 - truth.input_leak[col]);
        let mut note = |name, found: f64, error: f64, expected: f64| {
            differences.entry(name).or_default().push((found - expected, error));
        };
        let off = -truth.gain_minus[row] * power;
        note("off", law.off.value / off, (law.off.std_error / off).abs(), 1.0);
        let swing = power * (truth.gain_plus[row] * peak + truth.gain_minus[row] * dip);
        note("swing", law.swing.value / swing, law.swing.std_error / swing, 1.0);
        let mut bias = truth.bias_rad[ring];
        for (pair, offset) in IncoherentCharacterisation::neighbours().into_iter().enumerate() {
            let place = row.checked_add_signed(offset.0).zip(col.checked_add_signed(offset.1));
            let Some((r, c)) = place.filter(|&(r, c)| r < spec.rows && c < spec.cols) else { continue };
            let from = r * spec.cols + c;
            let coefficient = mock.true_crosstalk((row, col), (r, c));
            if let Some(heat) = stuck.get(&from) {
                bias += coefficient * heat;
                continue;
            }
            let expected = coefficient * width[ring] / width[from];
            let name = if pair < 4 { "crosstalk, nearest" } else { "crosstalk, second" };
            note(name, law.crosstalk[pair], law.crosstalk_error[pair], expected);
        }
        note("bias", law.bias_rad.value, law.bias_rad.std_error, bias * width[ring]);
        note("span", law.span_rad.value, law.span_rad.std_error, truth.span_rad[ring] * width[ring]);
        note("quartic", law.quartic.value, law.quartic.std_error, truth.heater_quartic);
    }
    let tally = |(name, mut differences): (&'static str, Vec<(f64, f64)>)| {
        // Temperature and laser power during the characterisation are common to all: a gauge.
        if ["off", "swing", "bias"].contains(&name) {
            let mut sorted: Vec<f64> = differences.iter().map(|(difference, _)| *difference).collect();
            sorted.sort_by(f64::total_cmp);
            let centre = sorted[sorted.len() / 2];
            differences.iter_mut().for_each(|(difference, _)| *difference -= centre);
        }
        let mut tally = Tally { count: differences.len(), ..Tally::default() };
        for (difference, error) in differences {
            tally.covered += usize::from(difference.abs() <= 1.96 * error);
            tally.errors += difference * difference;
            tally.claimed += error * error;
        }
        (name, tally)
    };
    differences.into_iter().map(tally).collect()
}
