//! Noise on the outputs.

use super::super::*;
use super::group::*;

/// Variance and mean of `draws` executions of one vector, by output, against what noise without converters gives.
#[test]
fn noise_on_the_outputs_has_the_variance_of_errors_drawn_out_and_is_independent() {
    let (inputs, outputs, draws) = (20, [13, 11], 20_000);
    for resolution in [Some(8), None] {
        let converters = Converters {
            input_bits: resolution,
            output_bits: None,
            input_range: InputRange::Vector,
            output_range: OutputRange::Vector,
        };
        let group = Group::new(inputs, &outputs, (5, 7), true, converters);
        let noisy = group.clone().with_noise(all_noises(inputs, &outputs));
        let vector = uniform(inputs, 21);
        let x = vector.repeat(draws);
        let clean = group.on(Isa::best()).forward(&vector, &seeded(0));
        let product = noisy.on(Isa::best());
        let y = product.forward(&x, &Execution { error_factor: 0.5, ..seeded(8) });
        let sent = product.sent(&vector);
        let mut residuals = vec![Vec::new(); 24];
        for (index, (part, output)) in (0..13).map(|n| (0, n)).chain((0..11).map(|n| (1, n))).enumerate() {
            let Part { scales, noise, outputs, .. } = &noisy.parts[part];
            // Var = Σ_blocks scale² Σ_c σ² x'², times the square of the factor on σ.
            let variance: f64 = (0..inputs)
                .map(|c| {
                    let place = c / 7 * outputs + output;
                    let scale = f64::from(scales[place]);
                    let squared = match noise {
                        OutputNoise::Uniform(sigmas) => f64::from(sigmas[place]).powi(2),
                        OutputNoise::PerWeight(variances) => f64::from(variances[output * inputs + c]),
                        OutputNoise::None => 0.0,
                    };
                    (0.5 * scale * f64::from(sent[c])).powi(2) * squared
                })
                .sum();
            let normalised = |draw: usize| f64::from(y[draw * 24 + index] - clean[index]) / variance.sqrt();
            residuals[index].extend((0..draws).map(normalised));
            let mean = residuals[index].iter().sum::<f64>() / draws as f64;
            let square = residuals[index].iter().map(|r| r * r).sum::<f64>() / draws as f64;
            // Standard errors 1/√n and √(2/n); 4.5 of them over 96 checks.
            let n = draws as f64;
            assert!(mean.abs() < 4.5 / n.sqrt(), "output {index}: mean {mean}");
            assert!((square - 1.0).abs() < 4.5 * (2.0 / n).sqrt(), "output {index}: variance {square}");
        }
        // Independent over outputs and from one row to the next: a mean product has the standard error 1/√n; 576 pairs, 2 ways.
        let mean_product =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (draws as f64).sqrt();
        for (index, first) in residuals.iter().enumerate() {
            assert!(mean_product(&first[1..], &first[..draws - 1]).abs() < 5.0, "rows of output {index}");
            assert!(mean_product(&first[16..], &first[..draws - 16]).abs() < 5.0, "groups of output {index}");
            for (other, second) in residuals[..index].iter().enumerate() {
                assert!(mean_product(first, second).abs() < 5.0, "outputs {index} and {other}");
            }
        }
    }
}

#[test]
fn noise_belongs_to_seed_and_row_and_not_to_the_rows_beside_it() {
    let (inputs, outputs) = (20, [40, 11]);
    let converters = converters(Some(8), InputRange::Vector, OutputRange::Vector);
    let group =
        Group::new(inputs, &outputs, (5, 7), true, converters).with_noise(all_noises(inputs, &outputs));
    let product = group.on(Isa::best());
    let x = uniform(300 * inputs, 2);
    let y = product.forward(&x, &seeded(1));
    assert_eq!(y[..100 * 51], product.forward(&x[..100 * inputs], &seeded(1)));
    assert_ne!(y, product.forward(&x, &seeded(2)));
    let quiet = product.forward(&x, &Execution { error_factor: 0.0, ..seeded(1) });
    let clean =
        Group::new(inputs, &outputs, (5, 7), true, converters).on(Isa::best()).forward(&x, &seeded(9));
    assert_eq!(quiet, clean);
}
