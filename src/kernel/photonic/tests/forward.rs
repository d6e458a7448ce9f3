//! The forward pass against plain loops in f64.

use super::super::*;
use super::group::*;

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

#[test]
fn what_is_sent_are_the_codes_of_the_inputs() {
    for (input_range, output_range) in [VECTOR, BATCH, STATIC] {
        let product = Group::new(20, &[13], (5, 7), true, converters(Some(6), input_range, output_range))
            .on(Isa::best());
        let x = uniform(40 * 20, 7);
        let sent = product.sent(&x);
        let block_range = |row: usize, block: usize| {
            let largest = |row: usize| {
                let part = &x[row * 20 + 7 * block..row * 20 + (7 * block + 7).min(20)];
                part.iter().fold(0.0_f32, |max, x| max.max(x.abs()))
            };
            match input_range {
                InputRange::Vector => largest(row),
                InputRange::Batch => (0..40).map(largest).fold(0.0, f32::max),
                InputRange::Static(range) => range,
            }
        };
        for (place, (&sent, &x)) in sent.iter().zip(&x).enumerate() {
            let step = block_range(place / 20, place % 20 / 7) / 31.0;
            let code = (x / step).round_ties_even().clamp(-31.0, 31.0);
            assert!((sent - code * step).abs() < 1e-6, "{sent} for {x}, step {step}");
        }
    }
}

#[test]
fn the_ranges_observed_are_those_of_the_inputs_and_the_analog_outputs() {
    let ideal = Converters {
        input_bits: None,
        output_bits: None,
        input_range: InputRange::Vector,
        output_range: OutputRange::Vector,
    };
    // One column block and unit scales: the outputs are the analog ones.
    let mut group = Group::new(20, &[13, 40], (5, 20), true, ideal);
    for part in &mut group.parts {
        part.scales.fill(1.0);
        part.bias = None;
    }
    let x = uniform(70 * 20, 7);
    let y = group.on(Isa::best()).forward(&x, &seeded(0));
    let max = |values: &[f32]| values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let rms = |values: &[f32]| {
        (values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / values.len() as f64).sqrt() as f32
    };
    for (input_range, output_range) in [VECTOR, BATCH] {
        for output_bits in [None, Some(8)] {
            group.converters = Converters { input_range, output_range, output_bits, ..ideal };
            let observed = group.on(Isa::best()).observe(&x);
            let expected = [max(&x), rms(&x), max(&y), rms(&y)];
            let found = [observed.input, observed.input_rms, observed.output, observed.output_rms];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * expected, "{observed:?} {expected:?}");
            }
        }
    }
}

#[test]
fn every_row_is_finished_once_in_order_and_may_be_written_again() {
    // Known and vectors' ranges; over the batch: an only block, several, and strips worked on for all rows at once.
    for (inputs, outputs, tile) in
        [(200, &[70, 70][..], (1000, 1000)), (130, &[40, 8, 33], (16, 16)), (70, &[300], (64, 64))]
    {
        let rows = 300;
        let (x, width) = (uniform(rows * inputs, 9), outputs.iter().sum::<usize>());
        for (input_range, output_range) in [VECTOR, BATCH, STATIC] {
            let product =
                Group::new(inputs, outputs, tile, true, converters(Some(8), input_range, output_range))
                    .on(Isa::best());
            let finish = |first: usize, rows: &mut [f32]| {
                let seen = rows.to_vec();
                rows.iter_mut().for_each(|value| *value += 1.0);
                (first, seen)
            };
            let in_order = |whole: &[f32], width: usize, made: &[f32], finished: Vec<(usize, Vec<f32>)>| {
                let mut next = 0;
                for (first, seen) in &finished {
                    assert_eq!(*first, next, "{tile:?} {output_range:?}");
                    next += seen.len() / width;
                }
                assert!(finished.len() > 1 && next == rows, "{tile:?} {output_range:?}: {next} rows");
                assert_eq!(finished.into_iter().flat_map(|(_, seen)| seen).collect::<Vec<_>>(), whole);
                assert!(whole.iter().zip(made).all(|(value, made)| value + 1.0 == *made));
            };
            let (y, finished) = product.forward_with(&x, &seeded(1), finish);
            in_order(&product.forward(&x, &seeded(1)), width, &y, finished);
            let g = uniform(rows * width, 10);
            let (gradient, finished) = product.backward_with(&x, &g, &seeded(1), finish);
            let whole = product.backward(&x, &g, &seeded(1));
            assert_eq!(gradient.range, whole.range);
            in_order(&whole.x, inputs, &gradient.x, finished);
        }
    }
}
