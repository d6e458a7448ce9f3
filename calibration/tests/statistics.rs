//! Estimators against injected truth and published facts.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::{
    Cell, Injected, component_recovery, sigma_coverage,
    statistics::{
        defects::{outliers, stuck},
        histogram::Histogram,
        interval::{chi_square_quantile, effective_n, sigma_ci95},
        moments::{excess_kurtosis, gaussian_mle, mad_sigma, quantile, rms, skewness, sorted},
        normality::anderson_darling,
        state::state_dependence,
        structure::structure,
    },
    stuck_detection,
};
use ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn gaussian(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n).map(|_| StandardNormal.sample(rng)).collect()
}

/// Student's t with 5 degrees, variance 1.
fn t5(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let law = StudentT::new(5.0).unwrap();
    (0..n).map(|_| law.sample(rng) * 0.6_f64.sqrt()).collect()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected} ± {tolerance}");
}

#[test]
fn chi_square_factors_are_the_published_ones() {
    for (n, low, high) in
        [(64.0, 0.852, 1.211), (256.0, 0.920, 1.095), (1024.0, 0.959, 1.045), (4096.0, 0.979, 1.022)]
    {
        let [found_low, found_high] = sigma_ci95(1.0, n - 1.0);
        close(found_low, low, 6e-4);
        close(found_high, high, 6e-4);
    }
}

#[test]
fn the_two_ways_to_a_chi_square_quantile_meet() {
    for p in [0.025, 0.5, 0.975] {
        // The quantile moves by 1 a degree here, so just below and above the switch it differs by 2e-3.
        let (below, above) = (chi_square_quantile(p, 1e5 - 1e-3), chi_square_quantile(p, 1e5 + 1e-3));
        close(above - below, 2e-3, 2e-3);
    }
}

#[test]
fn skewness_and_kurtosis_agree_with_a_hand_calculation() {
    let sample = [1.0, 2.0, 3.0, 4.0, 10.0];
    // m2 = 10, m3 = 36, m4 = 278.8.
    close(skewness(&sample).unwrap().value, 20.0_f64.sqrt() / 3.0 * 36.0 / 10.0_f64.powf(1.5), 1e-12);
    close(excess_kurtosis(&sample).unwrap().value, 4.0 / 6.0 * (6.0 * -0.212 + 6.0), 1e-12);
    assert_eq!(skewness(&[1.0; 9]), None);
}

#[test]
fn the_interval_of_sigma_covers_the_truth() {
    let plain = Injected { programmings: 1, repeats: 1, readout: 0.0, ..Injected::default() };
    let cases = [
        ("independent, one matrix", plain),
        ("independent, 64 residuals", Injected { rows: 8, cols: 8, ..plain }),
        ("independent, ten matrices", Injected { programmings: 10, ..plain }),
        ("programming and read-out", Injected::default()),
        (
            "errors that stay with the element",
            Injected { element: 0.012, programming: 0.004, ..Injected::default() },
        ),
        ("half and half", Injected { element: 0.0085, programming: 0.0085, ..Injected::default() }),
        (
            "half and half, 8 × 8",
            Injected { element: 0.0085, programming: 0.0085, rows: 8, cols: 8, ..Injected::default() },
        ),
    ];
    for (name, injected) in cases {
        let coverage = sigma_coverage(&injected, 400).unwrap();
        let fraction = coverage.fraction();
        assert!((0.90..=0.98).contains(&fraction), "{name}: {fraction}");
    }
}

#[test]
fn ignoring_the_structure_would_not_cover() {
    // The interval must owe its coverage to the effective n: with n itself it fails.
    let injected = Injected { element: 0.012, programming: 0.004, ..Injected::default() };
    let covered = (0..200)
        .filter(|&seed| {
            let pairs = injected.pairs(seed).unwrap();
            let r: Vec<f64> = pairs.residuals().into_iter().collect();
            let [low, high] = sigma_ci95(rms(&r), r.len() as f64);
            (low..=high).contains(&injected.rms())
        })
        .count();
    assert!(covered < 150, "{covered} of 200");
}

