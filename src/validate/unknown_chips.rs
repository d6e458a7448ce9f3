//! Chips about which nothing is known: what is learned of them against what they were made with.

use alora_calibration::{
    Provenance, Silent,
    characterise::{
        Bench, CharacterisationPlan, HoldOutPlan, Journal, ReadingPlan, Source, characterise, hold_out,
        study_reading,
    },
    verify::VerifyPlan,
};
use alora_drivers::mock::{Script, Spec};
use tokio::runtime::Handle;

use super::Case;
use crate::{
    error::Error,
    examine::{Examination, examine},
};

/// What is found of one chip.
struct Found {
    examination: Examination,
    open_loop: f64,
    verified: f64,
    predicted_floor: f64,
}

/// Limits of a family, of max|target|, and chips over which figures are pooled.
struct Family {
    name: &'static str,
    preset: &'static str,
    chips: std::ops::RangeInclusive<u64>,
    open_loop: f64,
    verified: f64,
}

const MESH: Family = Family {
    name: "a 4 × 4 mesh, 12-bit phases",
    preset: "factory-fresh-coherent-4x4",
    chips: 1..=8,
    open_loop: 0.2,
    verified: 0.15,
};

const RINGS: Family = Family {
    name: "a 16 × 16 ring bank, 12-bit heaters",
    preset: "factory-fresh-incoherent-16x16",
    chips: 1..=2,
    open_loop: 0.5,
    verified: 0.4,
};

pub(super) fn meshes(runtime: &Handle) -> Result<Vec<Case>, Error> {
    let chips = found(&MESH, runtime)?;
    let mut cases = cases(&MESH, &chips);
    // Root mean square over chips of equal numbers of parameters.
    let phases = chips.iter().filter_map(|chip| chip.examination.kinds.get("phase_at_zero_rad"));
    let square: f64 = phases.map(|kind| kind.rms_error.powi(2)).sum();
    cases.push(
        Case::at_most(
            format!("Static phases found by outputs alone, {}", MESH.name),
            "phases that the chips were made with, rms; asked for: 4 mrad",
            1e3 * (square / chips.len() as f64).sqrt(),
            4.0,
        )
        .in_unit("mrad"),
    );
    Ok(cases)
}

pub(super) fn rings(runtime: &Handle) -> Result<Vec<Case>, Error> {
    Ok(cases(&RINGS, &found(&RINGS, runtime)?))
}

fn found(family: &Family, runtime: &Handle) -> Result<Vec<Found>, Error> {
    family.chips.clone().filter_map(|seed| one(family.preset, seed, runtime).transpose()).collect()
}

/// `None` where the preset is no chip that can be characterised.
fn one(preset: &str, seed: u64, runtime: &Handle) -> Result<Option<Found>, Error> {
    let Some(mut spec) = Spec::preset(preset) else { return Ok(None) };
    match &mut spec {
        Spec::Coherent(spec) => (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0),
        Spec::Incoherent(spec) => (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0),
    }
    let sheet = spec.data_sheet();
    let mut backend = spec.clone().connect(seed, Script::default());
    let mut journal = Journal::in_memory(backend.descriptor().clone());
    let provenance = Provenance::of(backend.descriptor(), String::new(), seed);
    let mut silent = Silent;
    let mut bench = Bench::new(Source::Live(&mut *backend), &mut journal, &mut silent)?;
    let (calibration, held) = runtime.block_on(async {
        let plan = CharacterisationPlan::default();
        let calibration = characterise(&mut bench, &sheet, &plan, provenance).await?;
        let encoding = calibration.encoding();
        let study = study_reading(&mut bench, &*encoding, &ReadingPlan::default()).await?;
        let (plan, verify) = (HoldOutPlan::default(), VerifyPlan::default());
        let held = hold_out(&mut bench, &*encoding, &plan, &verify, study.readout()).await?;
        Ok::<_, Error>((calibration, held))
    })?;
    Ok(examine(&calibration, &spec, seed).map(|examination| Found {
        examination,
        open_loop: held.open_loop,
        verified: held.verified,
        predicted_floor: held.predicted_floor,
    }))
}

fn cases(family: &Family, chips: &[Found]) -> Vec<Case> {
    let count = chips.len() as f64;
    let rms = |of: fn(&Found) -> f64| (chips.iter().map(|chip| of(chip).powi(2)).sum::<f64>() / count).sqrt();
    let kinds = || chips.iter().flat_map(|chip| chip.examination.kinds.values());
    let (inside, all) = kinds().fold((0, 0), |sum, kind| (sum.0 + kind.inside, sum.1 + kind.n));
    let seeds = format!("{}, chips {} to {}", family.name, family.chips.start(), family.chips.end());
    vec![
        Case::within(
            format!("True parameters within their stated 95 % intervals, {seeds}"),
            "what the chips were made with, in the gauge of the outputs; asked for: 90 to 98 %",
            100.0 * inside as f64 / all.max(1) as f64,
            94.0,
            4.0,
        )
        .in_unit("%"),
        Case::at_most(
            format!("σ of hold-out matrices without feedback, {seeds}"),
            "limit that was asked for, of full scale; rms over chips",
            100.0 * rms(|chip| chip.open_loop),
            family.open_loop,
        )
        .in_unit("%"),
        Case::at_most(
            format!("The same after program and verify, {seeds}"),
            "limit that was asked for",
            100.0 * rms(|chip| chip.verified),
            family.verified,
        )
        .in_unit("%"),
        Case::within(
            format!("Floor of program and verify, measured over predicted, {seeds}"),
            "`σ² = σ²_codes + (s²_n + s²_b)/K + s²_b`; asked for: within 20 %",
            rms(|chip| chip.verified) / rms(|chip| chip.predicted_floor),
            1.0,
            0.2,
        ),
    ]
}
