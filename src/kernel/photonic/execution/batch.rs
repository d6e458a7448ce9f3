//! Forward passes whose output ranges are those of the whole batch.

use rayon::prelude::*;

use super::{
    super::{
        range::Gathered,
        reading::{Reading, RowReading, larger_magnitude, raise_maxima, read_row},
        strips::{Programmed, Strip},
    },
    Buffers, Place, Run, start_sums, store, sum,
};
use crate::kernel::lanes::{LANES, Lanes};

/// Rows of a task that reads rows. Fixed, so that results do not depend on the number of threads.
const TASK_ROWS: usize = 128;

impl Run<'_> {
    /// Each task takes a strip of whole tiles with all rows through all blocks: for ranges over the batch.
    pub(super) fn by_strips(&self, largest: f32, y: &mut [f32]) -> Gathered {
        let product = self.product;
        let stride = product.outputs;
        let rows = y.len() / stride;
        let strips: Vec<(&Programmed, &Strip)> = self.strips().collect();
        let tasks = strips.par_iter().map_init(Buffers::default, |buffers, &(part, strip)| {
            let place = Place::new(part, strip, 0, rows);
            start_sums(place, &mut buffers.sums);
            let mut gathered = Gathered::default();
            for block in 0..product.depth.blocks() {
                let place = Place { block, ..place };
                gathered = gathered.and(self.analog(place, buffers));
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
        y.par_chunks_mut(2 * LANES * stride).enumerate().for_each(|(task, y)| {
            for (&(part, strip), sums) in strips.iter().zip(&sums) {
                let place = Place::new(part, strip, 2 * task, y.len() / stride);
                store(product, place, &sums[place.groups.0 * strip.padded()..], y);
            }
        });
        sum(gathered)
    }

    /// First the analog outputs of all rows, then their conversion: for ranges over the batch of tiles larger than a strip.
    pub(super) fn in_two_phases(&self, largest: f32, y: &mut [f32]) -> Gathered {
        let product = self.product;
        let (blocks, stride) = (product.depth.blocks(), product.outputs);
        let mut analog = if blocks > 1 { vec![0.0; y.len()] } else { Vec::new() };
        let mut gathered = Gathered::default();
        for block in 0..blocks {
            let (ranges, seen) = self.analog_of_all(block, if blocks > 1 { &mut analog } else { y });
            gathered = gathered.and(seen);
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
            y.par_chunks_mut(stride).enumerate().with_min_len(TASK_ROWS).for_each(|(row, y)| {
                for (part, reading) in product.parts.iter().zip(&readings) {
                    let outputs = part.first..part.first + part.outputs;
                    let z = (blocks > 1).then(|| &analog[row * stride..][outputs.clone()]);
                    read_row(product.isa, z, reading, block > 0, &mut y[outputs]);
                }
            });
        }
        gathered
    }

    /// Analog outputs of one column block for all rows, `[rows, outputs]`; and the largest magnitude of each tile, by part.
    fn analog_of_all(&self, block: usize, z: &mut [f32]) -> (Vec<Vec<f32>>, Gathered) {
        let product = self.product;
        let (groups, stride) = (self.task_groups(), product.outputs);
        let none = |part: &Programmed| vec![0.0_f32; part.outputs.div_ceil(product.tile_rows)];
        let tasks = z.par_chunks_mut(groups * LANES * stride).enumerate();
        let each: Vec<(Vec<Vec<f32>>, Gathered)> = tasks
            .map_init(Buffers::default, |buffers, (task, z)| {
                let mut gathered = Gathered::default();
                let mut ranges: Vec<Vec<f32>> = product.parts.iter().map(none).collect();
                for (part, ranges) in product.parts.iter().zip(&mut ranges) {
                    for strip in &part.strips {
                        let place =
                            Place { block, ..Place::new(part, strip, task * groups, z.len() / stride) };
                        gathered = gathered.and(self.analog(place, buffers));
                        for lanes in buffers.analog.chunks_exact(strip.padded()) {
                            let lanes = &lanes[..strip.outputs.len()];
                            raise_maxima(product.isa, lanes, strip.outputs.start, product.tile_rows, ranges);
                        }
                        store(product, place, &buffers.analog, z);
                    }
                }
                (ranges, gathered)
            })
            .collect();
        let mut ranges: Vec<Vec<f32>> = product.parts.iter().map(none).collect();
        for (of_task, _) in &each {
            for (range, &other) in ranges.iter_mut().flatten().zip(of_task.iter().flatten()) {
                *range = larger_magnitude(*range, other);
            }
        }
        (ranges, sum(each.into_iter().map(|(_, gathered)| gathered).collect()))
    }
}
