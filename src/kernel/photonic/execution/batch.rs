//! Forward passes whose output ranges are those of the whole batch.

use rayon::prelude::*;

use super::{
    super::{
        range::Gathered,
        reading::{Reading, RowReading, larger_magnitude, raise_maxima, read_row},
        sent::Sent,
        strips::{Programmed, Strip},
    },
    Buffers, Finish, Inputs, Place, Run, start_sums, store, sum,
};
use crate::kernel::{
    lanes::{LANES, Lanes},
    pieces::in_pieces,
};

/// Rows of a task that reads rows. Fixed, so that results do not depend on the number of threads.
const TASK_ROWS: usize = 64;

/// Groups of 16 rows of a task that stores rows.
const STORE_GROUPS: usize = 2;

impl Run<'_> {
    /// Each task takes a strip of whole tiles with all rows through all blocks: for ranges over the batch.
    pub(super) fn by_strips<T: Send>(
        &self,
        sent: &Sent,
        largest: f32,
        rows: usize,
        finish: &Finish<'_, T>,
    ) -> (Vec<f32>, Gathered, Vec<T>) {
        let product = self.product;
        let stride = product.outputs;
        let strips: Vec<(&Programmed, &Strip)> = self.strips().collect();
        let tasks = strips.par_iter().map_init(Buffers::default, |buffers, &(part, strip)| {
            let place = Place::new(part, strip, 0, rows);
            start_sums(place, &mut buffers.sums);
            let mut gathered = Gathered::default();
            for block in 0..product.depth.blocks() {
                let place = Place { block, ..place };
                gathered = gathered.and(self.analog(sent, place, buffers));
                let mut ranges = vec![0.0; strip.outputs.len().div_ceil(product.tile_rows)];
                for lanes in buffers.analog.chunks_exact(strip.padded()) {
                    raise_maxima(
                        product.isa,
                        &lanes[..strip.outputs.len()],
                        0,
                        product.tile_rows,
                        &mut ranges,
                    );
                }
                self.read(place, Reading::Tiles { largest, ranges: &ranges }, buffers);
            }
            (gathered, std::mem::take(&mut buffers.sums))
        });
        let (gathered, sums): (Vec<Gathered>, Vec<Vec<Lanes<f32>>>) = tasks.collect();
        let piece = STORE_GROUPS * LANES * stride;
        let (y, finished) = in_pieces(
            rows * stride,
            piece,
            || (),
            |(), task, y| {
                for (&(part, strip), sums) in strips.iter().zip(&sums) {
                    let place = Place::new(part, strip, STORE_GROUPS * task, y.len() / stride);
                    store(product, place, &sums[place.groups.0 * strip.padded()..], y);
                }
                finish(STORE_GROUPS * LANES * task, y)
            },
        );
        (y, sum(gathered), finished)
    }

    /// First the analog outputs of all rows, then their conversion: for ranges over the batch of tiles larger than a strip.
    pub(super) fn in_two_phases<T: Send>(
        &self,
        inputs: &Inputs<'_>,
        largest: f32,
        finish: &Finish<'_, T>,
    ) -> (Vec<f32>, Gathered, Vec<T>) {
        let product = self.product;
        let (blocks, stride) = (product.depth.blocks(), product.outputs);
        let mut y = if blocks > 1 { vec![0.0; inputs.rows() * stride] } else { Vec::new() };
        let mut gathered = Gathered::default();
        let mut finished = Vec::new();
        for block in 0..blocks {
            let (analog, ranges, seen) = self.analog_of_all(inputs, block);
            gathered = gathered.and(seen);
            // The sum of the only block takes the place of the analog outputs.
            let analog = if blocks > 1 { analog } else { std::mem::replace(&mut y, analog) };
            let readings: Vec<RowReading<'_>> = product
                .parts
                .iter()
                .zip(&ranges)
                .map(|(part, ranges)| RowReading {
                    scales: part.scales(block, &(0..part.outputs)),
                    bias: Some(&part.bias[..]).filter(|_| block == 0),
                    ranges,
                    tile_rows: product.tile_rows,
                    largest,
                })
                .collect();
            let tasks = y.par_chunks_mut(TASK_ROWS * stride).enumerate();
            finished = tasks
                .filter_map(|(task, y)| {
                    let first = task * TASK_ROWS;
                    for (row, y) in (first..).zip(y.chunks_exact_mut(stride)) {
                        for (part, reading) in product.parts.iter().zip(&readings) {
                            let outputs = part.first..part.first + part.outputs;
                            let z = (blocks > 1).then(|| &analog[row * stride..][outputs.clone()]);
                            read_row(product.isa, z, reading, block > 0, &mut y[outputs]);
                        }
                    }
                    (block + 1 == blocks).then(|| finish(first, y))
                })
                .collect();
        }
        (y, gathered, finished)
    }

    /// Analog outputs of one column block for all rows, `[rows, outputs]`; and the largest magnitude of each tile, by part.
    fn analog_of_all(&self, inputs: &Inputs<'_>, block: usize) -> (Vec<f32>, Vec<Vec<f32>>, Gathered) {
        let product = self.product;
        let (groups, stride) = (self.task_groups(), product.outputs);
        let none = |part: &Programmed| vec![0.0_f32; part.outputs.div_ceil(product.tile_rows)];
        let piece = groups * LANES * stride;
        let start = || (Buffers::default(), inputs.conversions.room(groups));
        let (z, each) = in_pieces(inputs.rows() * stride, piece, start, |(buffers, room), task, z| {
            inputs.convert(task, groups, room);
            let mut gathered = Gathered::default();
            let mut ranges: Vec<Vec<f32>> = product.parts.iter().map(none).collect();
            for (part, ranges) in product.parts.iter().zip(&mut ranges) {
                for strip in &part.strips {
                    let place = Place { block, ..Place::new(part, strip, task * groups, z.len() / stride) };
                    gathered = gathered.and(self.analog(&room.sent, place, buffers));
                    for lanes in buffers.analog.chunks_exact(strip.padded()) {
                        let lanes = &lanes[..strip.outputs.len()];
                        raise_maxima(product.isa, lanes, strip.outputs.start, product.tile_rows, ranges);
                    }
                    store(product, place, &buffers.analog, z);
                }
            }
            (ranges, gathered)
        });
        let mut ranges: Vec<Vec<f32>> = product.parts.iter().map(none).collect();
        for (of_task, _) in &each {
            for (range, &other) in ranges.iter_mut().flatten().zip(of_task.iter().flatten()) {
                *range = larger_magnitude(*range, other);
            }
        }
        (z, ranges, sum(each.into_iter().map(|(_, gathered)| gathered).collect()))
    }
}
