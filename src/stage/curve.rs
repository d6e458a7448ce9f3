//! Accuracy against σ: PTQ and ALoRA at several resolutions, in simulation.

use std::io::Write;

use alora_calibration::{ErrorLaw, ErrorModel, Event, write_atomically};
use alora_drivers::Descriptor;

use super::{
    Context, Purpose, Trained,
    fit::{FULL_SCALE, subject},
    task::Task,
    train::{adapt, chip_model, tile_of},
};
use crate::{
    error::Error,
    figures::{
        AccuracyAgainstSigma, AccuracyPoint, AccuracySeries, Hue, LineStyle, Marker, SeriesStyle,
        draw_accuracy_against_sigma,
    },
    finetune::{Accuracy, AdapterUse, CurvePoint, Subject, Trial, accuracy_curve},
    photonic::{ChipModel, ConverterPrecision, Sampling},
};

/// One curve of the figure.
struct Curve {
    method: String,
    bits: u8,
    /// For each σ, the accuracy of each draw.
    points: Vec<(f64, Vec<Accuracy>)>,
}

/// Times that every point is evaluated, with errors of its own.
const DRAWS: u64 = 3;

/// Evaluates PTQ and the fine-tuned network at every resolution and σ of the configuration, with fresh errors, three times
/// each. Fine-tuning is done once a resolution, at the measured σ. Writes `accuracy-sigma.csv` and `accuracy-sigma.png`.
///
/// # Errors
/// An error law that cannot be stretched, training that diverges, or a folder that cannot be written.
pub fn accuracy_figure(
    context: &mut Context<'_>,
    task: &Task,
    trained: &Trained,
    error: &ErrorModel,
    descriptor: &Descriptor,
) -> Result<(), Error> {
    let figures = context.config.figures.clone();
    if figures.bits.is_empty() || figures.sigma_percent.is_empty() {
        return Ok(());
    }
    let sigmas: Vec<f64> = figures.sigma_percent.iter().map(|percent| percent / 100.0).collect();
    let plain = chip_model(context.config, tile_of(descriptor)?, error)?;
    let mut curves = Vec::new();
    for &bits in &figures.bits {
        context.go_on()?;
        let precision = ConverterPrecision::uniform(bits)
            .map_err(|error| Error::Input { path: "figures.bits".into(), reason: error.to_string() })?;
        let chip = ChipModel { precision: Some(precision), ..plain.clone() };
        // What the run trained anyway needs no second training.
        let adapted = if precision == context.config.precision {
            None
        } else {
            Some(adapt(context, task, &trained.base, &chip, None)?)
        };
        context.go_on()?;
        let chip = ChipModel {
            error: None,
            // Residuals cannot be drawn per execution.
            sampling: match error.law {
                ErrorLaw::Empirical { .. } => Sampling::PerStep,
                ErrorLaw::Map { .. } => Sampling::Map,
                _ => Sampling::PerExecution,
            },
            ..chip
        };
        let before = trained.before();
        let after = match &adapted {
            None => trained.after(),
            Some(outcome) => Subject {
                model: if outcome.adapters.is_some() {
                    std::sync::Arc::clone(&trained.base.model)
                } else {
                    std::sync::Arc::clone(&outcome.merged)
                },
                adapters: outcome.adapters.as_ref().map_or(AdapterUse::None, AdapterUse::Parallel),
                ranges: outcome.ranges.clone(),
                input_scales: trained.base.input_scales.clone(),
            },
        };
        for (method, subject) in
            [("PTQ".to_owned(), before), (context.config.finetune.techniques.name(), after)]
        {
            let points = points(context, task, &subject, &chip, error, &sigmas)?;
            curves.push(Curve { method, bits, points });
        }
    }
    context.go_on()?;
    write_table(context, &curves)?;
    draw(context, trained, error, curves)
}

