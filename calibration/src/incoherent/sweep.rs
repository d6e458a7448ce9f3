//! The measurements of a first calibration.

use alora_drivers::{ActuatorFrame, Code, Descriptor, InputBatch, PhotonicBackend, Readout};
use ndarray::{Array1, Array2, Array3, Axis, s};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{REFERENCE_FRAMES, fit::SweepPoint};
use crate::{
    calibration::{CalibrateError, CalibrationPlan, go_on},
    observer::{Event, Observer},
};

/// Zero-input vectors that the dark reading averages over.
const DARK_FRAMES: usize = 64;
/// Seed of the order of the sweeps. Fixed: the same chip is swept in the same order every time.
const SWEEP_ORDER: u64 = 0x5eed;

/// Dark counts of each row: parked, inputs at code 0. Also the number of vectors sent.
pub(super) async fn dark(backend: &mut dyn PhotonicBackend) -> Result<(Array1<f64>, u64), CalibrateError> {
    backend.park().await?;
    let zeros = Array2::zeros((DARK_FRAMES, backend.descriptor().input_width()));
    let readout = backend.execute(&InputBatch(zeros), 1).await?;
    let counts = readout.counts.mapv(f64::from);
    let outputs = counts.len_of(Axis(2));
    let sum = counts.sum_axis(Axis(0)).sum_axis(Axis(0));
    debug_assert_eq!(sum.len(), outputs);
    Ok((sum / DARK_FRAMES as f64, DARK_FRAMES as u64))
}

/// Sweeps of all elements: `points[actuator]`, and how many readings of each row were at a limit.
pub(super) struct Sweeps {
    pub(super) points: Vec<Vec<SweepPoint>>,
    pub(super) saturated: Vec<usize>,
    pub(super) readings_a_row: usize,
    pub(super) vectors: u64,
}

/// One step of a cell's sweep: which of its rails is driven, and to which code; the other rests at 0.
#[derive(Clone, Copy)]
struct Drive {
    rail: usize,
    code: Code,
}

/// Sweeps every element through `plan.sweep_points` codes, all elements at once, each in an order of its own.
///
/// With orders of their own the crosstalk of the neighbours scatters about its mean instead of following the
/// element's drive, so that a fit averages it; the mean is that of a chip with random weights. One input is on at a
/// time. `levels` are drives from 0 to 1; signals are counts over `counts_per_unit`.
pub(super) async fn sweep(
    backend: &mut dyn PhotonicBackend,
    rails: usize,
    levels: &[f64],
    counts_per_unit: f64,
    plan: &CalibrationPlan,
    observer: &mut dyn Observer,
) -> Result<Sweeps, CalibrateError> {
    let descriptor = backend.descriptor().clone();
    let (rows, cols) = (descriptor.outputs, descriptor.inputs);
    let orders = sweep_orders(&descriptor, rails, levels);
    let batch = one_hot_batch(&descriptor);
    let mut points = vec![Vec::with_capacity(levels.len()); descriptor.limits.len()];
    let mut saturated = vec![0; rows];
    let steps = rails * levels.len();
    observer.on(Event::Started { stage: "element sweeps", steps: steps as u64 });
    for step in 0..steps {
        go_on(observer)?;
        let mut frame = ActuatorFrame::zeros(descriptor.limits.len());
        for (cell, order) in orders.iter().enumerate() {
            frame.0[cell * rails + order[step].rail] = order[step].code;
        }
        let _ = backend.apply(&frame).await?;
        let readout = backend.execute(&batch, plan.repeats).await?;
        let signals = signals(&readout, cols) / counts_per_unit;
        for (cell, order) in orders.iter().enumerate() {
            let (row, col) = (cell / cols, cell % cols);
            let actuator = cell * rails + order[step].rail;
            if readout.saturated.slice(s![.., col, row]).iter().any(|&flag| flag) {
                saturated[row] += 1;
                continue;
            }
            let drive = f64::from(order[step].code) / f64::from(descriptor.limits[actuator].max(1));
            points[actuator].push(SweepPoint { drive, signal: signals[(col, row)] });
        }
        observer.on(Event::Step);
    }
    observer.on(Event::Finished);
    let vectors = (steps * batch.0.nrows() * plan.repeats) as u64;
    Ok(Sweeps { points, saturated, readings_a_row: steps * cols, vectors })
}

fn sweep_orders(descriptor: &Descriptor, rails: usize, levels: &[f64]) -> Vec<Vec<Drive>> {
    let rng = &mut ChaCha8Rng::seed_from_u64(SWEEP_ORDER);
    (0..descriptor.limits.len() / rails)
        .map(|cell| {
            let drive = |rail: usize, level: f64| {
                let limit = f64::from(descriptor.limits[cell * rails + rail]);
                Drive { rail, code: (level * limit).round() as Code }
            };
            let mut order: Vec<Drive> =
                (0..rails).flat_map(|rail| levels.iter().map(move |&level| drive(rail, level))).collect();
            order.shuffle(rng);
            order
        })
        .collect()
}

/// One input on at full power at a time, then the reference frames.
fn one_hot_batch(descriptor: &Descriptor) -> InputBatch {
    let cols = descriptor.inputs;
    let (_, top) = descriptor.input_range();
    InputBatch(Array2::from_shape_fn(
        (cols + REFERENCE_FRAMES, cols),
        |(frame, input)| {
            if frame == input { top } else { 0 }
        },
    ))
}

/// Mean counts of each vector less those of the reference frames, `[vectors, outputs]`.
fn signals(readout: &Readout, vectors: usize) -> Array2<f64> {
    let counts: Array3<f64> = readout.counts.mapv(f64::from);
    let repeats = counts.len_of(Axis(0)) as f64;
    let mut mean = counts.sum_axis(Axis(0)) / repeats;
    let references = mean.slice(s![vectors.., ..]).sum_axis(Axis(0)) / REFERENCE_FRAMES as f64;
    mean -= &references;
    mean.slice_move(s![..vectors, ..])
}
