//! Every claim of physics or statistics as a case, against an analytic law, a published figure or numpy.
//!
//! [`run`] computes the cases, [`document`] writes them as `docs/validation.md`, [`out_of_date`] tells whether a stored
//! document still says what the code computes. No case compares code with itself: laws are written out again in the
//! case, published figures and numpy's are literals.

mod adapters;
mod arithmetic;
mod case;
mod chip_faults;
mod clusters;
mod coherent;
mod document;
mod drift;
mod elements;
mod estimators;
mod intervals;
mod jobs;
mod light_path;
mod limits;
mod mesh;
mod noise;
mod numpy;
mod presets;
mod probes;
mod random;
mod references;
mod streaming;
mod transfer;
mod unknown_chips;

use alora_calibration::Observer;
use tokio::runtime::Handle;

pub use case::{Case, Tolerance};
pub use document::{document, out_of_date};

use self::jobs::{Job, in_parallel};
use crate::error::Error;

/// A group of cases under one heading.
#[derive(Clone, Debug)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// Cases of one part of a section.
type Part = fn(&Handle) -> Result<Vec<Case>, Error>;

/// The sections but for the presets, and the parts that their cases come from.
const SECTIONS: &[(&str, &[Part])] = &[
    ("Statistics of the weight error", &[intervals::cases, estimators::cases, numpy::cases]),
    (
        "Noise, probes, drift and long streams",
        &[transfer::cases, probes::cases, clusters::cases, drift::cases, streaming::cases],
    ),
    ("Interferometer meshes", &[mesh::decomposition, mesh::error_laws]),
    ("Coherent mock", &[coherent::cases]),
    ("Incoherent mock", &[elements::cases, noise::cases]),
    ("Photonic arithmetic and ALoRA", &[arithmetic::cases, adapters::cases, references::cases]),
    ("Chips about which nothing is known", &[unknown_chips::meshes, unknown_chips::rings]),
    ("Limits and faults", &[limits::cases, chip_faults::cases]),
];

/// Computes every case, with fixed seeds. To be called within a tokio runtime; uses every core.
///
/// # Errors
/// A case that cannot be computed at all, or the operator's interruption.
pub async fn run(observer: &mut dyn Observer) -> Result<Vec<Section>, Error> {
    let runtime = Handle::current();
    let chips = presets::chips()
        .map(|(preset, seed)| {
            let runtime = runtime.clone();
            Box::new(move || presets::measured(preset, seed, &runtime)) as Job<presets::Chip>
        })
        .collect();
    let chips = in_parallel("validation: chips", chips, observer)?;
    let parts = SECTIONS.iter().flat_map(|(_, parts)| *parts).map(|part| {
        let runtime = runtime.clone();
        Box::new(move || part(&runtime)) as Job<Vec<Case>>
    });
    let mut parts = in_parallel("validation: laws", parts.collect(), observer)?.into_iter();
    let mut sections = vec![Section { title: presets::TITLE, cases: presets::cases(&chips) }];
    for (title, own) in SECTIONS {
        sections.push(Section { title, cases: parts.by_ref().take(own.len()).flatten().collect() });
    }
    Ok(sections)
}
