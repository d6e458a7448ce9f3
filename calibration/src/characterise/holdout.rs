//! How well a characterised processor holds matrices that it was not characterised with.

use alora_drivers::{ActuatorFrame, InputBatch};
use ndarray::{Array2, Array3, Array4, Array5, Axis};
use serde::{Deserialize, Serialize};

use super::{Bench, CharacteriseError, Question};
use crate::{
    encoding::Encoding,
    measure::MeasurementPlan,
    observer::Event,
    pairs::{Pairs, PairsError},
    readout::{ReadOut, read},
    statistics::{
        components::{NestedComponents, nested_components},
        probe::Basis,
    },
    verify::{Deviation, Turn, VerifyPlan, program_and_verify, reachable},
    weights::{Cell, WeightMatrix},
};

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldOutPlan {
    /// Random matrices, 1 to 1000.
    pub matrices: usize,
    /// Readings of each by which it is judged, 2 to 10 000; 0: as many as reach the uncertainty that is asked of a reading.
    pub repeats: usize,
    /// Times that each of the first two is written away and back, 1 to 100: tells errors of writing from those that stay.
    pub rewrites: usize,
    /// Seed of the matrices and of the probe vectors.
    pub seed: u64,
}

impl Default for HoldOutPlan {
    fn default() -> Self {
        Self { matrices: 6, repeats: 0, rewrites: 3, seed: 1001 }
    }
}

/// One hold-out matrix, entries uniform in ±1, the largest magnitude 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOutMatrix {
    /// As encoded from the characterisation alone.
    pub open_loop: Deviation,
    /// After program-and-verify, measured anew.
    pub verified: Deviation,
    /// The turns of program-and-verify.
    pub turns: Vec<Turn>,
    /// Floor that its formula predicts.
    pub predicted_floor: f64,
    /// Cells that the chip cannot reach; they are left out of the deviations.
    pub unreachable: Vec<Cell>,
    /// The matrix and its readings; not in files, where the journal has them.
    #[serde(skip)]
    pub readings: HoldOutReadings,
}

/// A hold-out matrix as it was read, full scale = 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HoldOutReadings {
    /// What was asked, `rows × cols`.
    pub target: Array2<f64>,
    /// Open loop, `[repeats, rows, cols]`.
    pub open: Array3<f64>,
    /// After program-and-verify, `[repeats, rows, cols]`.
    pub verified: Array3<f64>,
}

/// All hold-out matrices of one processor. Deviations are of the full scale, max|target| = 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// σ of the programming error without feedback: rms over matrices and cells, read-out noise taken off.
    pub open_loop: f64,
    /// σ after program-and-verify.
    pub verified: f64,
    /// rms over the matrices of the floor that was predicted.
    pub predicted_floor: f64,
    /// Basis in which the matrices were read.
    pub basis: Basis,
    /// Readings of each matrix by which it is judged.
    pub repeats: usize,
    /// Static error, re-programming and read-out of the first matrices as they were verified, each written several times. `None`
    /// when no cell of them can be reached.
    pub components: Option<NestedComponents>,
    /// Lowest and highest temperature of those readings, °C.
    pub celsius: [f64; 2],
    /// Matrix by matrix.
    pub matrices: Vec<HoldOutMatrix>,
}

impl HoldOut {
    /// Mean readings less targets, `[matrices, rows, cols]`, 0 where a cell cannot be reached.
    #[must_use]
    pub fn residuals(&self, of: fn(&HoldOutReadings) -> &Array3<f64>) -> Array3<f64> {
        let (rows, cols) = self.matrices.first().map_or((0, 0), |matrix| matrix.readings.target.dim());
        let mut residuals = Array3::zeros((self.matrices.len(), rows, cols));
        for (mut residual, matrix) in residuals.outer_iter_mut().zip(&self.matrices) {
            if let Some(mean) = of(&matrix.readings).mean_axis(Axis(0)) {
                residual.assign(&(mean - &matrix.readings.target));
            }
            matrix.unreachable.iter().for_each(|cell| residual[(cell.row, cell.col)] = 0.0);
        }
        residuals
    }

    /// Targets and readings of all matrices; cells that cannot be reached are among them.
    ///
    /// # Errors
    /// Fewer cells than statistics need.
    pub fn pairs(&self, of: fn(&HoldOutReadings) -> &Array3<f64>) -> Result<Pairs, PairsError> {
        let (rows, cols) = self.matrices.first().map_or((0, 0), |matrix| matrix.readings.target.dim());
        let count = self.matrices.len();
        let mut target = Array3::zeros((count, rows, cols));
        let mut measured = Array4::zeros((count, self.repeats, rows, cols));
        for (index, matrix) in self.matrices.iter().enumerate() {
            target.index_axis_mut(Axis(0), index).assign(&matrix.readings.target);
            measured.index_axis_mut(Axis(0), index).assign(of(&matrix.readings));
        }
        Pairs::new(target, measured)
    }
}

/// Matrices that are written several times.
const REWRITTEN: usize = 2;

