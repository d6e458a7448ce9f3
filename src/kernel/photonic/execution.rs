//! The forward pass: products, noise, output converter, digital sum.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Execution, ObservedRanges, OutputNoise, OutputRange, Product, max_code,
    multiply::{PAIR, PairProduct},
    noise::{NormalSource, add_shaped, add_uniform},
    range::Gathered,
    reading::{Reading, RowReading, Target, larger_magnitude, raise_maxima, read, read_row, store_rows},
    sent::Sent,
    strips::{Programmed, Strip},
};
use crate::kernel::{
    int8::Tiles,
    lanes::{LANES, Lanes},
};

/// Groups of 16 rows of a task. Fixed, so that results do not depend on the number of threads.
const TASK_GROUPS: usize = 8;

/// Sums of a task that stay in the second-level cache, in lanes.
const TASK_LANES: usize = 1 << 14;

impl Product {
    /// See [`Product::forward`]; the magnitudes are written to `observed`.
    pub(super) fn execute(
        &self,
        x: &[f32],
        execution: &Execution,
        observed: Option<&mut ObservedRanges>,
    ) -> Vec<f32> {
        let sent = self.conversions(self.input_range(execution)).convert(x);
        let mut y = vec![0.0; x.len() / self.depth.inputs * self.outputs];
        let Execution { seed, error_factor, .. } = *execution;
        let run = Run { product: self, sent: &sent, seed, error_factor, measured: observed.is_some() };
        let largest = self.converters.output_bits.map(|bits| max_code(bits) as f32);
        let analog = match (largest, self.converters.output_range) {
            (Some(largest), OutputRange::Batch) if self.closed => run.by_strips(largest, &mut y),
            (Some(largest), OutputRange::Batch) => run.in_two_phases(largest, &mut y),
            (largest, range) => run.by_rows(Reading::of(largest, range), &mut y),
        };
        if let Some(observed) = observed {
            let pieces: Vec<Gathered> = x.par_chunks(1 << 16).map(Gathered::of).collect();
            let input = sum(pieces);
            *observed = ObservedRanges {
                input: input.max(),
                input_rms: input.rms(),
                output: analog.max(),
                output_rms: analog.rms(),
            };
        }
        y
    }
}

/// What the tasks gathered, in their order.
fn sum(tasks: Vec<Gathered>) -> Gathered {
    tasks.into_iter().fold(Gathered::default(), Gathered::and)
}

/// One forward pass.
struct Run<'a> {
    product: &'a Product,
    sent: &'a Sent,
    seed: u64,
    error_factor: f32,
    measured: bool,
}

/// A strip in a column block, for some groups of 16 rows, of which `rows` are there.
#[derive(Clone, Copy)]
struct Place<'a> {
    part: &'a Programmed,
    strip: &'a Strip,
    block: usize,
    groups: (usize, usize),
    rows: usize,
}

impl<'a> Place<'a> {
    /// The groups that hold `rows` rows from group `first` on, an even number.
    fn new(part: &'a Programmed, strip: &'a Strip, first: usize, rows: usize) -> Self {
        let end = first + rows.div_ceil(LANES).next_multiple_of(2);
        Self { part, strip, block: 0, groups: (first, end), rows }
    }

    fn groups(&self) -> Range<usize> {
        self.groups.0..self.groups.1
    }

    /// Lanes of all groups.
    fn lanes(&self) -> usize {
        self.groups().len() * self.strip.padded()
    }

    /// Outputs of the pair of panels `pair`.
    fn outputs(&self, pair: usize) -> Range<usize> {
        let start = self.strip.outputs.start + (pair - self.strip.pairs.start) * PAIR;
        start..(start + PAIR).min(self.strip.outputs.end)
    }
}

/// Memory that a task reuses, `[group][output][row]`.
#[derive(Default)]
struct Buffers {
    analog: Vec<Lanes<f32>>,
    sums: Vec<Lanes<f32>>,
    product: PairProduct,
    variance: PairProduct,
}

