//! The certificate of one characterised chip: pass or fail first, then all that an honest report of σ holds.

mod html;

use std::collections::BTreeMap;

use alora_calibration::{
    Calibration, FitReport, Learned, Provenance,
    characterise::{HoldOut, HoldOutMatrix, ReadingStudy},
    drift::DriftRecord,
    statistics::{
        bootstrap::{BootstrapSigma, Resampling, bootstrap_sigma, by_programming},
        components::NestedComponents,
        probe::Basis,
        spatial::{Moran, Neighbourhood, grid, moran},
    },
    verify::Deviation,
};
use ndarray::{Array2, Array3, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use html::{page, validity};

use crate::{config::CertificateLimits, examine::Examination};

/// Resamples of the interval of σ.
const RESAMPLES: usize = 2000;

/// One figure against its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// What is judged.
    pub what: String,
    /// σ, of max|target|.
    pub sigma: f64,
    /// Its 95 % interval: bootstrap over hold-out matrices (BCa), read-out noise taken off; absent with fewer than five.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
    /// The bootstrap itself, of residuals with their noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapSigma>,
    /// Largest that passes.
    pub limit: f64,
    /// Whether it does.
    pub passed: bool,
}

/// A certificate. Every σ is relative to max|target| = 1 (full scale).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`Certificate::SCHEMA`].
    pub schema: String,
    /// Whether every figure keeps its limit.
    pub passed: bool,
    /// Figures and limits.
    pub judgements: Vec<Judgement>,
    /// Origin.
    pub provenance: Provenance,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Input vectors of the characterisation.
    pub measurements: u64,
    /// Time of the characterisation by the processor's clock, seconds.
    pub bench_seconds: f64,
    /// Lowest and highest temperature of all hold-out readings, °C.
    pub celsius: [f64; 2],
    /// Noise of the readings, the basis that it asks for, superposition.
    pub reading: ReadingStudy,
    /// Basis in which hold-out matrices were read.
    pub basis: Basis,
    /// Hold-out matrices, and readings of each.
    pub matrices: usize,
    /// Readings of each.
    pub repeats: usize,
    /// Floor of program-and-verify that its formula predicts.
    pub predicted_floor: f64,
    /// Static error, re-programming and read-out of the matrices that were written several times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<NestedComponents>,
    /// Residual of the fitted model, and what read-out noise and converter would leave; absent where the family has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_residual: Option<[f64; 2]>,
    /// Does the residual hang together on the chip? (Moran's I of the mean residual of each cell, nearest neighbours.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spatial: Option<Moran>,
    /// Drift of one matrix held; absent where it was not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftRecord>,
    /// Elements that do not work as the others, in frame order.
    pub defects: Vec<usize>,
    /// What was not measured.
    pub not_measured: Vec<String>,
    /// Statistics of the open loop on hold-out matrices.
    pub open_loop: FitReport,
    /// Statistics after program-and-verify.
    pub verified: FitReport,
    /// Simulated chips: against what the chip was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examination: Option<Examination>,
    /// SHA-256 of every file of raw readings.
    pub raw: BTreeMap<String, String>,
}

/// What a certificate is made of.
pub struct Evidence<'a> {
    /// What was learned.
    pub calibration: &'a Calibration,
    /// Noise of the readings.
    pub reading: ReadingStudy,
    /// Hold-out matrices with their readings.
    pub holdout: &'a HoldOut,
    /// Drift.
    pub drift: Option<DriftRecord>,
    /// Their statistics.
    pub open_loop: FitReport,
    /// Statistics after program-and-verify.
    pub verified: FitReport,
    /// Limits.
    pub limits: CertificateLimits,
    /// Time of the characterisation by the processor's clock, seconds.
    pub bench_seconds: f64,
    /// Simulated chips only.
    pub examination: Option<Examination>,
    /// Hashes of raw readings.
    pub raw: BTreeMap<String, String>,
}

impl Certificate {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.certificate/1";

