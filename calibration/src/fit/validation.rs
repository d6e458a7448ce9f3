//! Estimators against injected truth, over many seeds.

use rayon::prelude::*;

use super::{FitReport, Injected, fit};
use crate::{pairs::PairsError, provenance::Provenance};

/// How often an interval held the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// Intervals that held it.
    pub covered: usize,
    /// Seeds tried.
    pub seeds: usize,
    /// Mean of the estimates over the seeds.
    pub mean_estimate: f64,
    /// The truth.
    pub truth: f64,
}

impl Coverage {
    /// `covered / seeds`.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.covered as f64 / self.seeds.max(1) as f64
    }

    fn of(truth: f64, estimates: &[(f64, [f64; 2])]) -> Self {
        let covered = estimates.iter().filter(|(_, [low, high])| (*low..=*high).contains(&truth)).count();
        let seeds = estimates.len();
        let mean_estimate = estimates.iter().map(|(value, _)| value).sum::<f64>() / seeds.max(1) as f64;
        Self { covered, seeds, mean_estimate, truth }
    }
}

fn reports(injected: &Injected, seeds: u64) -> Result<Vec<FitReport>, PairsError> {
    let provenance = |seed| Provenance {
        tool: concat!("alora ", env!("CARGO_PKG_VERSION")).to_owned(),
        processor: None,
        kind: None,
        simulated: true,
        created: String::new(),
        seed,
    };
    (0..seeds)
        .into_par_iter()
        .map(|seed| injected.pairs(seed).map(|pairs| fit(&pairs, provenance(seed))))
        .collect()
}

/// Coverage of the 95 % interval of σ rms over the seeds `0 … seeds − 1`, against [`Injected::rms`].
///
/// # Errors
/// Too few pairs in `injected`.
pub fn sigma_coverage(injected: &Injected, seeds: u64) -> Result<Coverage, PairsError> {
    let estimates: Vec<_> =
        reports(injected, seeds)?.iter().map(|report| (report.sigma.rms, report.sigma.ci95)).collect();
    Ok(Coverage::of(injected.rms(), &estimates))
}

/// Coverage of the intervals of both components of variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComponentRecovery {
    /// Programming, against [`Injected::static_sigma`].
    pub programming: Coverage,
    /// Read-out.
    pub readout: Coverage,
}

/// Coverage of the component intervals over the seeds `0 … seeds − 1`. With one reading nothing is recovered, and the
/// coverage is 0 of 0.
///
/// # Errors
/// Too few pairs in `injected`.
pub fn component_recovery(injected: &Injected, seeds: u64) -> Result<ComponentRecovery, PairsError> {
    let parts: Vec<_> =
        reports(injected, seeds)?.into_iter().filter_map(|report| report.components).collect();
    let programming: Vec<_> = parts.iter().map(|p| (p.programming, p.programming_ci95)).collect();
    let readout: Vec<_> = parts.iter().map(|p| (p.readout, p.readout_ci95)).collect();
    Ok(ComponentRecovery {
        programming: Coverage::of(injected.static_sigma(), &programming),
        readout: Coverage::of(injected.readout, &readout),
    })
}

/// Stuck elements found and missed, summed over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StuckDetection {
    /// Stuck elements injected.
    pub injected: usize,
    /// Of those, found.
    pub found: usize,
    /// Sound elements taken for stuck.
    pub false_alarms: usize,
}

/// Detection of the stuck elements of `injected` over the seeds `0 … seeds − 1`.
///
/// # Errors
/// Too few pairs in `injected`.
pub fn stuck_detection(injected: &Injected, seeds: u64) -> Result<StuckDetection, PairsError> {
    let mut total = StuckDetection::default();
    for report in reports(injected, seeds)? {
        let named = report.defects.stuck.unwrap_or_default();
        let found = named.iter().filter(|cell| cell.row * injected.cols + cell.col < injected.stuck).count();
        total.injected += injected.stuck;
        total.found += found;
        total.false_alarms += named.len() - found;
    }
    Ok(total)
}
