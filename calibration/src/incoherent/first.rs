//! First calibration: dark, row gain, and the look-up of each element.

use alora_drivers::{
    ActuatorLayout, Descriptor, PhotonicBackend, Rails,
    datasheet::{DriveLaw, IncoherentDataSheet},
};
use rayon::prelude::*;

use super::{
    Defect, DefectKind, IncoherentCalibration,
    element::ElementLookup,
    fit::{SweepPoint, fit},
    law::Law,
    sweep::{Sweeps, dark, sweep},
};
use crate::{
    calibration::{CalibrateError, CalibrationPlan},
    observer::{Event, Observer},
};

/// Points below which the five parameters of a look-up are not determined.
const FEWEST_POINTS: usize = 5;
/// Share of the data sheet's response below which there is no light to calibrate with.
const DARKNESS: f64 = 0.1;
/// Share of the median response below which an element is stuck.
const STUCK: f64 = 0.1;
/// Share of its row's median reach below which an element is weak.
const WEAK: f64 = 0.5;

/// First calibration from the data sheet. Returns what was learned and how many input vectors were sent.
pub(crate) async fn calibrate(
    backend: &mut dyn PhotonicBackend,
    sheet: &IncoherentDataSheet,
    plan: &CalibrationPlan,
    observer: &mut dyn Observer,
) -> Result<(IncoherentCalibration, u64), CalibrateError> {
    if plan.sweep_points < FEWEST_POINTS || plan.repeats == 0 {
        return Err(CalibrateError::Plan { sweep_points: plan.sweep_points, repeats: plan.repeats });
    }
    let descriptor = backend.descriptor().clone();
    let ActuatorLayout::WeightBank { rails, .. } = descriptor.layout else {
        return Err(CalibrateError::Family { connected: descriptor.kind });
    };
    let (dark, dark_vectors) = dark(backend).await?;
    let levels = levels(sheet, plan.sweep_points);
    let rail_count = rail_count(rails);
    let sweeps = sweep(backend, rail_count, &levels, sheet.counts_per_unit, plan, observer).await?;
    check_saturation(&descriptor, &sweeps)?;
    let lookups = fit_all(sheet, rail_count, &sweeps.points);
    let bank = Bank { sheet, descriptor: &descriptor, rails: rail_count, lookups: &lookups };
    let (row_gain, defects) = bank.full_scale()?;
    for defect in &defects {
        observer.on(Event::Note(defect.sentence()));
    }
    let learned = IncoherentCalibration {
        rows: descriptor.outputs,
        cols: descriptor.inputs,
        rails,
        input_limit: descriptor.input_range().1,
        limits: descriptor.limits.clone(),
        dark: dark.to_vec(),
        lookups: lookups
            .iter()
            .enumerate()
            .map(|(actuator, lookup)| lookup.in_units_of(row_gain[bank.row(actuator)]))
            .collect(),
        row_gain: row_gain.iter().map(|gain| gain * sheet.counts_per_unit).collect(),
        element: sheet.element,
        defects,
    };
    Ok((learned, dark_vectors + sweeps.vectors))
}

fn rail_count(rails: Rails) -> usize {
    match rails {
        Rails::Differential => 1,
        Rails::Dual => 2,
    }
}

/// Drives of a sweep: most of them evenly spaced in the nominal weight, so that the neighbours' crosstalk has the mean
/// that it has under random weights; every fifth evenly spaced in phase from end to end, so that the turning points
/// are seen.
fn levels(sheet: &IncoherentDataSheet, points: usize) -> Vec<f64> {
    let DriveLaw { bias_rad, span_rad, exponent } = sheet.drive;
    let by_phase = points.div_ceil(5).max(2);
    let by_weight = points - by_phase;
    let (low, high) = nominal_reach(sheet);
    let from_phase = (0..by_phase).map(|point| point as f64 / (by_phase - 1) as f64);
    let from_weight = (0..by_weight).map(|point| {
        let share = (point as f64 + 0.5) / by_weight as f64;
        (sheet.element.phase_for(low + share * (high - low)) - bias_rad) / span_rad
    });
    from_phase.chain(from_weight).map(|share| share.clamp(0.0, 1.0).powf(1.0 / exponent)).collect()
}

/// Lowest and highest signal of the nominal element.
fn nominal_reach(sheet: &IncoherentDataSheet) -> (f64, f64) {
    let DriveLaw { bias_rad, span_rad, .. } = sheet.drive;
    let branch = sheet.element.branch();
    let at = |phase: f64| sheet.element.signal(phase.clamp(branch.lowest, branch.highest));
    (at(bias_rad), at(bias_rad + span_rad))
}

