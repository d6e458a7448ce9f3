//! Laws of the mesh mathematics.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use alora_calibration::mesh::{MeshSettings, Mzi, Splitters, decompose, factorise};
use ndarray::{Array2, ArrayView2};
use ndarray_linalg::QR;
use num_complex::Complex64;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn random_unitary(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    let gaussian = Array2::from_shape_simple_fn((modes, modes), || Complex64::new(normal(rng), normal(rng)));
    gaussian.qr().unwrap().0
}

fn random_orthogonal(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    let gaussian = Array2::from_shape_simple_fn((modes, modes), || normal(rng));
    gaussian.qr().unwrap().0.mapv(|value| Complex64::new(value, 0.0))
}

fn random_permutation(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    let mut order: Vec<usize> = (0..modes).collect();
    order.shuffle(rng);
    Array2::from_shape_fn((modes, modes), |(row, col)| {
        Complex64::new(if order[row] == col { 1.0 } else { 0.0 }, 0.0)
    })
}

fn largest_error(u: ArrayView2<'_, Complex64>) -> f64 {
    let settings = decompose(u);
    let tau = std::f64::consts::TAU;
    let phases = settings.mzis.iter().flat_map(|mzi| [mzi.theta, mzi.phi]).chain(settings.outputs.clone());
    assert!(phases.into_iter().all(|phase| (0.0..tau).contains(&phase)), "every phase lies in [0, 2π)");
    (&settings.transfer() - &u).iter().fold(0.0, |max: f64, error| max.max(error.norm()))
}

#[test]
fn decomposition_is_exact_for_random_orthogonal_identity_and_permutation_matrices() {
    for modes in (2..=20).chain([31, 32, 48, 63, 64]) {
        let mut rng = ChaCha8Rng::seed_from_u64(modes as u64);
        for (kind, u) in [
            ("unitary", random_unitary(modes, &mut rng)),
            ("orthogonal", random_orthogonal(modes, &mut rng)),
            ("identity", Array2::eye(modes)),
            ("permutation", random_permutation(modes, &mut rng)),
            ("reversal", Array2::eye(modes).slice(ndarray::s![..;-1, ..]).to_owned()),
        ] {
            let error = largest_error(u.view());
            assert!(error < 1e-12, "{kind} of {modes}: largest error {error:e}");
        }
    }
}

#[test]
fn denormal_and_tiny_entries_do_not_spoil_the_decomposition() {
    for tiny in [5e-324, 1e-310, 1e-200, 1e-17, 1e-9] {
        let mut u = Array2::<Complex64>::eye(64);
        for row in 1..64 {
            u[[row, row - 1]] = Complex64::new(tiny, -tiny);
            u[[row - 1, row]] = Complex64::new(-tiny, -tiny);
        }
        // Not unitary by tiny² at most beyond the first order, which is anti-Hermitian.
        let error = largest_error(u.view());
        assert!(error < 1e-12 + 4.0 * tiny * tiny, "entries of {tiny:e}: largest error {error:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn reconstructing_a_decomposition_gives_the_matrix_back(modes in 2usize..24, seed in any::<u64>()) {
        let u = random_unitary(modes, &mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(largest_error(u.view()) < 1e-12);
    }

    #[test]
    fn any_real_matrix_comes_back_from_its_two_meshes(
        modes in 2usize..12, rank in 0usize..12, seed in any::<u64>()
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rank = rank.min(modes);
        let left = Array2::from_shape_simple_fn((modes, rank), || normal(&mut rng));
        let right = Array2::from_shape_simple_fn((rank, modes), || normal(&mut rng));
        let weights = left.dot(&right);
        let parts = factorise(weights.view()).unwrap();
        let middle = Array2::from_diag(
            &parts.transmissions.iter().map(|&s| Complex64::new(s, 0.0)).collect::<ndarray::Array1<_>>(),
        );
        let product = parts.u.transfer().dot(&middle).dot(&parts.vh.transfer()) * parts.scale;
        for (index, &weight) in weights.indexed_iter() {
            prop_assert!((product[index] - weight).norm() < 1e-12 * (1.0 + parts.scale));
        }
    }
}

fn rms_change(exact: &Array2<Complex64>, changed: &Array2<Complex64>) -> f64 {
    let n = exact.len() as f64;
    ((changed - exact).iter().map(Complex64::norm_sqr).sum::<f64>() / n).sqrt()
}

fn with_phase_errors(settings: &MeshSettings, sigma: f64, rng: &mut ChaCha8Rng) -> MeshSettings {
    let mut off = |phase: f64| phase + sigma * normal(rng);
    MeshSettings {
        mzis: settings.mzis.iter().map(|mzi| Mzi { theta: off(mzi.theta), phi: off(mzi.phi) }).collect(),
        outputs: settings.outputs.iter().map(|&phase| off(phase)).collect(),
    }
}

#[test]
fn phase_errors_of_sigma_change_each_entry_by_sigma_rms_whatever_the_size() {
    let sigma = 1e-3;
    for modes in [16, 32, 64] {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let u = random_unitary(modes, &mut rng);
        let settings = decompose(u.view());
        // The rms over a matrix scatters by about 1/√(N²/2): ≤ 6 % at N = 16 with 2 draws; 10 % is the law's claim.
        let mean = (0..8)
            .map(|_| rms_change(&u, &with_phase_errors(&settings, sigma, &mut rng).transfer()))
            .sum::<f64>()
            / 8.0;
        assert!((mean / sigma - 1.0).abs() < 0.1, "N = {modes}: {mean} against {sigma}");
    }
}

#[test]
fn splitter_errors_change_each_entry_by_root_two_n_minus_one_over_n() {
    let sigma = 1e-3;
    for modes in [16, 32, 64] {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let u = random_unitary(modes, &mut rng);
        let settings = decompose(u.view());
        let expected = (2.0 * (modes as f64 - 1.0) / modes as f64).sqrt() * sigma;
        let mean = (0..8)
            .map(|_| {
                let splitters: Vec<_> = settings
                    .mzis
                    .iter()
                    .map(|_| Splitters { alpha: sigma * normal(&mut rng), beta: sigma * normal(&mut rng) })
                    .collect();
                rms_change(&u, &settings.transfer_with(&splitters))
            })
            .sum::<f64>()
            / 8.0;
        assert!((mean / expected - 1.0).abs() < 0.1, "N = {modes}: {mean} against {expected}");
    }
}

#[test]
fn a_zero_matrix_closes_every_attenuator() {
    let parts = factorise(Array2::zeros((5, 5)).view()).unwrap();
    assert_eq!(parts.scale, 0.0);
    assert!(parts.transmissions.iter().all(|&s| s == 0.0));
}

#[test]
fn the_largest_singular_value_opens_its_attenuator_fully() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let weights = Array2::from_shape_simple_fn((8, 8), || rng.random_range(-1.0..1.0));
    let parts = factorise(weights.view()).unwrap();
    assert!(parts.transmissions.iter().all(|s| (0.0..=1.0).contains(s)));
    assert!((parts.transmissions[0] - 1.0).abs() < 1e-15);
}