impl Run<'_> {
    /// Each task takes some rows through all strips and blocks: for ranges that are known, or are those of each vector.
    fn by_rows(&self, reading: Reading<'_>, y: &mut [f32]) -> Gathered {
        let (groups, stride) = (self.task_groups(), self.product.outputs);
        let tasks = y.par_chunks_mut(groups * LANES * stride).enumerate();
        let gathered = tasks.map_init(Buffers::default, |buffers, (task, y)| {
            let _tiles = Tiles::configure(self.product.isa, self.product.depth.quads);
            let mut gathered = Gathered::default();
            for (part, strip) in self.strips() {
                let place = Place::new(part, strip, task * groups, y.len() / stride);
                gathered = gathered.and(self.strip(place, reading, buffers));
                let sums = if self.product.depth.blocks() > 1 { &buffers.sums } else { &buffers.analog };
                store(self.product, place, sums, y);
            }
            gathered
        });
        sum(gathered.collect())
    }

    /// All parts' strips.
    fn strips(&self) -> impl Iterator<Item = (&Programmed, &Strip)> {
        self.product.parts.iter().flat_map(|part| part.strips.iter().map(move |strip| (part, strip)))
    }

    /// Groups a task takes: fewer where the strips are large.
    fn task_groups(&self) -> usize {
        let largest = self.strips().map(|(_, strip)| strip.padded()).max().unwrap_or(PAIR);
        (TASK_LANES / largest / 2 * 2).clamp(2, TASK_GROUPS)
    }

    /// All column blocks of a strip: the digital sums are left in `buffers.sums`, or in `buffers.analog` of an only block.
    fn strip(&self, place: Place<'_>, reading: Reading<'_>, buffers: &mut Buffers) -> Gathered {
        let blocks = self.product.depth.blocks();
        if blocks > 1 {
            start_sums(place, &mut buffers.sums);
        }
        let mut gathered = Gathered::default();
        for block in 0..blocks {
            let place = Place { block, ..place };
            gathered = gathered.and(self.analog(place, buffers));
            self.read(place, reading, buffers);
        }
        gathered
    }

    /// Reads the analog outputs of a place into its digital sums.
    fn read(&self, place: Place<'_>, reading: Reading<'_>, buffers: &mut Buffers) {
        let Place { part, strip, block, .. } = place;
        let scales = part.scales(block, &strip.outputs);
        let outputs = strip.outputs.len();
        let single = self.product.depth.blocks() == 1;
        for (group, analog) in buffers.analog.chunks_exact_mut(strip.padded()).enumerate() {
            let target = if single {
                Target::InPlace(&part.bias[strip.outputs.clone()])
            } else {
                Target::Sums(&mut buffers.sums[group * strip.padded()..][..outputs])
            };
            read(self.product.isa, &mut analog[..outputs], scales, self.product.tile_rows, reading, target);
        }
    }

    /// Analog outputs of a place with their noise, in chip units, to `buffers.analog`.
    fn analog(&self, place: Place<'_>, buffers: &mut Buffers) -> Gathered {
        let (isa, padded) = (self.product.isa, place.strip.padded());
        buffers.analog.resize(place.lanes(), [0.0; LANES]);
        for (index, pair) in place.strip.pairs.clone().enumerate() {
            for group in place.groups().step_by(2) {
                let panels = &place.part.panels;
                buffers.product.multiply(isa, panels, &self.sent.packed, place.block, [pair, group]);
                if let (Some(variances), Some(squares)) = (&place.part.variances, &self.sent.squares) {
                    buffers.variance.multiply(isa, variances, squares, place.block, [pair, group]);
                }
                for half in 0..2 {
                    let first = (group + half - place.groups.0) * padded + index * PAIR;
                    let z = &mut buffers.analog[first..first + PAIR];
                    self.finish(place, [pair, group, half], &buffers.product, &buffers.variance, z);
                }
            }
        }
        if self.measured { gather(&buffers.analog, place) } else { Gathered::default() }
    }

    /// Brings a pair's products for one group to chip units and adds the noise.
    fn finish(
        &self,
        place: Place<'_>,
        [pair, group, half]: [usize; 3],
        product: &PairProduct,
        variance: &PairProduct,
        z: &mut [Lanes<f32>],
    ) {
        let (isa, part) = (self.product.isa, place.part);
        let conversion = self.sent.conversion(group + half, place.block);
        let pairs = pair * PAIR..(pair + 1) * PAIR;
        product.bring(isa, half, &part.panels.units[pairs.clone()], &conversion.unit, z);
        let source = NormalSource::new(self.seed, group + half, place.block, part.first_pair + pair);
        match (&part.noise, &part.variances) {
            (OutputNoise::Uniform(sigmas), _) => {
                let sigmas = part.of_block(sigmas, place.block, &place.outputs(pair));
                let norm = conversion.norm.map(|norm| self.error_factor * norm);
                add_uniform(isa, z, sigmas, &norm, source);
            }
            (_, Some(variances)) => {
                let mut squared = [[0.0; LANES]; PAIR];
                variance.bring(isa, half, &variances.units[pairs], &conversion.square_unit, &mut squared);
                add_shaped(isa, z, &squared, self.error_factor, source);
            }
            _ => {}
        }
    }

    /// Each task takes a strip of whole tiles with all rows through all blocks: for ranges over the batch.
    fn by_strips(&self, largest: f32, y: &mut [f32]) -> Gathered {
        let product = self.product;
        let stride = product.outputs;
        let rows = y.len() / stride;
        let strips: Vec<(&Programmed, &Strip)> = self.strips().collect();
        let tasks = strips.par_iter().map_init(Buffers::default, |buffers, &(part, strip)| {
            let _tiles = Tiles::configure(product.isa, product.depth.quads);
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
    fn in_two_phases(&self, largest: f32, y: &mut [f32]) -> Gathered {
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
            y.par_chunks_mut(stride).enumerate().with_min_len(TASK_GROUPS * LANES).for_each(|(row, y)| {
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
                let _tiles = Tiles::configure(product.isa, product.depth.quads);
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

/// Starts digital sums with the bias.
fn start_sums(place: Place<'_>, sums: &mut Vec<Lanes<f32>>) {
    sums.clear();
    for _ in place.groups() {
        let start = sums.len();
        sums.extend(place.part.bias[place.strip.outputs.clone()].iter().map(|&bias| [bias; LANES]));
        sums.resize(start + place.strip.padded(), [0.0; LANES]);
    }
}

/// Magnitudes of the rows of a place that are there.
fn gather(analog: &[Lanes<f32>], place: Place<'_>) -> Gathered {
    let mut gathered = Gathered::default();
    for (group, lanes) in analog.chunks_exact(place.strip.padded()).enumerate() {
        let rows = place.rows.saturating_sub(group * LANES).min(LANES);
        for lanes in &lanes[..place.strip.outputs.len()] {
            gathered = gathered.and(Gathered::of(&lanes[..rows]));
        }
    }
    gathered
}

/// Writes the lanes of a place to its columns of `y`, `[rows, outputs]`.
fn store(product: &Product, place: Place<'_>, lanes: &[Lanes<f32>], y: &mut [f32]) {
    let Place { part, strip, .. } = place;
    let first = part.first + strip.outputs.start;
    let groups = y.chunks_mut(product.outputs * LANES).zip(lanes.chunks_exact(strip.padded()));
    for (rows, lanes) in groups {
        store_rows(product.isa, &lanes[..strip.outputs.len()], &mut rows[first..], product.outputs);
    }
}