fn check_saturation(descriptor: &Descriptor, sweeps: &Sweeps) -> Result<(), CalibrateError> {
    match sweeps.saturated.iter().position(|&saturated| 2 * saturated > sweeps.readings_a_row) {
        Some(row) => Err(CalibrateError::SaturatedRow {
            processor: descriptor.id.clone(),
            row,
            saturated: sweeps.saturated[row],
            readings: sweeps.readings_a_row,
        }),
        None => Ok(()),
    }
}

/// Look-ups in nominal weight units. A sweep that cannot be fitted becomes an element without response.
fn fit_all(sheet: &IncoherentDataSheet, rails: usize, sweeps: &[Vec<SweepPoint>]) -> Vec<ElementLookup> {
    sweeps
        .par_iter()
        .enumerate()
        .map(|(actuator, points)| {
            let sign = if actuator % rails == 1 { -1.0 } else { 1.0 };
            fit(sheet, sign, points).unwrap_or_else(|| without_response(&sheet.drive, points))
        })
        .collect()
}

fn without_response(drive: &DriveLaw, points: &[SweepPoint]) -> ElementLookup {
    let mean = points.iter().map(|point| point.signal).sum::<f64>() / points.len().max(1) as f64;
    ElementLookup {
        offset: mean,
        amplitude: 0.0,
        bias_rad: drive.bias_rad,
        span_rad: drive.span_rad,
        exponent: drive.exponent,
        weight_sd: 0.0,
        residual: 0.0,
    }
}

/// The fitted elements of one chip, in nominal weight units.
struct Bank<'a> {
    sheet: &'a IncoherentDataSheet,
    descriptor: &'a Descriptor,
    rails: usize,
    lookups: &'a [ElementLookup],
}

impl Bank<'_> {
    fn row(&self, actuator: usize) -> usize {
        actuator / (self.rails * self.descriptor.inputs)
    }

    fn response(&self, actuator: usize) -> f64 {
        let (lowest, highest) = self.lookups[actuator].reach(&self.sheet.element);
        highest - lowest
    }

    /// Largest weight that an element reaches with the sign (or signs) that it is there for.
    fn reach(&self, actuator: usize) -> f64 {
        let (lowest, highest) = self.lookups[actuator].reach(&self.sheet.element);
        match (self.rails, actuator % self.rails) {
            (1, _) => highest.min(-lowest),
            (_, 0) => highest,
            _ => -lowest,
        }
    }

    fn actuators_of(&self, row: usize) -> std::ops::Range<usize> {
        let width = self.rails * self.descriptor.inputs;
        row * width..(row + 1) * width
    }

    /// Full scale of each row in nominal weight units, and the elements left out of it.
    fn full_scale(&self) -> Result<(Vec<f64>, Vec<Defect>), CalibrateError> {
        let responses: Vec<f64> = (0..self.lookups.len()).map(|actuator| self.response(actuator)).collect();
        let typical = median(responses.clone());
        self.check_light(typical)?;
        let mut defects = Vec::new();
        let mut row_gain = Vec::new();
        for row in 0..self.descriptor.outputs {
            let follows = |&actuator: &usize| responses[actuator] >= STUCK * typical;
            let reaches: Vec<f64> =
                self.actuators_of(row).filter(follows).map(|actuator| self.reach(actuator)).collect();
            if reaches.is_empty() {
                return Err(CalibrateError::DeadRow { processor: self.descriptor.id.clone(), row });
            }
            let usual = median(reaches.clone());
            let weakest = WEAK * usual;
            row_gain
                .push(reaches.into_iter().filter(|&reach| reach >= weakest).fold(f64::INFINITY, f64::min));
            for actuator in self.actuators_of(row) {
                let kind = match (follows(&actuator), self.reach(actuator) >= weakest) {
                    (false, _) => DefectKind::Stuck,
                    (true, false) => DefectKind::Weak,
                    (true, true) => continue,
                };
                let col = actuator / self.rails % self.descriptor.inputs;
                defects.push(Defect {
                    actuator,
                    row,
                    col,
                    kind,
                    response: responses[actuator] / typical,
                    reach: self.reach(actuator) / usual,
                });
            }
        }
        Ok((row_gain, defects))
    }

    fn check_light(&self, typical: f64) -> Result<(), CalibrateError> {
        let (low, high) = nominal_reach(self.sheet);
        let share = typical / (high - low);
        if share >= DARKNESS {
            return Ok(());
        }
        Err(CalibrateError::NoLight { processor: self.descriptor.id.clone(), percent: 100.0 * share })
    }
}

impl Defect {
    pub(super) fn sentence(&self) -> String {
        let what = match self.kind {
            DefectKind::Stuck => {
                format!(
                    "does not follow its actuator: its response is {:.0} % of the median",
                    100.0 * self.response
                )
            }
            DefectKind::Weak => {
                format!("reaches only {:.0} % of the weight that its row usually reaches", 100.0 * self.reach)
            }
        };
        format!(
            "element {} (row {}, column {}) {what}; recorded as a defect",
            self.actuator, self.row, self.col
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