/// Programs random matrices, open loop and verified, and measures each in the basis of `readout`. The first two are then
/// written away and back.
///
/// # Errors
/// As for [`program_and_verify`].
pub async fn hold_out(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    plan: &HoldOutPlan,
    verify: &VerifyPlan,
    readout: ReadOut,
) -> Result<HoldOut, CharacteriseError> {
    let judging = readout.with_repeats(plan.repeats);
    let (rows, cols) = (bench.descriptor().outputs, bench.descriptor().inputs);
    let targets = MeasurementPlan { programmings: plan.matrices, seed: plan.seed, ..Default::default() }
        .targets(rows, cols)?;
    bench.tell(Event::Started { stage: "hold-out matrices", steps: targets.len() as u64 });
    let mut matrices = Vec::with_capacity(targets.len());
    let mut rewritten = Rewritten::new((rows, cols));
    let mut celsius = [f64::INFINITY, f64::NEG_INFINITY];
    for (index, target) in targets.iter().enumerate() {
        let name = |what: &str| format!("holdout-{index:03}-{what}");
        let seed = plan.seed.wrapping_add(0x9E37_79B9 * (index as u64 + 1));
        let warm = bench.celsius().and_then(|chip| encoding.at(chip));
        let now = warm.as_deref().unwrap_or(encoding);
        let encoded = now.encode(target)?;
        let kept = reachable(&encoded);
        let open = read(bench, now, &encoded, &name("open"), judging, seed).await?;
        let plan_of = VerifyPlan { seed: verify.seed ^ seed, ..*verify };
        let verified = program_and_verify(bench, encoding, target, &name("loop"), &plan_of, readout).await?;
        let seed = seed.rotate_left(7);
        let set = verified.at(bench, encoding);
        let last = read(bench, encoding, &set, &name("verified"), judging, seed).await?;
        if index < REWRITTEN {
            let mut writings = vec![last.values.clone()];
            for again in 1..=plan.rewrites.max(1) {
                write_away(bench, &name(&format!("away-{again:02}"))).await?;
                let seed = seed.wrapping_add(0x9E37_79B9 * again as u64);
                let name = name(&format!("rewritten-{again:02}"));
                writings.push(read(bench, encoding, &set, &name, judging, seed).await?.values);
            }
            rewritten.add(writings, target, &kept);
        }
        matrices.push(HoldOutMatrix {
            open_loop: Deviation::of(open.values.view(), target, &kept),
            verified: Deviation::of(last.values.view(), target, &kept),
            turns: verified.turns,
            predicted_floor: verified.predicted_floor,
            unreachable: encoded.unreachable,
            readings: HoldOutReadings {
                target: target.view().to_owned(),
                open: open.values,
                verified: last.values,
            },
        });
        for reading in [open.celsius, last.celsius] {
            celsius = [celsius[0].min(reading), celsius[1].max(reading)];
        }
        bench.tell(Event::Step);
    }
    bench.tell(Event::Finished);
    let pooled = |of: fn(&HoldOutMatrix) -> f64| {
        (matrices.iter().map(of).sum::<f64>() / matrices.len().max(1) as f64).max(0.0).sqrt()
    };
    Ok(HoldOut {
        open_loop: pooled(|m| m.open_loop.rms.powi(2) - m.open_loop.noise.powi(2)),
        verified: pooled(|m| m.verified.rms.powi(2) - m.verified.noise.powi(2)),
        predicted_floor: pooled(|m| m.predicted_floor.powi(2)),
        basis: judging.basis,
        repeats: judging.repeats,
        components: rewritten.components(),
        celsius,
        matrices,
    })
}

/// All actuators to 0, and one dark vector.
async fn write_away(bench: &mut Bench<'_>, name: &str) -> Result<(), CharacteriseError> {
    let descriptor = bench.descriptor();
    let question = Question {
        name: name.to_owned(),
        frames: vec![ActuatorFrame::zeros(descriptor.limits.len())],
        inputs: vec![InputBatch(Array2::zeros((1, descriptor.input_width())))],
        repeats: 1,
    };
    bench.ask(question).await.map(|_| ())
}

/// Readings of matrices that were written several times.
struct Rewritten {
    /// Less their targets, `[repeats, rows, cols]`, writing by writing.
    residuals: Vec<Vec<Array3<f64>>>,
    /// Cells that all of them reach.
    kept: Array2<bool>,
}

impl Rewritten {
    fn new(shape: (usize, usize)) -> Self {
        Self { residuals: Vec::new(), kept: Array2::from_elem(shape, true) }
    }

    fn add(&mut self, writings: Vec<Array3<f64>>, target: &WeightMatrix, kept: &Array2<bool>) {
        self.residuals.push(writings.into_iter().map(|readings| readings - target.view()).collect());
        self.kept.zip_mut_with(kept, |all, &this| *all &= this);
    }

    fn components(&self) -> Option<NestedComponents> {
        let first = self.residuals.first()?;
        let (repeats, rows, cols) = first.first()?.dim();
        let shape = (self.residuals.len(), first.len(), repeats, rows, cols);
        let residuals = Array5::from_shape_fn(shape, |(p, w, r, i, j)| self.residuals[p][w][(r, i, j)]);
        nested_components(residuals.view(), self.kept.view())
    }
}
