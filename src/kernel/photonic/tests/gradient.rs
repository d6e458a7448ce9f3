//! Gradients against plain loops in f64.

use super::super::*;
use super::group::*;

/// `∂x' = Σ g · scale · w`, and `Σ |g · scale · w|`.
fn plain_backward(group: &Group, g: &[f32]) -> Vec<(f64, f64)> {
    let outputs: usize = group.parts.iter().map(|part| part.outputs).sum();
    let mut gradient = vec![(0.0, 0.0); g.len() / outputs * group.inputs];
    for (row, gradient) in gradient.chunks_mut(group.inputs).enumerate() {
        let mut first = row * outputs;
        for part in &group.parts {
            for n in 0..part.outputs {
                for (c, (sum, size)) in gradient.iter_mut().enumerate() {
                    let scale = f64::from(part.scales[c / group.tile.1 * part.outputs + n]);
                    let term = f64::from(g[first + n]) * scale * Group::weight(part, n * group.inputs + c);
                    *sum += term;
                    *size += term.abs();
                }
            }
            first += part.outputs;
        }
    }
    gradient
}

#[test]
fn the_gradient_of_the_inputs_is_that_of_the_straight_through_product() {
    for coded in [true, false] {
        // One block of columns has shared scales, several have not.
        for tile in [(16, 200), (16, 48)] {
            let converters = converters(Some(8), InputRange::Vector, OutputRange::Vector);
            let group = Group::new(200, &[70, 45, 130], tile, coded, converters);
            let g = uniform(37 * 245, 12);
            let gradient = group.on(Isa::best()).backward(&[], &g, &seeded(0));
            assert_eq!(gradient.range, None);
            for (found, (expected, size)) in gradient.x.iter().zip(plain_backward(&group, &g)) {
                // A tenth of what a plain sum in f32 may be off by.
                let bound = 245.0 * f64::from(f32::EPSILON) / 10.0 * size;
                assert!((f64::from(*found) - expected).abs() < bound, "{found} {expected} ± {bound}");
            }
        }
    }
}

#[test]
fn a_static_range_masks_the_gradient_and_has_one_of_its_own() {
    let converters = converters(Some(4), InputRange::Static(0.3), OutputRange::Vector);
    let group = Group::new(20, &[13], (5, 7), true, converters);
    let (x, g) = (uniform(200 * 20, 1), uniform(200 * 13, 2));
    // The range that is learned stands in for the one given.
    for (execution, range) in [(seeded(0), 0.3), (Execution { input_range: Some(0.6), ..seeded(0) }, 0.6_f32)]
    {
        let gradient = group.on(Isa::best()).backward(&x, &g, &execution);
        let step = f64::from(range) / 7.0;
        let (mut of_range, mut size) = (0.0, 0.0);
        for ((found, &x), (through, _)) in gradient.x.iter().zip(&x).zip(plain_backward(&group, &g)) {
            let expected = if x.abs() > range { 0.0 } else { through };
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{x}: {found} {expected}");
            let code = (f64::from(x) / step).round_ties_even();
            let slope = if x.abs() > range {
                f64::from(x.signum())
            } else {
                (code * step - f64::from(x)) / f64::from(range)
            };
            of_range += through * slope;
            size += (through * slope).abs();
        }
        let found = f64::from(gradient.range.unwrap());
        assert!((found - of_range).abs() < 1e-6 * size, "{found} {of_range}");
    }
}
