//! One matrix in two bases, read in turns: neither a new writing nor drift comes between them.

use alora_drivers::{InputBatch, Readout};
use ndarray::{Array2, Array3, Axis};

use super::ReadingPlan;
use crate::{
    characterise::{Bench, CharacteriseError, Question},
    encoding::{Encoded, Encoding},
    readout::{Probes, ReadOut},
    statistics::probe::Basis,
};

/// `plan.repeats` readings of the matrix of `encoded` by one-hot vectors and by those of `basis`, each `[repeats, rows, cols]`.
pub(super) async fn read_both(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    encoded: &Encoded,
    basis: Basis,
    plan: &ReadingPlan,
) -> Result<[Array3<f64>; 2], CharacteriseError> {
    let alphabet = bench.descriptor().alphabet;
    let probes = [(Basis::OneHot, 0x6f6e_6521), (basis, 0x6d61_6e79)].map(|(basis, own)| {
        let readout = ReadOut { basis, repeats: plan.repeats };
        Probes::new(encoding, encoded, alphabet, readout, plan.seed ^ own)
    });
    let turns = Turns::new([probes[0].frames(), probes[1].frames()], plan.repeats);
    let question = Question {
        name: "reading-bases".to_owned(),
        frames: vec![encoded.frame.clone()],
        inputs: vec![turns.join([probes[0].batch(), probes[1].batch()])],
        repeats: 1,
    };
    let readout = &bench.ask(question).await?[0];
    Ok([0, 1].map(|of| probes[of].decode(encoding, encoded, &turns.part(readout, of)).values))
}

/// Order in which the frames of two batches are sent: block by block in turns.
struct Turns {
    /// Batch and frame in it, in the order of sending.
    order: Vec<(usize, usize)>,
}

impl Turns {
    /// `blocks ≥ 1` of each.
    fn new(frames: [usize; 2], blocks: usize) -> Self {
        let bound = |of: usize, block: usize| frames[of] * block / blocks;
        let order = (0..blocks)
            .flat_map(|block| [(0, block), (1, block)])
            .flat_map(|(of, block)| (bound(of, block)..bound(of, block + 1)).map(move |frame| (of, frame)))
            .collect();
        Self { order }
    }

    fn join(&self, batches: [&InputBatch; 2]) -> InputBatch {
        let width = batches[0].0.ncols();
        InputBatch(Array2::from_shape_fn((self.order.len(), width), |(place, input)| {
            let (of, frame) = self.order[place];
            batches[of].0[(frame, input)]
        }))
    }

    /// The readout of batch `of` alone.
    fn part(&self, readout: &Readout, of: usize) -> Readout {
        let places: Vec<usize> = (0..self.order.len()).filter(|&place| self.order[place].0 == of).collect();
        Readout {
            counts: readout.counts.select(Axis(1), &places),
            saturated: readout.saturated.select(Axis(1), &places),
            taken_at: readout.taken_at,
            temperature: readout.temperature,
        }
    }
}
