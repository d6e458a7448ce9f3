//! The full set of streaming statistics against reading the same residuals once.
//!
//! ```text
//! cargo bench -p alora-calibration --bench streaming -- [RESIDUALS] [--rounds R]      # 10⁸ residuals, 5 rounds
//! ```
//!
//! Residuals are generated in chunks of 8 MiB, which is not timed; each chunk is then read once (a sum in 32 lanes with the
//! processor's widest vectors), summed plainly (`iter().sum()`), and pushed, in an order that changes from chunk to chunk.
//! Before each of the three another buffer is gone through, so that all find the chunk as far from the processor.
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints")]

use std::{hint::black_box, time::Instant};

use alora_calibration::statistics::streaming::Streaming;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const CHUNK: usize = 1 << 20;

struct ReadOnce<'a>(&'a [f64]);

impl pulp::WithSimd for ReadOnce<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> f64 {
        let mut lanes = [0.0; 32];
        for chunk in self.0.as_chunks::<32>().0 {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane += x;
            }
        }
        lanes.iter().sum()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut rounds = 5;
    let mut total = 100_000_000;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = if argument == "--rounds" { rest.next() } else { Some(argument) };
        let number: usize = text.and_then(|text| text.parse().ok()).expect("RESIDUALS or --rounds R");
        *(if argument == "--rounds" { &mut rounds } else { &mut total }) = number;
    }
    println!("| round | read once, ns | plain sum, ns | statistics, ns | over read once | over plain sum |");
    println!("|---|---|---|---|---|---|");
    let mut ratios: Vec<[f64; 2]> = (0..rounds).map(|round| report(round, total)).collect();
    for (which, name) in [(0, "read once"), (1, "plain sum")] {
        ratios.sort_by(|a, b| a[which].total_cmp(&b[which]));
        println!("median over {name}: {:.2}", ratios[ratios.len() / 2][which]);
    }
}

fn report(round: usize, total: usize) -> [f64; 2] {
    let rng = &mut ChaCha8Rng::seed_from_u64(round as u64);
    let mut streaming = Streaming::of_matrices(64, 64, rng);
    let mut residuals = vec![0.0_f64; CHUNK];
    let other = vec![1.0_f64; CHUNK];
    let mut seconds = [0.0; 3];
    let mut left = total;
    let mut first = 0;
    while left > 0 {
        let chunk = &mut residuals[..left.min(CHUNK)];
        left -= chunk.len();
        chunk
            .iter_mut()
            .for_each(|x| *x = 0.012 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, rng));
        first += 1;
        for which in (0..3).map(|k| (k + first) % 3) {
            black_box(pulp::Arch::new().dispatch(ReadOnce(black_box(&other))));
            let start = Instant::now();
            match which {
                0 => {
                    black_box(pulp::Arch::new().dispatch(ReadOnce(black_box(chunk))));
                }
                1 => {
                    black_box(black_box(&*chunk).iter().sum::<f64>());
                }
                _ => streaming.push_slice(black_box(chunk)),
            }
            seconds[which] += start.elapsed().as_secs_f64();
        }
    }
    let found = streaming.summary();
    assert_eq!(found.n, total as u64);
    // 4 standard errors σ/√2n.
    assert!((found.rms / 0.012 - 1.0).abs() < 4.0 / (2.0 * total as f64).sqrt(), "rms {}", found.rms);
    let [read, plain, own] = seconds.map(|seconds| 1e9 * seconds / total as f64);
    println!(
        "| {} | {read:.3} | {plain:.3} | {own:.3} | {:.2} | {:.2} |",
        round + 1,
        own / read,
        own / plain
    );
    [own / read, own / plain]
}
