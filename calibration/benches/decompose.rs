//! Time of `mesh::decompose`: one JSON line a unitary.
//!
//! ```text
//! cargo bench -p alora-calibration --bench decompose                       # random unitaries, N = 64, 128, 256
//! cargo bench -p alora-calibration --bench decompose -- FILE.npy … [--rounds R]
//! ```
//!
//! A file holds one matrix as `[N, N, 2]` in f64, real and imaginary parts. `benches/decompose.py` writes the files and
//! times the Python package `interferometer` on the same matrices in turn.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops at the first failure"
)]

use std::{hint::black_box, path::Path, time::Instant};

use alora_calibration::mesh::decompose;
use ndarray::{Array2, Array3};
use ndarray_linalg::QR;
use ndarray_npy::read_npy;
use num_complex::Complex64;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut rounds = 7;
    let mut files = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--rounds" {
            rounds = rest.next().and_then(|rounds| rounds.parse().ok()).expect("--rounds NUMBER");
        } else {
            files.push(argument);
        }
    }
    if files.is_empty() {
        for modes in [64, 128, 256] {
            report(&random_unitary(modes), rounds);
        }
    }
    for file in files {
        report(&read(Path::new(file)), rounds);
    }
}

fn random_unitary(modes: usize) -> Array2<Complex64> {
    let rng = &mut ChaCha8Rng::seed_from_u64(modes as u64);
    let mut normal = || StandardNormal.sample(rng);
    let gaussian = Array2::from_shape_simple_fn((modes, modes), || Complex64::new(normal(), normal()));
    gaussian.qr().expect("a Gaussian matrix has full rank").0
}

fn read(file: &Path) -> Array2<Complex64> {
    let parts: Array3<f64> = read_npy(file).expect("an .npy of [N, N, 2] in f64");
    let (rows, cols, _) = parts.dim();
    Array2::from_shape_fn((rows, cols), |(i, j)| Complex64::new(parts[(i, j, 0)], parts[(i, j, 1)]))
}

/// Median of `rounds` times, and the largest entry by which the mesh misses `u`.
fn report(u: &Array2<Complex64>, rounds: usize) {
    let mut times: Vec<f64> = (0..rounds.max(1))
        .map(|_| {
            let start = Instant::now();
            black_box(decompose(black_box(u.view())));
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let transfer = decompose(u.view()).transfer();
    let error = (&transfer - u).iter().fold(0.0_f64, |most, entry| most.max(entry.norm()));
    let (modes, median) = (u.nrows(), times[times.len() / 2]);
    println!(
        "{{\"modes\": {modes}, \"seconds\": {median:e}, \"rounds\": {}, \"error\": {error:e}}}",
        times.len()
    );
}