#[test]
fn heavy_tails_widen_the_interval() {
    let law = StudentT::new(5.0).unwrap();
    let kept = Array2::from_elem((16, 16), true);
    let covered = (0..400)
        .filter(|&seed| {
            let mut rng = rng(seed);
            let r = Array3::from_shape_simple_fn((10, 16, 16), || law.sample(&mut rng) * 0.6_f64.sqrt());
            let dof = effective_n(r.view(), kept.view()).n_effective;
            assert!(dof < 2560.0);
            let [low, high] = sigma_ci95(rms(&r.into_iter().collect::<Vec<_>>()), dof);
            (low..=high).contains(&1.0)
        })
        .count();
    assert!((360..=392).contains(&covered), "{covered} of 400");
}

#[test]
fn programming_and_readout_come_back_within_their_intervals() {
    for (programmings, repeats) in [(10, 3), (3, 2), (10, 5)] {
        let injected = Injected { programmings, repeats, ..Injected::default() };
        let recovery = component_recovery(&injected, 400).unwrap();
        for coverage in [recovery.programming, recovery.readout] {
            let fraction = coverage.fraction();
            assert!((0.90..=0.98).contains(&fraction), "P {programmings} R {repeats}: {coverage:?}");
            // sd of a σ from n values is σ/√2n; the smallest case has 768 means, and 400 seeds are averaged.
            let tolerance = 4.0 * coverage.truth / (2.0 * 768.0 * 400.0_f64).sqrt();
            close(coverage.mean_estimate, coverage.truth, tolerance);
        }
    }
}

#[test]
fn two_percent_outliers_fool_the_likelihood_but_not_the_histogram() {
    let mut rng = rng(1);
    let n = 20_000;
    let mut sample = gaussian(n, &mut rng);
    for (k, x) in sample.iter_mut().take(n / 50).enumerate() {
        *x = if k % 2 == 0 { 10.0 } else { -10.0 };
    }
    // Var = 0.98 + 0.02 · 100; the core's part varies by √(2/n).
    close(gaussian_mle(&sample), 2.98_f64.sqrt(), 4.0 * (2.0 / n as f64).sqrt());
    // 0.98 (2Φ(m) − 1) = 0.5 has m = 0.69180, Φ⁻¹(3/4) = 0.67449; sd of the MAD is 1.17 σ/√n.
    close(mad_sigma(&sample), 0.69180 / 0.67449, 4.0 * 1.17 / (n as f64).sqrt());
    // The outliers lie in bins of their own. sd 0.072 at n = 256.
    let fit = Histogram::of(&sample).unwrap().fit_gaussian_to(&sample).unwrap();
    close(fit.sigma, 1.0, 4.0 * 0.072 * (256.0 / n as f64).sqrt());
}

#[test]
fn the_histogram_fit_reads_heavy_tails_too_low() {
    // Best A·exp(−x²/2s²) for the density itself, by brute force: for each s the best A is ⟨f, g⟩/⟨g, g⟩.
    let density = |x: f64| {
        let t = x / 0.6_f64.sqrt();
        0.379_606_689_822_494_3 * (1.0 + t * t / 5.0).powi(-3) / 0.6_f64.sqrt()
    };
    let grid: Vec<f64> = (-4000..=4000).map(|k| f64::from(k) * 0.002).collect();
    let gain = |s: f64| {
        let g = |x: f64| (-0.5 * x * x / (s * s)).exp();
        let product: f64 = grid.iter().map(|&x| density(x) * g(x)).sum();
        let norm: f64 = grid.iter().map(|&x| g(x) * g(x)).sum();
        product * product / norm
    };
    let expected =
        (500..1200).map(|k| f64::from(k) * 0.001).max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap();
    close(expected, 0.81, 0.01);

    let n = 20_000;
    let sample = t5(n, &mut rng(2));
    let fit = Histogram::of(&sample).unwrap().fit_gaussian_to(&sample).unwrap();
    close(fit.sigma, expected, 4.0 * 0.072 * (256.0 / n as f64).sqrt());
    // The fourth moment of t5 is 9: sd of a variance from n values is √((9 − 1)/n).
    close(gaussian_mle(&sample), 1.0, 4.0 * 0.5 * (8.0 / n as f64).sqrt());
}

