//! What may not matter, and what may not be hidden.

use super::super::*;
use super::group::*;

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

#[test]
fn dark_inputs_give_exactly_the_bias_without_noise() {
    let (inputs, outputs) = (20, [13, 11]);
    for (input_range, output_range) in [VECTOR, BATCH, STATIC] {
        let converters = converters(Some(8), input_range, output_range);
        let group =
            Group::new(inputs, &outputs, (5, 7), true, converters).with_noise(all_noises(inputs, &outputs));
        // A row of zeros, one below the smallest step of a normal number, and one that is not dark.
        let mut x = vec![0.0; 2 * inputs];
        x[inputs..].fill(1e-38);
        x.extend(uniform(inputs, 5));
        let y = group.on(Isa::best()).forward(&x, &seeded(3));
        let bias: Vec<f32> = group
            .parts
            .iter()
            .flat_map(|part| part.bias.clone().unwrap_or_else(|| vec![0.0; part.outputs]))
            .collect();
        assert_eq!(y[..24], bias, "{input_range:?}");
        assert_eq!(y[24..48], bias, "{input_range:?}");
        assert_ne!(y[48..], bias);
    }
}

#[test]
fn an_input_that_is_not_finite_is_not_hidden() {
    for (input_range, output_range) in [VECTOR, BATCH, STATIC] {
        for value in [f32::NAN, f32::INFINITY] {
            let converters = converters(Some(8), input_range, output_range);
            let mut x = uniform(3 * 20, 5);
            x[23] = value;
            for isa in Isa::available() {
                let y = Group::new(20, &[13], (5, 7), true, converters).on(isa).forward(&x, &seeded(3));
                assert!(
                    y[13..26].iter().all(|y| y.is_nan()),
                    "{isa:?} {value} {input_range:?}: {:?}",
                    &y[13..26]
                );
            }
        }
    }
}
