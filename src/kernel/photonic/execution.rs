//! The forward pass: products, noise, output converter, digital sum.

mod batch;

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Execution, ObservedRanges, OutputNoise, OutputRange, Product, max_code,
    multiply::{PAIR, PairProduct},
    noise::{NormalSource, add_shaped, add_uniform},
    range::Gathered,
    reading::{Reading, Target, read, store_rows},
    sent::{BlockRange, Conversions, Sent, SentRoom},
    strips::{Programmed, Strip},
};
use crate::kernel::{
    int8::Tiles,
    lanes::{LANES, Lanes},
    pieces::in_pieces,
};

/// Groups of 16 rows of a task. Fixed, so that results do not depend on the number of threads.
const TASK_GROUPS: usize = 8;

/// Analog outputs of a task, in lanes, that stay in the second-level cache.
const TASK_LANES: usize = 1 << 14;

impl Product {
    /// See [`Product::forward_with`]; the magnitudes are written to `observed`.
    pub(super) fn execute<T: Send>(
        &self,
        x: &[f32],
        execution: &Execution,
        observed: Option<&mut ObservedRanges>,
        finish: &Finish<'_, T>,
    ) -> (Vec<f32>, Vec<T>) {
        let conversions = self.conversions(self.input_range(execution));
        let rows = x.len() / self.depth.inputs;
        let Execution { seed, error_factor, .. } = *execution;
        let run = Run { product: self, seed, error_factor, measured: observed.is_some() };
        let largest = self.converters.output_bits.map(|bits| max_code(bits) as f32);
        let (y, analog, finished) = match (largest, self.converters.output_range) {
            (Some(largest), OutputRange::Batch) if self.closed => {
                run.by_strips(&conversions.convert(x), largest, rows, finish)
            }
            (Some(largest), OutputRange::Batch) => {
                run.in_two_phases(&Inputs::new(&conversions, x), largest, finish)
            }
            (largest, range) => {
                run.by_rows(&Inputs::new(&conversions, x), Reading::of(largest, range), finish)
            }
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
        (y, finished)
    }
}

/// What is done with rows of the result as soon as they are there, given the number of the first.
pub(super) type Finish<'a, T> = dyn Fn(usize, &mut [f32]) -> T + Sync + 'a;

/// Input vectors that each task converts for itself.
struct Inputs<'a> {
    conversions: &'a Conversions<'a>,
    ranges: Vec<BlockRange>,
    x: &'a [f32],
}

impl<'a> Inputs<'a> {
    fn new(conversions: &'a Conversions<'a>, x: &'a [f32]) -> Self {
        Self { conversions, ranges: conversions.block_ranges(x), x }
    }

    fn rows(&self) -> usize {
        self.x.len() / self.conversions.depth.inputs
    }

    /// Converts the rows of task `task` of tasks of `groups` groups.
    fn convert(&self, task: usize, groups: usize, room: &mut SentRoom) {
        let size = groups * LANES * self.conversions.depth.inputs;
        let x = &self.x[task * size..((task + 1) * size).min(self.x.len())];
        self.conversions.convert_some(task * groups, x, &self.ranges, room);
    }
}

/// What the tasks gathered, in their order.
fn sum(tasks: Vec<Gathered>) -> Gathered {
    tasks.into_iter().fold(Gathered::default(), Gathered::and)
}

