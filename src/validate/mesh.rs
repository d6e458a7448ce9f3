//! Clements meshes: exact decomposition, and first-order laws of errors.

use alora_calibration::mesh::{MeshSettings, Mzi, Splitters, decompose, factorise};
use ndarray::{Array2, ArrayView2};
use num_complex::Complex64;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;

use super::{
    Case,
    light_path::{follow, follow_ideal},
    random::{largest, mean, normal, rms, rng},
};
use crate::error::Error;

/// Rounding of N² products of numbers below 1 at N = 64 is 64² · 2.2e-16 = 9e-13.
const EXACT: f64 = 1e-12;
/// Makes a unitary target of so many modes.
type Target = fn(usize, &mut ChaCha8Rng) -> Array2<Complex64>;
/// Mesh sizes at which the laws of errors are tried.
const SIZES: [usize; 3] = [16, 32, 64];
/// Phase or splitter error, radians: small enough that N·σ² ≪ 1 at N = 64.
const SIGMA: f64 = 0.005;

/// The decomposition is exact for every kind of target.
pub(super) fn decomposition(_: &Handle) -> Result<Vec<Case>, Error> {
    let kinds: [(&str, Target); 4] = [
        ("a random unitary matrix", unitary),
        ("a random orthogonal matrix", orthogonal),
        ("the identity", |modes, _| Array2::eye(modes)),
        ("a random permutation", permutation),
    ];
    let mut cases: Vec<Case> = kinds
        .iter()
        .map(|(kind, make)| {
            exact(&format!("Clements decomposition of {kind}, N = 2 … 64"), |modes, rng| {
                let target = make(modes, rng);
                difference(&follow_ideal(&decompose(target.view())), &target)
            })
        })
        .collect();
    cases.push(exact("Two meshes and attenuators give a random real matrix, N = 2 … 64", |modes, rng| {
        rebuilt(&real(modes, modes, rng))
    }));
    cases.push(exact("The same for a matrix of rank N/2, N = 2 … 64", |modes, rng| {
        rebuilt(&real(modes, modes / 2, rng).dot(&real(modes / 2, modes, rng)))
    }));
    cases.push(exact(
        "Closed form of an imperfect mesh, splitters off by 0.1 rad, N = 2 … 64",
        |modes, rng| {
            let settings = decompose(unitary(modes, rng).view());
            let splitters = splitter_errors(&settings, 0.1, rng);
            difference(&settings.transfer_with(&splitters), &follow(&settings, &splitters))
        },
    ));
    cases.extend(reachable_split());
    Ok(cases)
}

fn exact(claim: &str, mut error: impl FnMut(usize, &mut ChaCha8Rng) -> f64) -> Case {
    let rng = &mut rng(1);
    let worst = largest((2..=64).map(|modes| error(modes, rng)));
    let against = "light followed through splitters and shifters one by one; largest entry of the difference; \
                   N² roundings";
    Case::at_most(claim, against, worst, EXACT)
}

/// `max |scale · U diag(s) Vᴴ − W| / scale`, each mesh followed part by part.
fn rebuilt(target: &Array2<f64>) -> f64 {
    let Some(parts) = factorise(target.view()) else { return f64::NAN };
    let mut vh = follow_ideal(&parts.vh);
    for (mut row, &transmission) in vh.rows_mut().into_iter().zip(&parts.transmissions) {
        row.mapv_inplace(|entry| entry * transmission);
    }
    let product = follow_ideal(&parts.u).dot(&vh).mapv(|entry| entry * parts.scale);
    difference(&product, &target.mapv(|w| Complex64::new(w, 0.0))) / parts.scale
}

/// Splitters that are off leave neither perfect cross nor perfect bar.
fn reachable_split() -> Vec<Case> {
    let splitters = Splitters { alpha: 0.1, beta: 0.04 };
    let bar: Vec<f64> = (0..=3600)
        .map(|step| Mzi { theta: f64::from(step) * std::f64::consts::TAU / 3600.0, phi: 0.3 })
        .map(|mzi| mzi.matrix(splitters)[0][0].norm_sqr())
        .collect();
    let (least, most) = bar.iter().fold((1.0_f64, 0.0_f64), |(l, m), &p| (l.min(p), m.max(p)));
    let law = "Hamerly, `crossing.py` of QPG-MIT/meshes, at α = 0.1, β = 0.04; rounding";
    vec![
        Case::within(
            "Least bar power of an interferometer is sin²(α + β)",
            law,
            least,
            0.14_f64.sin().powi(2),
            1e-9,
        ),
        Case::within(
            "Greatest bar power of an interferometer is cos²(α − β)",
            law,
            most,
            0.06_f64.cos().powi(2),
            1e-9,
        ),
    ]
}

