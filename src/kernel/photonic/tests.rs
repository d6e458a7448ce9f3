//! The kernel against plain loops in f64.

#![allow(clippy::unwrap_used, reason = "tests")]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn converters(resolution: Option<u8>, input_range: InputRange, output_range: OutputRange) -> Converters {
    Converters { input_bits: resolution, output_bits: resolution, input_range, output_range }
}

fn seeded(seed: u64) -> Execution {
    Execution { seed, error_factor: 1.0, input_range: None }
}

const VECTOR: (InputRange, OutputRange) = (InputRange::Vector, OutputRange::Vector);
const BATCH: (InputRange, OutputRange) = (InputRange::Batch, OutputRange::Batch);
const STATIC: (InputRange, OutputRange) = (InputRange::Static(0.7), OutputRange::Static(1.1));

/// A group with random weights.
#[derive(Clone, Debug)]
struct Group {
    inputs: usize,
    tile: (usize, usize),
    parts: Vec<Part>,
    converters: Converters,
}

impl Group {
    fn new(
        inputs: usize,
        outputs: &[usize],
        tile: (usize, usize),
        coded: bool,
        converters: Converters,
    ) -> Self {
        let parts = outputs.iter().enumerate().map(|(index, &outputs)| {
            let seed = 100 * index as u64;
            let weights = uniform(outputs * inputs, seed);
            let held = if coded {
                let codes = weights.iter().map(|w| (w * 127.0).round() as i8).collect();
                Held::Codes { codes, max_code: 127 }
            } else {
                Held::Values(weights)
            };
            let blocks = inputs.div_ceil(tile.1);
            let scales = uniform(blocks * outputs, seed + 1).iter().map(|scale| scale.abs() + 0.1).collect();
            let bias = index.is_multiple_of(2).then(|| uniform(outputs, seed + 2));
            Part { outputs, held, scales, noise: OutputNoise::None, bias }
        });
        Self { inputs, tile, parts: parts.collect(), converters }
    }

    fn with_noise(mut self, noise: impl Fn(usize) -> OutputNoise) -> Self {
        self.parts.iter_mut().enumerate().for_each(|(index, part)| part.noise = noise(index));
        self
    }

    fn on(&self, isa: Isa) -> Product {
        let (inputs, (tile_rows, tile_cols)) = (self.inputs, self.tile);
        Product::with_isa(inputs, tile_rows, tile_cols, self.parts.clone(), self.converters, isa)
    }

    fn weight(part: &Part, cell: usize) -> f64 {
        match &part.held {
            Held::Codes { codes, max_code } => f64::from(codes[cell]) / f64::from(*max_code),
            Held::Values(values) => f64::from(values[cell]),
        }
    }
}

/// A number and a bound of what `f32` may make of it.
#[derive(Clone, Copy, Default)]
struct Bounded {
    value: f64,
    slack: f64,
}

/// Rounding of an operation in `f32`, with room for a few in a row.
const EPSILON: f64 = 4e-7;

/// `s · round(x / s)`, or only the clip; the slack takes in the neighbour where the number is as close to a tie as it is uncertain.
fn converted(x: Bounded, range: Bounded, bits: Option<u8>) -> Bounded {
    let clipped = x.value.clamp(-range.value, range.value);
    let Some(bits) = bits else { return Bounded { value: clipped, slack: x.slack + EPSILON * range.value } };
    let step = range.value / f64::from(2_u32.pow(u32::from(bits) - 1) - 1);
    if step == 0.0 {
        return Bounded::default();
    }
    let code = (clipped / step).round_ties_even();
    // A range that is off moves every code in proportion.
    let off = EPSILON * code.abs() + range.slack / range.value * code.abs();
    let uncertain = x.slack / step + off + 1e-9;
    let neighbour = if ((clipped / step).abs().fract() - 0.5).abs() <= uncertain { step } else { 0.0 };
    let wide = if uncertain > 0.5 { x.slack + off * step } else { 0.0 };
    Bounded { value: code * step, slack: neighbour + wide + off * step }
}

