//! What σ is relative to, counter-based normals, parameters of adapters.

use alora_calibration::ErrorLaw;
use ndarray::{Array2, s};
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, mean, normal, rms, rng, variance},
};
use crate::{
    error::Error,
    kernel::{
        normal::fill_normal,
        photonic::{Held, Part},
    },
    model::{AdapterShape, Architecture, ParameterTable, Trained, VitConfig},
    photonic::{ChipModel, Draw, ErrorReference, Sampling, programmed},
};

const ROWS: usize = 256;
const COLS: usize = 192;
const SIGMA: f64 = 0.012;

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = references()?;
    cases.extend(normals());
    cases.extend(parameters());
    Ok(cases)
}

/// δW as realised on a frozen chip, over `max|W|`, for each reference of σ: one Gaussian matrix with one row four times as large.
fn references() -> Result<Vec<Case>, Error> {
    let rng = &mut rng(21);
    let mut weight = Array2::from_shape_simple_fn((ROWS, COLS), || normal(rng) as f32);
    weight.row_mut(7).mapv_inplace(|w| 4.0 * w);
    let largest = f64::from(weight.iter().fold(0.0_f32, |max, w| max.max(w.abs())));
    let row_max =
        |row: usize| weight.slice(s![row, ..]).iter().fold(0.0_f64, |max, w| max.max(f64::from(w.abs())));
    let rows: Vec<f64> = (0..ROWS).map(row_max).collect();
    let of_matrix: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
    let expected = [
        (ErrorReference::FullScale, "full scale, one scale a matrix", 1.0),
        (ErrorReference::Matrix, "matrix", 1.0),
        (ErrorReference::Row, "row", rms(&rows) / largest),
        (ErrorReference::Rms, "rms", rms(&of_matrix) / largest),
    ];
    expected
        .into_iter()
        .map(|(reference, name, factor)| {
            let realised = realised(&weight, reference)? / largest;
            Ok(Case::within(
                format!("σ = 1.2 % relative to {name}: rms of δW on a frozen chip, over the largest weight"),
                "σ times the reference, rms over rows; 4 standard errors √(1/2n) of the widest row's share",
                100.0 * realised,
                100.0 * SIGMA * factor,
                // With one dominant row of 192 weights its own 1/√(2·192) bounds the relative error.
                100.0 * SIGMA * factor * STANDARD_ERRORS / (2.0 * COLS as f64).sqrt(),
            )
            .in_unit("%"))
        })
        .collect()
}

/// rms of what a frozen chip adds to `weight`, in units of the weights.
fn realised(weight: &Array2<f32>, reference: ErrorReference) -> Result<f64, Error> {
    let chip = ChipModel {
        error: Some(ErrorLaw::Gaussian { sigma: SIGMA }),
        reference,
        sampling: Sampling::Frozen { chip_seed: 5 },
        ..ChipModel::ideal()
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Error::OutOfSpec(format!("a case of the validation is wrong: {error}"))
    };
    let draw = Draw { layer: 0, step: 0, factor: 1.0 };
    let Part { held, scales, .. } = programmed(weight.view(), &chip, draw).map_err(|error| wrong(&error))?;
    let Held::Values(values) = held else { return Err(wrong(&"a held error leaves no codes")) };
    let errors: Vec<f64> = values
        .iter()
        .zip(weight)
        .enumerate()
        .map(|(index, (held, weight))| {
            f64::from(*held) * f64::from(scales[index / COLS]) - f64::from(*weight)
        })
        .collect();
    Ok(rms(&errors))
}

/// Moments of the counter-based normals, and neighbours.
fn normals() -> Vec<Case> {
    const N: usize = 1 << 20;
    let mut drawn = vec![0.0_f32; N];
    fill_normal(17, 3, 0, &mut drawn);
    let drawn: Vec<f64> = drawn.into_iter().map(f64::from).collect();
    let n = N as f64;
    let fourth = drawn.iter().map(|x| x.powi(4)).sum::<f64>() / n;
    let products: Vec<f64> = drawn.windows(2).map(|pair| pair[0] * pair[1]).collect();
    let beyond = drawn.iter().filter(|x| x.abs() > 3.0).count() as f64 / n;
    // P(|x| > 3) of the normal law.
    const TAIL: f64 = 0.002_699_796;
    let name = "Counter-based normals (Philox 4×32, Box and Muller), n = 2²⁰";
    vec![
        Case::within(
            format!("{name}: mean"),
            "0; 4 standard errors 1/√n",
            mean(&drawn),
            0.0,
            STANDARD_ERRORS / n.sqrt(),
        ),
        Case::within(
            format!("{name}: variance"),
            "1; 4 standard errors √(2/n)",
            variance(&drawn),
            1.0,
            STANDARD_ERRORS * (2.0 / n).sqrt(),
        ),
        Case::within(
            format!("{name}: fourth moment"),
            "3; 4 standard errors √(96/n)",
            fourth,
            3.0,
            STANDARD_ERRORS * (96.0 / n).sqrt(),
        ),
        Case::within(
            format!("{name}: part beyond 3"),
            "normal law; 4 binomial standard errors",
            beyond,
            TAIL,
            STANDARD_ERRORS * (TAIL / n).sqrt(),
        ),
        Case::within(
            format!("{name}: product of neighbours"),
            "0; 4 standard errors 1/√n",
            mean(&products),
            0.0,
            STANDARD_ERRORS / n.sqrt(),
        ),
    ]
}

/// Trainable parameters of ViT-B/16.
fn parameters() -> Vec<Case> {
    let vit = Architecture::Vit(VitConfig::base_patch16_224(10));
    [(true, 1_416_866.0), (false, 1_333_328.0)]
        .into_iter()
        .map(|(bias, expected)| {
            let shape = AdapterShape { rank: 8, bias, layers: None };
            let table = ParameterTable::new(&vit, &Trained::Adapters(shape));
            let biased = if bias { "with" } else { "without" };
            Case::within(
                format!("Trainable parameters of ViT-B/16, k = 8, 10 classes, {biased} biases"),
                "the paper's 0.14e7 with biases; Σ k(in + out) + biases by hand; a count, so ± 0",
                table.trainable as f64,
                expected,
                0.0,
            )
        })
        .collect()
}
