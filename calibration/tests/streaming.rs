//! One pass against two: streaming statistics and the estimators that hold the whole sample.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::statistics::{
    moments::{
        MAD_TO_SIGMA, excess_kurtosis, gaussian_mle, mad_sigma, mean, quantile, rms, skewness, sorted,
    },
    normality::anderson_darling,
    streaming::{MergeError, SUBSAMPLE, StreamSummary, Streaming},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal, StudentT};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Samples of one million: Gaussian about a bias, skewed, heavy-tailed, steps of a converter.
fn samples() -> [(&'static str, Vec<f64>); 4] {
    let n = 1_000_000;
    let rng = &mut rng(1);
    let normal = |rng: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(rng) };
    let t5 = StudentT::new(5.0).unwrap();
    [
        ("Gaussian", (0..n).map(|_| 0.003 + 0.012 * normal(rng)).collect()),
        (
            "skewed",
            (0..n)
                .map(|_| {
                    let x: f64 = Exp1.sample(rng);
                    x
                })
                .collect(),
        ),
        ("heavy", (0..n).map(|_| 1e-4 * t5.sample(rng)).collect()),
        ("steps", (0..n).map(|_| (normal(rng) * 3.0).round() / 256.0).collect()),
    ]
}

/// Pushed in slices of 1 to 10 000.
fn streamed(sample: &[f64], seed: u64) -> Streaming {
    let rng = &mut rng(seed);
    let mut streaming = Streaming::new(rng);
    let mut left = sample;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(rng.random_range(1..=10_000).min(left.len()));
        streaming.push_slice(piece);
        left = rest;
    }
    streaming
}

fn close(what: &str, found: f64, expected: f64, distance: f64) {
    assert!(
        (found - expected).abs() <= distance,
        "{what}: found {found}, expected {expected} ± {distance:e}"
    );
}

/// The two-pass sums of a million terms are themselves good to 10⁶ ε at worst, to about √10⁶ ε = 2e-13 relative to their
/// terms; the fourth power has terms 4 times as far off. 1e-11 is far below any statistical error, and far above these.
const ROUNDING: f64 = 1e-11;

fn agrees(name: &str, found: &StreamSummary, sample: &[f64]) {
    let sd = gaussian_mle(sample);
    let ordered = sorted(sample);
    assert_eq!((found.n, found.not_finite), (sample.len() as u64, 0));
    close(name, found.mean, mean(sample), ROUNDING * sd);
    close(name, found.rms, rms(sample), ROUNDING * sd);
    close(name, found.gaussian_mle, sd, ROUNDING * sd);
    let (skew, tails) = (skewness(sample).unwrap(), excess_kurtosis(sample).unwrap());
    let fourth = tails.value + 3.0;
    close(name, found.skewness.unwrap().value, skew.value, ROUNDING * fourth);
    close(name, found.excess_kurtosis.unwrap().value, tails.value, ROUNDING * fourth);
    assert_eq!(found.skewness.unwrap().std_error, skew.std_error);
    assert_eq!((found.min, found.max), (ordered[0], ordered[ordered.len() - 1]));
    assert!(found.resolution <= rms(sample) / 16.0, "{name}: {}", found.resolution);
    for p in [0.001, 0.025, 0.25, 0.5, 0.75, 0.975, 0.999] {
        close(name, found.quantile(p), quantile(&ordered, p), found.resolution);
    }
    close(name, found.median, quantile(&ordered, 0.5), found.resolution);
    close(name, found.mad_sigma, mad_sigma(sample), 2.0 * MAD_TO_SIGMA * found.resolution);
    assert_eq!(found.subsample, SUBSAMPLE);
}

#[test]
fn one_pass_gives_what_two_passes_give() {
    for (name, sample) in samples() {
        agrees(name, &streamed(&sample, 2).summary(), &sample);
    }
}

#[test]
fn parts_put_together_give_what_the_whole_gives() {
    for (name, sample) in samples() {
        // Parts of unlike size and scale: the first is small in both, so that its bins are finer.
        let mut scaled = sample;
        scaled[..5000].iter_mut().for_each(|x| *x *= 0.01);
        let mut parts = [&scaled[..5000], &scaled[5000..400_000], &scaled[400_000..]]
            .into_iter()
            .map(|part| streamed(part, 3));
        let mut whole = parts.next().unwrap();
        parts.for_each(|part| whole.merge(part).unwrap());
        agrees(name, &whole.summary(), &scaled);
    }
}

#[test]
fn a_short_stream_is_tested_for_normality_whole() {
    let sample: Vec<f64> = samples()[2].1[..SUBSAMPLE].to_vec();
    let (found, expected) =
        (streamed(&sample, 4).summary().anderson_darling.unwrap(), anderson_darling(&sample).unwrap());
    close("A²", found.statistic, expected.statistic, 1e-9 * expected.statistic);
}