    /// The certificate of `evidence`. Pure: the same evidence gives the same certificate.
    #[must_use]
    pub fn of(evidence: Evidence<'_>) -> Self {
        let Evidence { calibration, holdout, limits, .. } = evidence;
        let (rows, cols) = (calibration.descriptor.outputs, calibration.descriptor.inputs);
        let noise = |of: fn(&HoldOutMatrix) -> &Deviation| {
            let squares = holdout.matrices.iter().map(|matrix| of(matrix).noise.powi(2));
            squares.sum::<f64>() / holdout.matrices.len().max(1) as f64
        };
        let judgements = vec![
            judge(
                "open loop",
                (holdout.open_loop, noise(|matrix| &matrix.open_loop)),
                &holdout.residuals(|matrix| &matrix.open),
                limits.open_loop,
            ),
            judge(
                "program and verify",
                (holdout.verified, noise(|matrix| &matrix.verified)),
                &holdout.residuals(|matrix| &matrix.verified),
                limits.verified,
            ),
        ];
        let mean = holdout.residuals(|matrix| &matrix.verified).mean_axis(Axis(0));
        Self {
            schema: Self::SCHEMA.to_owned(),
            passed: judgements.iter().all(|judgement| judgement.passed),
            judgements,
            provenance: calibration.provenance.clone(),
            shape: [rows, cols],
            measurements: calibration.measurements,
            bench_seconds: evidence.bench_seconds,
            celsius: holdout.celsius,
            reading: evidence.reading,
            basis: holdout.basis,
            matrices: holdout.matrices.len(),
            repeats: holdout.repeats,
            predicted_floor: holdout.predicted_floor,
            components: holdout.components,
            model_residual: model_residual(&calibration.learned),
            spatial: mean.and_then(|mean| spatial(&mean)),
            defects: defects(&calibration.learned),
            not_measured: not_measured(evidence.drift.as_ref()),
            drift: evidence.drift,
            open_loop: evidence.open_loop,
            verified: evidence.verified,
            examination: evidence.examination,
            raw: evidence.raw,
        }
    }
}

/// `noise` is the mean square of the standard error of the mean readings.
fn judge(what: &str, (sigma, noise): (f64, f64), residuals: &Array3<f64>, limit: f64) -> Judgement {
    let kept = Array2::from_elem((residuals.len_of(Axis(1)), residuals.len_of(Axis(2))), true);
    let clusters = by_programming(residuals.view(), kept.view());
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let bootstrap = bootstrap_sigma(&clusters, Resampling::Clusters, RESAMPLES, rng);
    let ci95 = bootstrap.map(|found| found.bca_ci95.map(|end| (end * end - noise).max(0.0).sqrt()));
    Judgement { what: what.to_owned(), sigma, ci95, bootstrap, limit, passed: sigma <= limit }
}

fn spatial(mean: &Array2<f64>) -> Option<Moran> {
    let values: Vec<f64> = mean.iter().copied().collect();
    moran(&values, &grid(mean.nrows(), mean.ncols(), [1.0, 1.0]), Neighbourhood::Within(1.0))
}

fn model_residual(learned: &Learned) -> Option<[f64; 2]> {
    match learned {
        Learned::CharacterisedCoherent(found) => Some([found.residual, found.expected_residual]),
        _ => None,
    }
}

fn defects(learned: &Learned) -> Vec<usize> {
    match learned {
        Learned::CharacterisedCoherent(found) => found.defects.iter().map(|d| d.actuator).collect(),
        Learned::CharacterisedIncoherent(found) => found.defects.iter().map(|d| d.actuator).collect(),
        Learned::Incoherent(found) => found.defects.iter().map(|d| d.actuator).collect(),
        Learned::Coherent(found) => found.defects.clone(),
    }
}

fn not_measured(drift: Option<&DriftRecord>) -> Vec<String> {
    let drift = match drift {
        None => "drift: no time is given until σ leaves its limit".to_owned(),
        Some(record) => {
            format!("drift beyond {:.0} s: what is said of later times is extrapolated", record.duration_s)
        }
    };
    vec![
        drift,
        "wavelength and laser power: the processor's driver reports neither".to_owned(),
        "weights beyond the hold-out matrices' distribution (uniform, the largest magnitude 1)".to_owned(),
    ]
}
