//! Converters, tiles and the noise of an execution.

use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use super::{
    Case,
    random::{STANDARD_ERRORS, mean, normal, rms, rng, uniform, variance},
};
use crate::{
    error::Error,
    network::{NetworkError, PhotonicLinear, matrix},
    photonic::{Bits, ChipModel, Quantiser, Sampling, TileShape, Tiling, WeightScaling, vanished_deltas},
};

pub(super) fn cases(_: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for bits in [4, 8] {
        cases.push(quantiser(bits)?);
    }
    cases.push(vanished()?);
    cases.extend(tiles()?);
    cases.extend(noise()?);
    Ok(cases)
}

/// A resolution or shape that this module itself chose.
fn own<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, Error> {
    result.map_err(|error| Error::OutOfSpec(format!("a case of the validation is wrong: {error}")))
}

fn quantiser(bits: u8) -> Result<Case, Error> {
    const VALUES: usize = 100_000;
    let quantiser = Quantiser::over(1.0, own(Bits::new(bits))?);
    let errors: Vec<f64> =
        uniform(VALUES, &mut rng(u64::from(bits))).iter().map(|x| quantiser.quantise(*x) - x).collect();
    // Codes −(2^(n−1) − 1) … 2^(n−1) − 1 over ±1.
    let step = 1.0 / (2_f64.powi(i32::from(bits) - 1) - 1.0);
    // e² of a uniform error has relative variance 0.8, so its rms varies by √(0.8/n)/2.
    Ok(Case::within(
        format!("{bits}-bit weight converter: rms error of uniform weights over LSB/√12"),
        "uniform rounding error; 4 standard errors √(0.8/n)/2, n = 100 000",
        rms(&errors) / (step / 12_f64.sqrt()),
        1.0,
        STANDARD_ERRORS * (0.8 / VALUES as f64).sqrt() / 2.0,
    ))
}

/// A change of a quarter LSB moves a uniform weight to another code once in four times.
fn vanished() -> Result<Case, Error> {
    let side = 128;
    let lsb = 1.0 / 127.0;
    let mut base = Array2::from_shape_vec((side, side), uniform(side * side, &mut rng(4)))
        .unwrap_or_else(|_| Array2::zeros((side, side)))
        .mapv(|w| (0.9 * w) as f32);
    base[(0, 0)] = 1.0;
    let mut changed = base.mapv(|w| w + 0.25 * lsb as f32);
    changed[(0, 0)] = 1.0;
    let lost = vanished_deltas(
        base.view(),
        changed.view(),
        WeightScaling::Matrix,
        own(TileShape::new(16, 16))?,
        own(Bits::new(8))?,
    );
    let lost = own(lost)?;
    let share = 100.0 * lost.vanished as f64 / lost.changed as f64;
    let error = 100.0 * (0.75 * 0.25 / lost.changed as f64).sqrt();
    Ok(Case::within(
        "Weight changes of LSB/4 that the converter loses and the report counts",
        "3 of 4 uniform weights; 4 binomial standard errors, n = 16 383",
        share,
        75.0,
        STANDARD_ERRORS * error,
    )
    .in_unit("%"))
}

/// Programmings that the paper's network (784, 256, 256, 256, 10) takes.
fn tiles() -> Result<Vec<Case>, Error> {
    let layers = [(256, 784), (256, 256), (256, 256), (10, 256)];
    // 16: 16·49 + 2·16·16 + 1·16; 8: 32·98 + 2·32·32 + 2·32.
    [(16, 1312.0), (8, 5248.0)]
        .into_iter()
        .map(|(side, expected)| {
            let shape = own(TileShape::new(side, side))?;
            let mut count = 0;
            for (out, inputs) in layers {
                count += own(Tiling::new(out, inputs, shape))?.count();
            }
            Ok(Case::within(
                format!("Tiles of the 784–256–256–256–10 network on {side} × {side}"),
                "⌈out/N⌉·⌈in/N⌉ summed by hand; a count, so ± 0",
                count as f64,
                expected,
                0.0,
            ))
        })
        .collect()
}

const SIDE: usize = 16;
const VECTORS: usize = 8192;
const SIGMA: f64 = 0.012;

/// The noise put on outputs against δW drawn weight by weight, which it stands for.
fn noise() -> Result<Vec<Case>, Error> {
    let rng = &mut rng(6);
    let weight = Array2::from_shape_simple_fn((SIDE, SIDE), || normal(rng) as f32);
    let input: Vec<f64> = uniform(SIDE, rng);
    let full_scale = weight.iter().fold(0.0_f64, |max, w| max.max(f64::from(w.abs())));
    let explicit = explicit_variance(full_scale * SIGMA, &input, rng);
    let law = (full_scale * SIGMA).powi(2) * input.iter().map(|x| x * x).sum::<f64>();
    let fresh = outputs(&weight, &input, Sampling::PerExecution)?;
    let frozen = outputs(&weight, &input, Sampling::Frozen { chip_seed: 3 })?;
    let n = (SIDE * VECTORS) as f64;
    let claim = "Error of an output, δW drawn anew at each execution: variance";
    Ok(vec![
        Case::within(
            format!("{claim} over that of {VECTORS} explicit draws of δW"),
            "independent draws of every weight's error; 4 standard errors √(4/n), n = 131 072",
            spread(&fresh) / explicit,
            1.0,
            STANDARD_ERRORS * (4.0 / n).sqrt(),
        ),
        Case::within(
            format!("{claim} over σ²·max(W)²·Σx²"),
            "Gaussian sum; 4 standard errors √(2/n), n = 131 072",
            spread(&fresh) / law,
            1.0,
            STANDARD_ERRORS * (2.0 / n).sqrt(),
        ),
        Case::at_most(
            "Error of an output, δW frozen: variance over 8192 executions, over the fresh one",
            "a programming error stays until the next programming; rounding of 32-bit numbers",
            spread(&frozen) / law,
            1e-6,
        ),
    ])
}

/// Variance of `Σ δw·x` over draws of every `δw`, over rows and draws.
fn explicit_variance(sigma: f64, input: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    let errors: Vec<f64> =
        (0..SIDE * VECTORS).map(|_| input.iter().map(|x| sigma * normal(rng) * x).sum()).collect();
    variance(&errors)
}

/// Mean over the outputs of their variance over the vectors.
fn spread(outputs: &Array2<f64>) -> f64 {
    let per_output: Vec<f64> =
        outputs.columns().into_iter().map(|column| variance(&column.to_vec())).collect();
    mean(&per_output)
}

/// Outputs, `[vectors, SIDE]`, of the same vector sent again and again through ideal converters.
fn outputs(weight: &Array2<f32>, input: &[f64], sampling: Sampling) -> Result<Array2<f64>, Error> {
    let chip = ChipModel {
        tile: Some(own(TileShape::new(SIDE, SIDE))?),
        error: Some(ErrorLaw::Gaussian { sigma: SIGMA }),
        sampling,
        ..ChipModel::ideal()
    };
    let network = |error: NetworkError| Error::Finetune(error.into());
    let layer = PhotonicLinear::new(weight.view(), None, &chip, 0).map_err(network)?;
    let sent: Vec<f32> = input.iter().cycle().take(SIDE * VECTORS).map(|x| *x as f32).collect();
    let x = Tensor::<2>::from_data(TensorData::new(sent, [VECTORS, SIDE]), &Device::flex());
    let outputs = matrix(layer.forward(x, 11)).map_err(network)?;
    Ok(outputs.mapv(f64::from))
}