#[test]
fn the_subsample_keeps_the_level_of_the_test() {
    // 5 % of 400 Gaussian streams of 20 000: ± 4·√(0.05·0.95/400) = 4.4 %.
    let alarms = (0..400)
        .filter(|&seed| {
            let rng = &mut rng(1000 + seed);
            let sample: Vec<f64> = (0..20_000).map(|_| StandardNormal.sample(rng)).collect();
            streamed(&sample, seed).summary().anderson_darling.unwrap().p_value < 0.05
        })
        .count();
    close("alarms", alarms as f64 / 400.0, 0.05, 0.044);
}

#[test]
fn rows_and_columns_have_their_means() {
    // Row i is off by i, column j by 10 j; exact numbers.
    let (rows, columns, matrices) = (5, 37, 200);
    let stream: Vec<f64> = (0..rows * columns * matrices)
        .map(|k| ((k / columns) % rows) as f64 + 10.0 * (k % columns) as f64)
        .collect();
    let mut streaming = Streaming::of_matrices(rows, columns, &mut rng(5));
    stream.chunks(1001).for_each(|piece| streaming.push_slice(piece));
    let found = streaming.summary().structure.unwrap();
    // Means of the other coordinate: 10·18 for rows, 2 for columns.
    for (i, mean) in found.rows.iter().enumerate() {
        close("row", *mean, i as f64 + 180.0, 1e-9);
    }
    for (j, mean) in found.columns.iter().enumerate() {
        close("column", *mean, 10.0 * j as f64 + 2.0, 1e-9);
    }
}

#[test]
fn streams_of_other_shapes_are_not_put_together() {
    let rng = &mut rng(6);
    let mut one = Streaming::of_matrices(2, 3, rng);
    assert_eq!(one.merge(Streaming::of_matrices(3, 2, rng)), Err(MergeError::Shapes(2, 3, 3, 2)));
    one.push_slice(&[1.0; 4]);
    assert_eq!(one.merge(Streaming::of_matrices(2, 3, rng)), Err(MergeError::WithinMatrix));
    one.push_slice(&[1.0; 2]);
    assert_eq!(one.merge(Streaming::of_matrices(2, 3, rng)), Ok(()));
    assert_eq!(one.summary().n, 6);
}

#[test]
fn the_histogram_holds_every_residual() {
    let [(_, sample), ..] = samples();
    let found = streamed(&sample, 7).summary();
    for most in [2, 10, 100, 100_000] {
        let histogram = found.histogram(most).unwrap();
        assert!(histogram.counts.len() <= most && histogram.edges.len() == histogram.counts.len() + 1);
        assert_eq!(histogram.counts.iter().sum::<u64>(), sample.len() as u64);
        let first = sample.iter().filter(|&&x| x < histogram.edges[1]).count() as u64;
        assert_eq!(histogram.counts[0], first, "edges are where they are said to be");
    }
}

#[test]
fn what_is_no_number_is_left_out_and_counted() {
    let sample: Vec<f64> = (0..10_000).map(|k| f64::from(k % 100)).collect();
    let mut spoilt = sample.clone();
    spoilt.insert(3000, f64::NAN);
    spoilt.insert(9000, f64::NEG_INFINITY);
    let (found, clean) = (streamed(&spoilt, 8).summary(), streamed(&sample, 8).summary());
    assert_eq!((found.n, found.not_finite), (10_000, 2));
    close("mean", found.mean, clean.mean, 1e-9);
    assert_eq!((found.min, found.max), (0.0, 99.0));
}

#[test]
fn an_outlier_far_beyond_the_bins_is_counted_and_quantiles_stay() {
    let [(_, mut sample), ..] = samples();
    sample[500_000] = 1e3;
    sample[600_000] = -1e3;
    let found = streamed(&sample, 9).summary();
    let ordered = sorted(&sample);
    close("median", found.median, quantile(&ordered, 0.5), found.resolution);
    let histogram = found.histogram(64).unwrap();
    assert_eq!((histogram.below, histogram.above), (1, 1));
    assert_eq!(histogram.counts.iter().sum::<u64>(), sample.len() as u64 - 2);
    assert_eq!((found.quantile(0.0), found.quantile(1.0)), (-1e3, 1e3));
}

#[test]
fn nothing_and_zeros_have_a_summary() {
    let empty = Streaming::new(&mut rng(10)).summary();
    assert_eq!((empty.n, empty.mean, empty.rms, empty.median, empty.mad_sigma), (0, 0.0, 0.0, 0.0, 0.0));
    assert!(empty.histogram(10).is_none() && empty.skewness.is_none());
    let mut zeros = Streaming::new(&mut rng(11));
    zeros.push_slice(&[0.0; 5000]);
    let zeros = zeros.summary();
    assert_eq!((zeros.n, zeros.rms, zeros.median, zeros.mad_sigma), (5000, 0.0, 0.0, 0.0));
    assert_eq!(zeros.anderson_darling, None);
}

#[test]
fn a_summary_survives_its_file() {
    let [(_, sample), ..] = samples();
    let found = streamed(&sample[..5000], 12).summary();
    let text = serde_json::to_string(&found).unwrap();
    let read: StreamSummary = serde_json::from_str(&text).unwrap();
    assert_eq!((read.n, read.quantile(0.3)), (found.n, found.quantile(0.3)));
}