#[test]
fn the_histogram_fit_needs_more_data_than_the_likelihood() {
    let (mut likelihood, mut histogram) = (Vec::new(), Vec::new());
    for seed in 0..600 {
        let sample = gaussian(256, &mut rng(seed));
        likelihood.push(gaussian_mle(&sample));
        histogram.push(Histogram::of(&sample).unwrap().fit_gaussian_to(&sample).unwrap().sigma);
    }
    let ratio = (gaussian_mle(&histogram) / gaussian_mle(&likelihood)).powi(2);
    // 2.4; a ratio of two variances from 600 values each varies by √(2/600 + 2/600) = 8 %.
    close(ratio, 2.4, 4.0 * 0.08 * 2.4);
    assert!(ratio > 1.5, "{ratio}");
}

#[test]
fn anderson_darling_is_uniform_on_gaussians() {
    let samples = 2000;
    let p: Vec<f64> =
        (0..samples).map(|seed| anderson_darling(&gaussian(256, &mut rng(seed))).unwrap().p_value).collect();
    let distance = sorted(&p)
        .iter()
        .enumerate()
        .map(|(k, p)| ((k as f64 + 0.5) / samples as f64 - p).abs())
        .fold(0.0, f64::max);
    // Kolmogorov's 1 % point, and the error of the fitted p-values.
    assert!(distance < 1.63 / (samples as f64).sqrt() + 0.01, "{distance}");
}

#[test]
fn anderson_darling_sees_heavy_tails() {
    let seen = (0..400)
        .filter(|&seed| anderson_darling(&t5(256, &mut rng(seed))).unwrap().p_value < 0.05)
        .count() as f64;
    // Power 0.83 at n = 256; a fraction of 400 varies by 0.019.
    close(seen / 400.0, 0.83, 4.0 * 0.019);
}

#[test]
fn stuck_elements_are_found_and_sound_ones_are_not_blamed() {
    let many = stuck_detection(&Injected { stuck: 6, ..Injected::default() }, 100).unwrap();
    assert_eq!((many.found, many.false_alarms), (600, 0));
    let few = stuck_detection(&Injected { programmings: 3, stuck: 6, ..Injected::default() }, 300).unwrap();
    // Three targets may lie too close together to judge by: Σ(w − w̄)² < s² = (0.0122/0.15)² in π s²·√12/8 = 0.9 % of
    // cells at most, 16 of 1800, give or take 4.
    assert!(few.false_alarms == 0 && few.found >= 1800 - 16 - 4 * 4, "{few:?}");
    let none = stuck_detection(&Injected { programmings: 3, ..Injected::default() }, 300).unwrap();
    assert_eq!((none.injected, none.false_alarms), (0, 0));
}

#[test]
fn an_element_that_responds_to_one_sign_only_is_stuck() {
    let (target, measured) = Injected { repeats: 1, ..Injected::default() }.pairs(6).unwrap().into_arrays();
    let mut measured = measured.index_axis_move(ndarray::Axis(1), 0);
    for p in 0..10 {
        measured[(p, 4, 9)] = measured[(p, 4, 9)].max(0.01);
        measured[(p, 8, 2)] = measured[(p, 8, 2)].min(-0.01);
    }
    let found = outliers((&measured - &target).view());
    let cells = stuck(target.view(), measured.view(), 0.012, &found).unwrap();
    assert_eq!(cells, [Cell { row: 4, col: 9 }, Cell { row: 8, col: 2 }]);
}

#[test]
fn a_dependence_of_sigma_on_the_weight_is_recovered() {
    // In the manner of a phase-change cell: 1 % at 0, 4 % at full scale.
    let variance = |w: f64| 1e-4 + 9e-4 * w + 6e-4 * w * w;
    let mut rng = rng(3);
    let n = 40_000;
    let (mut weights, mut r) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let w: f64 = rng.random_range(0.0..=1.0);
        let unit: f64 = StandardNormal.sample(&mut rng);
        weights.push(w);
        r.push(unit * variance(w).sqrt());
    }
    let fit = state_dependence(&weights, &r).unwrap();
    assert!(fit.p_value < 1e-12);
    for w in [0.0, 0.25, 0.5, 0.75, 1.0] {
        // A polynomial of three coefficients is known at its ends to about σ²·√(2·9/n) at worst.
        let found = fit.a + fit.b * w + fit.c * w * w;
        close(found / variance(w), 1.0, 4.0 * (18.0 / f64::from(n)).sqrt());
    }
    assert_eq!(fit.bins.iter().map(|bin| bin.n).sum::<u64>(), 40_000);
}

