//! Weights to codes, inputs to codes, counts to values.

use std::f64::consts::FRAC_PI_2;

use alora_drivers::{ActuatorFrame, InputBatch, InputCode, Readout};
use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::{
    CoherentCalibration,
    model::{ChipModel, Parameters},
};
use crate::{
    encoding::{EncodeError, Encoded, EncodedInputs},
    mesh::{Factorised, MeshSettings, factorise},
    weights::{Cell, WeightMatrix},
};

/// Share of the ADC's range that non-negative inputs may reach.
const HEADROOM: f64 = 0.98;
/// On a chip with defects, cells that are further than this from their target are called unreachable.
const REACH: f64 = 0.05;

/// `W = s · (U Σ Vᴴ) diag(h)`: the input gains `h` are divided out, the largest singular value is stretched to the
/// ceiling of the mesh (1), and `s` stays on the digital side. A matrix whose rows could drive a detector beyond its
/// ADC with inputs of one sign is attenuated further.
pub(super) fn encode(
    calibration: &CoherentCalibration,
    weights: &WeightMatrix,
) -> Result<Encoded, EncodeError> {
    let modes = calibration.modes;
    let (found_rows, found_cols) = weights.dim();
    if (found_rows, found_cols) != (modes, modes) {
        return Err(EncodeError::Shape { rows: modes, cols: modes, found_rows, found_cols });
    }
    let model = calibration.model();
    let parameters = calibration.parameters();
    let mut wanted = weights.view().to_owned();
    for (mut column, gain) in wanted.axis_iter_mut(Axis(1)).zip(&parameters.input) {
        column.mapv_inplace(|weight| weight / gain);
    }
    let mut parts = factorise(wanted.view()).ok_or(EncodeError::Svd)?;
    let scale = if parts.scale > 0.0 { parts.scale } else { 1.0 };
    let shrink = headroom(weights.view(), scale, &parameters.gain);
    parts.transmissions.iter_mut().for_each(|transmission| *transmission *= shrink);
    let output_scale = scale / shrink;
    let frame = frame(&model, &parameters, &parts);
    let expected = expected(&model, &parameters, &frame, output_scale);
    let unreachable = if calibration.defects.is_empty() {
        Vec::new()
    } else {
        (weights.view().indexed_iter().zip(&expected))
            .filter(|((_, target), expected)| (*target - *expected).abs() > REACH)
            .map(|(((row, col), _), _)| Cell { row, col })
            .collect()
    };
    Ok(Encoded { frame: ActuatorFrame(frame), expected, output_scale, unreachable })
}

/// Factor, at most 1, that keeps every output within the ADC for all inputs of one sign.
fn headroom(weights: ArrayView2<'_, f64>, scale: f64, gain: &[f64]) -> f64 {
    let largest = weights
        .rows()
        .into_iter()
        .zip(gain)
        .map(|(row, gain)| {
            let (up, down) = row.iter().fold((0.0, 0.0), |(up, down): (f64, f64), &weight| {
                if weight > 0.0 { (up + weight, down) } else { (up, down - weight) }
            });
            gain * up.max(down) / scale
        })
        .fold(0.0, f64::max);
    if largest > HEADROOM { HEADROOM / largest } else { 1.0 }
}

/// Nearest codes for the phases of both meshes, the attenuators and the outputs.
fn frame(model: &ChipModel, parameters: &Parameters, parts: &Factorised) -> Vec<u16> {
    let topology = &model.topology;
    let mut codes = vec![0; topology.shifters()];
    let mut set = |shifter: usize, phase: f64| codes[shifter] = model.code_for(parameters, shifter, phase);
    let mut mesh = |settings: &MeshSettings, theta_of: &dyn Fn(usize) -> usize| {
        for (position, mzi) in settings.mzis.iter().enumerate() {
            let theta = theta_of(position);
            set(theta, mzi.theta);
            set(theta + 1, mzi.phi);
        }
    };
    mesh(&parts.vh, &|position| topology.v_theta(position));
    mesh(&parts.u, &|position| topology.u_theta(position));
    for mode in 0..topology.modes() {
        // T11 = i sin(θ/2) e^{iθ/2} e^{iφ}: φ takes that phase back and adds the output phase of the V mesh.
        let theta = 2.0 * parts.transmissions[mode].min(1.0).asin();
        let shifter = topology.attenuator_theta(mode);
        set(shifter, theta);
        set(shifter + 1, parts.vh.outputs[mode] - FRAC_PI_2 - theta / 2.0);
        set(topology.output_phase(mode), parts.u.outputs[mode]);
    }
    codes
}

/// Real part of the model's matrix with these codes, in weight units.
fn expected(model: &ChipModel, parameters: &Parameters, codes: &[u16], output_scale: f64) -> Array2<f64> {
    let modes = parameters.gain.len();
    let transfer = model.transfer(parameters, codes);
    Array2::from_shape_fn((modes, modes), |(row, col)| {
        transfer.row(row)[col].re * parameters.input[col] * output_scale
    })
}

/// One pass; each vector stretched so that its largest magnitude is the highest code.
pub(super) fn encode_inputs(calibration: &CoherentCalibration, inputs: ArrayView2<'_, f64>) -> EncodedInputs {
    let top = f64::from(calibration.input_top);
    let mut codes = Array2::zeros(inputs.dim());
    let mut scales = Vec::with_capacity(inputs.nrows());
    for (vector, mut row) in inputs.rows().into_iter().zip(codes.rows_mut()) {
        let largest = vector.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        scales.push(largest);
        if largest > 0.0 {
            let stretch = top / largest;
            row.iter_mut()
                .zip(vector)
                .for_each(|(code, value)| *code = (value * stretch).round().clamp(-top, top) as InputCode);
        }
    }
    EncodedInputs { batch: InputBatch(codes), passes: 1, scales }
}

/// Real quadrature after the reference's phase is undone, shot by shot; gains and scales applied.
pub(super) fn decode(
    calibration: &CoherentCalibration,
    readout: &Readout,
    inputs: &EncodedInputs,
    output_scale: f64,
) -> Array3<f64> {
    let receiver = calibration.receiver();
    let (repeats, vectors, channels) = readout.counts.dim();
    let outputs = calibration.modes;
    let counts = readout.counts.as_standard_layout();
    let to_weight: Vec<f64> = calibration.output_gain.iter().map(|gain| output_scale / gain).collect();
    let mut values = vec![0.0; repeats * vectors * outputs];
    let shots = values.chunks_mut(outputs).zip(counts.as_slice().unwrap_or_default().chunks(channels));
    for (shot, (values, counts)) in shots.enumerate() {
        let scale = inputs.scales[shot % vectors];
        receiver.fields(counts, |output, field| values[output] = field.re * to_weight[output] * scale);
    }
    Array3::from_shape_vec((repeats, vectors, outputs), values)
        .unwrap_or_else(|_| Array3::zeros((repeats, vectors, outputs)))
}
