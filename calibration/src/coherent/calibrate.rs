//! First calibration of a coherent processor.

use super::{
    CoherentCalibration, CoherentError,
    bench::Bench,
    fit::{Fit, Fitted, Setting},
    model::{ChipModel, Parameters},
    questions::Questions,
    sweep::{Start, Sweeps},
};
use crate::{
    calibration::{CalibrateError, CalibrationPlan},
    observer::{Event, Observer},
};
use alora_drivers::{ActuatorLayout, Detection, PhotonicBackend, datasheet::CoherentDataSheet};
use num_complex::Complex64;

/// Settings by which light is looked for.
const LIGHT_SETTINGS: usize = 8;
/// An output with less than this share of the median light is dead.
const DEAD_SHARE: f64 = 0.05;
/// The first of so many parts of the settings finds the neighbourhood, all of them the place.
const ROUGH: usize = 4;
/// Random settings of the check after the common fit.
const CHECK_SETTINGS: usize = 6;
/// A fit that misses the fields by more than this share has not found the chip.
const LOST: f64 = 0.5;

/// First calibration from the data sheet. Returns what was learned and how many input vectors were sent.
pub(crate) async fn calibrate(
    backend: &mut dyn PhotonicBackend,
    sheet: &CoherentDataSheet,
    plan: &CalibrationPlan,
    observer: &mut dyn Observer,
) -> Result<(CoherentCalibration, u64), CalibrateError> {
    let descriptor = backend.descriptor().clone();
    let ActuatorLayout::ClementsSvd { modes } = descriptor.layout else {
        return Err(CoherentError::Layout.into());
    };
    let model = ChipModel::new(modes, sheet, descriptor.bits.actuator, &descriptor.limits);
    let mut bench = Bench::new(backend, plan.repeats.max(1)).await?;
    let mut questions = Questions::new(&model);
    look_for_light(&mut bench, &mut questions).await?;
    let sweeps = Sweeps {
        questions: &mut questions,
        bench: &mut bench,
        model: &model,
        points: plan.sweep_points.max(5),
    };
    let mut start = sweeps.run(model.nominal(sheet), observer).await?;
    for &shifter in &start.silent {
        observer.on(Event::Note(format!("phase shifter {shifter} does not respond; it is left out")));
    }

    let real_only = descriptor.detection == Detection::Homodyne;
    let settings = questions.ask(&mut bench, fit_settings(modes, real_only), observer).await?;
    let silent = start.silent.clone();
    let fit = |settings| Fit { model: &model, settings, real_only, silent: &silent };
    let gain = fit(&settings).common_gain(&start.parameters);
    start.parameters.gain.fill(gain);
    let rough = fit(&settings[..settings.len() / ROUGH]).run(&start.parameters, &start.parameters);
    let fitted = fit(&settings).run(&rough.parameters, &start.parameters);
    let check = questions.ask(&mut bench, CHECK_SETTINGS, observer).await?;
    let missed = fit(&check).rms(&fitted.parameters);
    let size = root_mean_square(&check);
    if missed > LOST * size {
        return Err(
            CoherentError::NotConverged { rounds: fitted.rounds, percent: 100.0 * missed / size }.into()
        );
    }
    let sent = bench.sent;
    Ok((learned(&bench, sheet, start, fitted, missed), sent))
}

/// Random settings of the common fit: what the model leaves out (splitters, crosstalk) acts as noise from setting to
/// setting, so that many settings with few vectors each are better than the reverse. One quadrature alone needs twice
/// as many.
fn fit_settings(modes: usize, real_only: bool) -> usize {
    (8 * modes).clamp(48, 256) * if real_only { 2 } else { 1 }
}

fn learned(
    bench: &Bench<'_>,
    sheet: &CoherentDataSheet,
    start: Start,
    fitted: Fitted,
    missed: f64,
) -> CoherentCalibration {
    let descriptor = &bench.descriptor;
    let Parameters { phi0, rho, gain, input } = fitted.parameters;
    let mean_gain = gain.iter().sum::<f64>() / gain.len() as f64;
    CoherentCalibration {
        modes: descriptor.outputs,
        detection: descriptor.detection,
        actuator_bits: descriptor.bits.actuator,
        input_top: descriptor.input_range().1,
        output_bits: descriptor.bits.output,
        limits: descriptor.limits.clone(),
        sheet: *sheet,
        phase_at_zero: phi0,
        phase_at_zero_sd: fitted.phi0_sd,
        slope_departure: rho,
        slope_departure_sd: fitted.rho_sd,
        output_gain: gain,
        input_gain: input,
        dark: bench.receiver.dark.clone(),
        defects: start.silent,
        prediction_rms: missed / mean_gain,
    }
}

fn root_mean_square(settings: &[Setting]) -> f64 {
    let entries = settings.iter().flat_map(|setting| &setting.shown.entries);
    let (square, count) =
        entries.fold((0.0, 0usize), |(square, count), z| (square + z.norm_sqr(), count + 1));
    (square / (2 * count.max(1)) as f64).sqrt()
}

/// Each output must see light in at least some settings.
async fn look_for_light(bench: &mut Bench<'_>, questions: &mut Questions<'_>) -> Result<(), CalibrateError> {
    let outputs = bench.descriptor.outputs;
    let mut power = vec![0.0; outputs];
    let mut shots = 0;
    for _ in 0..LIGHT_SETTINGS {
        let codes = questions.codes(&bench.descriptor.limits);
        let inputs = bench.input_codes(&questions.vectors(outputs));
        let shown = bench.shown(&codes, &inputs).await?;
        for (output, power) in power.iter_mut().enumerate() {
            *power += shown.fields.row(output).iter().map(Complex64::norm_sqr).sum::<f64>();
        }
        shots += outputs;
    }
    let amplitude: Vec<f64> = power.iter().map(|power| (power / shots as f64).sqrt()).collect();
    let mut sorted = amplitude.clone();
    sorted.sort_by(f64::total_cmp);
    let (median, brightest) = (sorted[outputs / 2], sorted[outputs - 1]);
    // A few counts: what offsets and noise alone can pretend.
    if brightest < 4.0 * bench.receiver.unit {
        return Err(CoherentError::NoLight.into());
    }
    match amplitude.iter().position(|&amplitude| amplitude < DEAD_SHARE * median) {
        Some(output) => Err(CoherentError::DeadOutput {
            output,
            percent: 100.0 * amplitude[output] / median,
            settings: LIGHT_SETTINGS,
        }
        .into()),
        None => Ok(()),
    }
}