/// One forward pass.
struct Run<'a> {
    product: &'a Product,
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
    fn by_rows<T: Send>(
        &self,
        inputs: &Inputs<'_>,
        reading: Reading<'_>,
        finish: &Finish<'_, T>,
    ) -> (Vec<f32>, Gathered, Vec<T>) {
        let (groups, stride) = (self.task_groups(), self.product.outputs);
        let start = || (Buffers::default(), inputs.conversions.room(groups));
        let piece = groups * LANES * stride;
        let (y, returned) = in_pieces(inputs.rows() * stride, piece, start, |(buffers, room), task, y| {
            inputs.convert(task, groups, room);
            let mut gathered = Gathered::default();
            for (part, strip) in self.strips() {
                let place = Place::new(part, strip, task * groups, y.len() / stride);
                gathered = gathered.and(self.strip(&room.sent, place, reading, buffers));
                let sums = if self.product.depth.blocks() > 1 { &buffers.sums } else { &buffers.analog };
                store(self.product, place, sums, y);
            }
            (gathered, finish(task * groups * LANES, y))
        });
        let (gathered, finished) = returned.into_iter().unzip();
        (y, sum(gathered), finished)
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
    fn strip(&self, sent: &Sent, place: Place<'_>, reading: Reading<'_>, buffers: &mut Buffers) -> Gathered {
        let blocks = self.product.depth.blocks();
        if blocks > 1 {
            start_sums(place, &mut buffers.sums);
        }
        let mut gathered = Gathered::default();
        for block in 0..blocks {
            let place = Place { block, ..place };
            gathered = gathered.and(self.analog(sent, place, buffers));
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
    fn analog(&self, sent: &Sent, place: Place<'_>, buffers: &mut Buffers) -> Gathered {
        buffers.analog.resize(place.lanes(), [0.0; LANES]);
        // One after the other: each finds its operands in the nearest cache.
        self.products(sent, place, buffers);
        if let OutputNoise::Uniform(sigmas) = &place.part.noise {
            self.uniform_noise(sent, place, sigmas, &mut buffers.analog);
        }
        if self.measured { gather(&buffers.analog, place) } else { Gathered::default() }
    }

    /// Products in chip units, with noise that differs by weight.
    fn products(&self, sent: &Sent, place: Place<'_>, buffers: &mut Buffers) {
        let Place { part, strip, block, .. } = place;
        let isa = self.product.isa;
        let _tiles = Tiles::configure(isa, self.product.depth.quads);
        for (index, pair) in strip.pairs.clone().enumerate() {
            let units = pair * PAIR..(pair + 1) * PAIR;
            for (step, group) in place.groups().step_by(2).enumerate() {
                // The next pair, a part for each pair of groups.
                part.panels.packed.prefetch(2 * pair + 2, block, step, place.groups().len() / 2);
                let at = [pair, sent.place(group)];
                buffers.product.multiply(isa, &part.panels, &sent.packed, block, at);
                let shaped = part.variances.as_ref().zip(sent.squares.as_ref());
                if let Some((variances, squares)) = shaped {
                    buffers.variance.multiply(isa, variances, squares, block, at);
                }
                for half in 0..2 {
                    let conversion = sent.conversion(group + half, block);
                    let z = &mut buffers.analog[(2 * step + half) * strip.padded() + index * PAIR..][..PAIR];
                    buffers.product.bring(isa, half, &part.panels.units[units.clone()], &conversion.unit, z);
                    if let Some((variances, _)) = shaped {
                        let mut variance = [[0.0; LANES]; PAIR];
                        let units = &variances.units[units.clone()];
                        buffers.variance.bring(isa, half, units, &conversion.square_unit, &mut variance);
                        let source =
                            NormalSource::new(self.seed, group + half, block, part.first_pair + pair);
                        add_shaped(isa, z, &variance, self.error_factor, source);
                    }
                }
            }
        }
    }

    /// Adds noise with one σ an output, `[col_blocks, outputs]`.
    fn uniform_noise(&self, sent: &Sent, place: Place<'_>, sigmas: &[f32], analog: &mut [Lanes<f32>]) {
        let Place { part, strip, block, .. } = place;
        let sigmas = part.of_block(sigmas, block, &strip.outputs);
        for (group, z) in place.groups().zip(analog.chunks_exact_mut(strip.padded())) {
            let norm = sent.conversion(group, block).norm.map(|norm| self.error_factor * norm);
            let source = NormalSource::new(self.seed, group, block, part.first_pair + strip.pairs.start);
            add_uniform(self.product.isa, z, sigmas, &norm, source);
        }
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
