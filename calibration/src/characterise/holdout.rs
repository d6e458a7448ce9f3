//! How well a characterised processor holds matrices that it was not characterised with.

use serde::{Deserialize, Serialize};

use super::{Bench, CharacteriseError};
use crate::{
    encoding::Encoding,
    measure::MeasurementPlan,
    observer::Event,
    verify::{Deviation, Turn, VerifyPlan, program_and_verify, reachable, read},
    weights::Cell,
};

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldOutPlan {
    /// Random matrices, 1 to 1000.
    pub matrices: usize,
    /// Readings of each by which it is judged, 2 to 10 000.
    pub repeats: usize,
    /// Seed of the matrices and of the probe vectors.
    pub seed: u64,
}

impl Default for HoldOutPlan {
    fn default() -> Self {
        Self { matrices: 4, repeats: 128, seed: 1001 }
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
    /// Matrix by matrix.
    pub matrices: Vec<HoldOutMatrix>,
}

/// Programs random matrices, open loop and verified, and measures each.
///
/// # Errors
/// As for [`program_and_verify`].
pub async fn hold_out(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    plan: &HoldOutPlan,
    verify: &VerifyPlan,
) -> Result<HoldOut, CharacteriseError> {
    let (rows, cols) = (bench.descriptor().outputs, bench.descriptor().inputs);
    let targets = MeasurementPlan { programmings: plan.matrices, seed: plan.seed, ..Default::default() }
        .targets(rows, cols)?;
    bench.tell(Event::Started { stage: "hold-out matrices", steps: targets.len() as u64 });
    let mut matrices = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let name = |what: &str| format!("holdout-{index:03}-{what}");
        let seed = plan.seed.wrapping_add(0x9E37_79B9 * (index as u64 + 1));
        let encoded = encoding.encode(target)?;
        let kept = reachable(&encoded);
        let open = read(bench, encoding, &encoded, &name("open"), plan.repeats, seed).await?;
        let plan_of = VerifyPlan { seed: verify.seed ^ seed, ..*verify };
        let verified = program_and_verify(bench, encoding, target, &name("loop"), &plan_of).await?;
        let last =
            read(bench, encoding, &verified.encoded, &name("verified"), plan.repeats, seed.rotate_left(7))
                .await?;
        matrices.push(HoldOutMatrix {
            open_loop: Deviation::of(open.values.view(), target, &kept),
            verified: Deviation::of(last.values.view(), target, &kept),
            turns: verified.turns,
            predicted_floor: verified.predicted_floor,
            unreachable: encoded.unreachable,
        });
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
        matrices,
    })
}