/// Accuracy of `subject` at each σ, several draws each.
fn points(
    context: &mut Context<'_>,
    task: &Task,
    subject: &Subject<'_>,
    chip: &ChipModel,
    error: &ErrorModel,
    sigmas: &[f64],
) -> Result<Vec<(f64, Vec<Accuracy>)>, Error> {
    let batch_size = context.config.evaluation.batch_size;
    let trial = Trial { data: task.test(), pipeline: &task.pipeline, batch_size };
    let seed = context.seed(Purpose::Evaluate);
    context.observer.on(Event::Started { stage: "accuracy against σ", steps: DRAWS });
    let mut draws = Vec::new();
    for draw in 0..DRAWS {
        draws.push(accuracy_curve(subject, trial, chip, error, sigmas, seed.wrapping_add(draw))?);
        context.observer.on(Event::Step);
    }
    context.observer.on(Event::Finished);
    Ok(transposed(&draws))
}

/// From draws of curves to points of draws.
fn transposed(draws: &[Vec<CurvePoint>]) -> Vec<(f64, Vec<Accuracy>)> {
    let sigmas = draws.first().map_or(&[][..], Vec::as_slice).iter().map(|point| point.sigma);
    sigmas
        .enumerate()
        .map(|(index, sigma)| (sigma, draws.iter().map(|curve| curve[index].accuracy).collect()))
        .collect()
}

fn write_table(context: &mut Context<'_>, curves: &[Curve]) -> Result<(), Error> {
    let mut text = String::from("method,bits,sigma_full_scale,draw,correct,images\n");
    for curve in curves {
        for (sigma, accuracies) in &curve.points {
            for (draw, accuracy) in accuracies.iter().enumerate() {
                text.push_str(&format!(
                    "{},{},{sigma},{draw},{},{}\n",
                    curve.method, curve.bits, accuracy.correct, accuracy.n
                ));
            }
        }
    }
    write_atomically(&context.folder.file("accuracy_sigma", "accuracy-sigma.csv"), |writer| {
        writer.write_all(text.as_bytes())
    })?;
    Ok(())
}

/// Mean of the draws, with the least and the greatest.
fn point(sigma: f64, accuracies: &[Accuracy]) -> AccuracyPoint {
    let fractions = || accuracies.iter().map(|accuracy| accuracy.fraction());
    let mean = fractions().sum::<f64>() / accuracies.len().max(1) as f64;
    let bounds = (fractions().fold(1.0, f64::min), fractions().fold(0.0, f64::max));
    AccuracyPoint { sigma, accuracy: mean, bounds: Some(bounds) }
}

fn draw(
    context: &mut Context<'_>,
    trained: &Trained,
    error: &ErrorModel,
    curves: Vec<Curve>,
) -> Result<(), Error> {
    let finest = curves.iter().map(|curve| curve.bits).max().unwrap_or_default();
    let series = curves
        .into_iter()
        .map(|curve| AccuracySeries {
            name: format!("{}, {} bits", curve.method, curve.bits),
            points: curve.points.iter().map(|(sigma, accuracies)| point(*sigma, accuracies)).collect(),
            style: style(&curve.method, curve.bits == finest),
        })
        .collect();
    let data = AccuracyAgainstSigma {
        subject: subject(&error.provenance),
        series,
        digital: Some(trained.digital),
        measured_sigma: Some(error.sigma),
        reference: FULL_SCALE.to_owned(),
    };
    draw_accuracy_against_sigma(&context.folder.file("figure_accuracy", "accuracy-sigma.png"), &data)?;
    Ok(())
}

/// Hue and marker tell the method; full lines and markers the finest converters, broken and hollow ones the others.
fn style(method: &str, finest: bool) -> SeriesStyle {
    let (hue, marker) =
        if method == "PTQ" { (Hue::Blue, Marker::Disc) } else { (Hue::Vermilion, Marker::Square) };
    SeriesStyle {
        hue,
        line: if finest { LineStyle::Solid } else { LineStyle::Dashed },
        marker,
        filled: finest,
    }
}