#[test]
fn a_constant_sigma_is_not_called_state_dependent() {
    let rejected = (0..600)
        .filter(|&seed| {
            let mut rng = rng(seed);
            let weights: Vec<f64> = (0..512).map(|_| rng.random_range(0.0..=1.0)).collect();
            let r = t5(512, &mut rng);
            let fit = state_dependence(&weights, &r).unwrap();
            for k in 0..=10 {
                let w = f64::from(k) / 10.0;
                assert!(fit.a + fit.b * w + fit.c * w * w >= -1e-12, "seed {seed}: {fit:?}");
            }
            fit.p_value < 0.05
        })
        .count() as f64;
    // 5 % of 600, sd 0.9 %; heavy tails make the asymptotic level a little low.
    assert!((0.01..=0.086).contains(&(rejected / 600.0)), "{rejected}");
}

#[test]
fn row_gains_are_told_from_noise_and_taken_out() {
    let (p, rows, cols, noise) = (10, 16, 16, 0.01);
    let kept = Array2::from_elem((rows, cols), true);
    let mut rng = rng(4);
    let gains = gaussian(rows, &mut rng);
    let w = Array3::from_shape_simple_fn((p, rows, cols), || rng.random_range(-1.0..=1.0));
    let r = Array3::from_shape_fn((p, rows, cols), |(k, i, j)| {
        let unit: f64 = StandardNormal.sample(&mut rng);
        0.03 * gains[i] * w[(k, i, j)] + 0.02 * gains[j] + noise * unit
    });
    let found = structure(w.view(), r.view(), kept.view()).unwrap();
    // σ from n − k degrees varies by σ/√2(n − k).
    close(found.sigma_after, noise, 4.0 * noise / (2.0 * 2498.0_f64).sqrt());
    assert!(found.sigma_before > 2.0 * noise);
    assert!(found.column_p_value < 1e-12 && found.row_p_value > 1e-3);
    for line in &found.rows {
        // Column offsets of rms 0.02 act as noise on a row's line; 160 points of rms weight 0.577.
        let std_error = noise.hypot(0.02) / (0.577 * 160.0_f64.sqrt());
        close(line.gain, 1.0 + 0.03 * gains[line.index], 5.0 * std_error);
    }
}

#[test]
fn structure_is_not_seen_in_pure_noise() {
    let kept = Array2::from_elem((8, 8), true);
    let p_values: Vec<f64> = (0..500)
        .map(|seed| {
            let mut rng = rng(seed);
            let w = Array3::from_shape_simple_fn((4, 8, 8), || rng.random_range(-1.0..=1.0));
            let r = Array3::from_shape_simple_fn((4, 8, 8), || StandardNormal.sample(&mut rng));
            structure(w.view(), r.view(), kept.view()).unwrap().row_p_value
        })
        .collect();
    let below = p_values.iter().filter(|&&p| p < 0.05).count() as f64 / 500.0;
    close(below, 0.05, 4.0 * (0.05 * 0.95 / 500.0_f64).sqrt());
    close(quantile(&sorted(&p_values), 0.5), 0.5, 4.0 * 0.5 / 500.0_f64.sqrt());
}

#[test]
fn every_residual_is_in_the_histogram_or_counted_outside() {
    let mut sample = gaussian(1000, &mut rng(5));
    sample.push(100.0);
    sample.push(-90.0);
    let histogram = Histogram::of(&sample).unwrap();
    assert_eq!((histogram.below, histogram.above), (1, 1));
    assert_eq!(histogram.counts.iter().sum::<u64>(), 1000);
    assert_eq!(histogram.edges.len(), histogram.counts.len() + 1);
    assert_eq!(Histogram::of(&[0.5; 100]), None);
}