/// The outputs of a group without noise, `[rows, outputs]`, by the formulas.
fn plain_forward(group: &Group, x: &[f32]) -> Vec<Bounded> {
    let (inputs, rows) = (group.inputs, x.len() / group.inputs);
    let Converters { input_bits, output_bits, input_range, output_range } = group.converters;
    let outputs: usize = group.parts.iter().map(|part| part.outputs).sum();
    let mut y = vec![Bounded::default(); rows * outputs];
    let x = |row: usize, c: usize| f64::from(x[row * inputs + c]);
    for (block, start) in (0..inputs).step_by(group.tile.1).enumerate() {
        let columns = start..(start + group.tile.1).min(inputs);
        let largest_of = |row: usize| columns.clone().map(|c| x(row, c).abs()).fold(0.0, f64::max);
        let largest = (0..rows).map(largest_of).fold(0.0, f64::max);
        let mut first = 0;
        for part in &group.parts {
            for top in (0..part.outputs).step_by(group.tile.0) {
                let tile = top..(top + group.tile.0).min(part.outputs);
                let analog: Vec<Vec<Bounded>> = (0..rows)
                    .map(|row| {
                        let range = match input_range {
                            InputRange::Vector => largest_of(row),
                            InputRange::Batch => largest,
                            InputRange::Static(range) => f64::from(range),
                        };
                        let exact = Bounded { value: range, slack: 0.0 };
                        let sent = columns.clone().map(|c| Bounded { value: x(row, c), slack: 0.0 });
                        let sent: Vec<Bounded> = sent.map(|x| converted(x, exact, input_bits)).collect();
                        let output = |n: usize| {
                            let mut z = Bounded::default();
                            for (c, sent) in columns.clone().zip(&sent) {
                                let w = Group::weight(part, n * inputs + c);
                                z.value += w * sent.value;
                                // Numbers that are no codes are held to 2⁻²³ of the largest of their row.
                                z.slack += w.abs() * sent.slack + EPSILON * (w * range).abs();
                            }
                            z
                        };
                        tile.clone().map(output).collect()
                    })
                    .collect();
                let larger = |a: Bounded, z: &Bounded| Bounded {
                    value: a.value.max(z.value.abs()),
                    slack: a.slack.max(z.slack),
                };
                let largest_of = |row: usize| analog[row].iter().fold(Bounded::default(), larger);
                let largest = (0..rows).fold(Bounded::default(), |a, row| larger(a, &largest_of(row)));
                for (row, analog) in analog.iter().enumerate() {
                    let range = match output_range {
                        OutputRange::Static(range) => Bounded { value: f64::from(range), slack: 0.0 },
                        _ if output_bits.is_none() => Bounded { value: f64::INFINITY, slack: 0.0 },
                        OutputRange::Vector => largest_of(row),
                        OutputRange::Batch => largest,
                    };
                    for (n, &z) in tile.clone().zip(analog) {
                        let read = if range.value.is_finite() { converted(z, range, output_bits) } else { z };
                        let scale = f64::from(part.scales[block * part.outputs + n]);
                        let sum = &mut y[row * outputs + first + n];
                        sum.value += scale * read.value;
                        sum.slack += scale * read.slack + EPSILON * sum.value.abs();
                        if let (0, Some(bias)) = (block, &part.bias) {
                            sum.value += f64::from(bias[n]);
                            sum.slack += EPSILON;
                        }
                    }
                }
            }
            first += part.outputs;
        }
    }
    y
}

/// Every output within its slack; most within a small one, or the comparison would say nothing.
fn assert_close(y: &[f32], expected: &[Bounded], what: &str) {
    assert_eq!(y.len(), expected.len());
    for (index, (&y, expected)) in y.iter().zip(expected).enumerate() {
        let off = (f64::from(y) - expected.value).abs();
        assert!(
            off <= expected.slack,
            "{what}: output {index} is {y}, expected {} ± {}",
            expected.value,
            expected.slack
        );
    }
    let loose = expected.iter().filter(|expected| expected.slack > 2e-3).count();
    assert!(4 * loose < expected.len(), "{what}: {loose} of {} outputs are next to a tie", expected.len());
}

#[test]
fn outputs_are_those_of_the_formulas_for_all_ranges_resolutions_and_tiles() {
    for (inputs, outputs, tile, rows) in [
        (20, &[13][..], (5, 7), 9),
        (130, &[40, 8, 33], (16, 16), 37),
        (200, &[70, 70], (1000, 1000), 20),
        (70, &[300], (64, 64), 33),
    ] {
        let x = uniform(rows * inputs, 9);
        for resolution in [None, Some(4), Some(8), Some(12), Some(16)] {
            for (input_range, output_range) in
                [VECTOR, BATCH, STATIC, (InputRange::Batch, OutputRange::Vector)]
            {
                for coded in [true, false] {
                    let converters = converters(resolution, input_range, output_range);
                    let group = Group::new(inputs, outputs, tile, coded, converters);
                    let what =
                        format!("{inputs} → {outputs:?}, tiles {tile:?}, {converters:?}, codes {coded}");
                    let y = group.on(Isa::Portable).forward(&x, &seeded(0));
                    assert_close(&y, &plain_forward(&group, &x), &what);
                }
            }
        }
    }
}

/// Noise of all kinds, by part.
fn all_noises(inputs: usize, outputs: &[usize]) -> impl Fn(usize) -> OutputNoise {
    let variances: Vec<Vec<f32>> = outputs
        .iter()
        .map(|&outputs| uniform(outputs * inputs, 77).iter().map(|v| 1e-3 * (v.abs() + 0.1)).collect())
        .collect();
    // One for each of at most `inputs` column blocks.
    let sigmas: Vec<f32> = uniform(inputs * outputs[0], 78).iter().map(|s| 0.02 * s.abs()).collect();
    move |part| match part {
        0 => OutputNoise::Uniform(sigmas.clone()),
        1 => OutputNoise::PerWeight(variances[1].clone()),
        _ => OutputNoise::None,
    }
}

#[test]
fn results_are_the_same_on_every_instruction_set_and_for_any_number_of_threads() {
    let outputs = [70, 45, 300];
    let (inputs, rows) = (150, 300);
    let (x, g) = (uniform(rows * inputs, 3), uniform(rows * 415, 4));
    for tile in [(16, 16), (64, 100), (1000, 1000)] {
        for (input_range, output_range) in [VECTOR, BATCH, STATIC] {
            for (resolution, coded) in [(Some(8), true), (Some(8), false), (Some(12), true), (None, false)] {
                let converters = converters(resolution, input_range, output_range);
                let group = Group::new(inputs, &outputs, tile, coded, converters)
                    .with_noise(all_noises(inputs, &outputs));
                let of = |isa| {
                    let product = group.on(isa);
                    let gradient = product.backward(&x, &g, &seeded(5));
                    (
                        product.forward(&x, &seeded(5)),
                        product.observe(&x),
                        product.sent(&x),
                        gradient.x,
                        gradient.range,
                    )
                };
                let reference = of(Isa::Portable);
                for isa in Isa::available() {
                    assert!(of(isa) == reference, "{isa:?}, tiles {tile:?}, {converters:?}");
                }
                let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
                assert!(
                    pool.install(|| of(Isa::best())) == reference,
                    "threads, tiles {tile:?}, {converters:?}"
                );
            }
        }
    }
}