/// Laws of small errors, each as measured over predicted.
pub(super) fn error_laws(_: &Handle) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for modes in SIZES {
        let rng = &mut rng(modes as u64);
        let (mut phase, mut splitter, mut fidelity) = (Vec::new(), Vec::new(), Vec::new());
        // N² independent errors a mesh: 5 % of scatter at N = 16 for a single mesh, which 12 meshes bring to 1.5 %.
        for _ in 0..12 {
            let exact = unitary(modes, rng);
            let settings = decompose(exact.view());
            let shifted = with_phase_errors(&settings, rng).transfer();
            phase.push(rms_difference(&shifted, &exact) / SIGMA);
            fidelity.push(infidelity(exact.view(), shifted.view()));
            let split = settings.transfer_with(&splitter_errors(&settings, SIGMA, rng));
            splitter.push(rms_difference(&split, &exact) / SIGMA);
        }
        let squares: Vec<f64> = phase.iter().map(|ratio| (ratio * SIGMA).powi(2)).collect();
        let size = modes as f64;
        let first_order = "first-order law; an independent simulation scattered from 0.94 to 1.10: ± 10 %";
        cases.push(Case::within(
            format!("Phase errors σ on all shifters: rms of dU over σ, N = {modes}"),
            first_order,
            rms(&phase),
            1.0,
            0.1,
        ));
        let law = (2.0 * (size - 1.0) / size).sqrt();
        cases.push(Case::within(
            format!("Splitter errors σ: rms of dU over σ is √(2(N − 1)/N), N = {modes}"),
            "first-order law, ± 10 % as above",
            rms(&splitter),
            law,
            0.1 * law,
        ));
        cases.push(Case::within(
            format!("Infidelity 1 − F over N · rms²/2, N = {modes}"),
            "identity of unitary matrices, F = Re tr(UᴴV)/N; rounding of 1 − F",
            mean(&fidelity) / (size * mean(&squares) / 2.0),
            1.0,
            1e-6,
        ));
    }
    Ok(cases)
}

fn with_phase_errors(settings: &MeshSettings, rng: &mut ChaCha8Rng) -> MeshSettings {
    let mut settings = settings.clone();
    for mzi in &mut settings.mzis {
        mzi.theta += SIGMA * normal(rng);
        mzi.phi += SIGMA * normal(rng);
    }
    settings.outputs.iter_mut().for_each(|phase| *phase += SIGMA * normal(rng));
    settings
}

fn splitter_errors(settings: &MeshSettings, sigma: f64, rng: &mut ChaCha8Rng) -> Vec<Splitters> {
    let error = |_: &Mzi| Splitters { alpha: sigma * normal(rng), beta: sigma * normal(rng) };
    settings.mzis.iter().map(error).collect()
}

fn infidelity(u: ArrayView2<'_, Complex64>, v: ArrayView2<'_, Complex64>) -> f64 {
    let trace: f64 = u.iter().zip(v).map(|(u, v)| (u.conj() * v).re).sum();
    1.0 - trace / u.nrows() as f64
}

fn difference(a: &Array2<Complex64>, b: &Array2<Complex64>) -> f64 {
    largest(a.iter().zip(b).map(|(a, b)| (a - b).norm()))
}

fn rms_difference(a: &Array2<Complex64>, b: &Array2<Complex64>) -> f64 {
    rms(&a.iter().zip(b).map(|(a, b)| (a - b).norm()).collect::<Vec<_>>())
}

fn unitary(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    orthonormal(Array2::from_shape_simple_fn((modes, modes), || Complex64::new(normal(rng), normal(rng))))
}

fn orthogonal(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    orthonormal(real(modes, modes, rng).mapv(|x| Complex64::new(x, 0.0)))
}

fn permutation(modes: usize, rng: &mut ChaCha8Rng) -> Array2<Complex64> {
    let mut order: Vec<usize> = (0..modes).collect();
    order.shuffle(rng);
    let mut matrix = Array2::zeros((modes, modes));
    order.iter().enumerate().for_each(|(row, &column)| matrix[(row, column)] = Complex64::ONE);
    matrix
}

fn real(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, cols), || normal(rng))
}

/// Gram–Schmidt over the rows, twice, so that the result is unitary to rounding.
fn orthonormal(mut matrix: Array2<Complex64>) -> Array2<Complex64> {
    for _ in 0..2 {
        for row in 0..matrix.nrows() {
            for earlier in 0..row {
                let along = matrix.row(earlier).to_owned();
                let overlap: Complex64 = along.iter().zip(matrix.row(row)).map(|(a, b)| a.conj() * b).sum();
                matrix.row_mut(row).zip_mut_with(&along, |entry, a| *entry -= overlap * a);
            }
            let norm = matrix.row(row).iter().map(|entry| entry.norm_sqr()).sum::<f64>().sqrt();
            matrix.row_mut(row).mapv_inplace(|entry| entry / norm);
        }
    }
    matrix
}
