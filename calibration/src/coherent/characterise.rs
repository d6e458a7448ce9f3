//! Characterisation of a coherent processor from its outputs alone.
//!
//! Dark; attenuators found and opened; every other shifter swept, column by column; the interior from the sweeps
//! ([`recursion`]); then the whole twin at once, to fields at random settings.

mod acceptance;
mod prior;
mod probe;
mod recursion;
mod refine;
mod start;
mod sweep;

use alora_drivers::{
    ActuatorFrame, ActuatorLayout, Code, Detection, InputBatch, datasheet::CoherentDataSheet,
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::{
    probe::Front,
    refine::{Refined, Task, take_unseen},
    start::Start,
};
use super::{
    CoherentCharacterisation, CoherentError, HeatPaths, Learnt, ShifterDefect,
    twin::{Fit, Gauge, Layout, Noise, Setting},
};
use crate::{
    characterise::{Bench, CharacteriseError, Question},
    observer::Event,
    vectors::orthogonal,
};

/// How much to measure of a coherent processor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoherentPlan {
    /// Points of each column sweep beyond twice the shifters swept.
    pub sweep_points: usize,
    /// Random settings of the global refinement; 0: by the size of the processor.
    pub settings: usize,
    /// Amplitude of the probe vectors, fraction of a fully driven input.
    pub amplitude: f64,
    /// Seed of all random settings and vectors.
    pub seed: u64,
}

impl Default for CoherentPlan {
    fn default() -> Self {
        Self { sweep_points: 20, settings: 0, amplitude: 0.45, seed: 1 }
    }
}

/// Shots averaged for the dark offsets.
const DARK_SHOTS: usize = 256;
/// Settings of one question of the global refinement.
const BLOCK: usize = 64;
/// Random settings reach this share beyond a full turn.
const BEYOND: f64 = 1.15;
/// Uncertainty of the oscillator's phase by one reading of the reference, radians: its noise, offset and balance.
const REFERENCE: f64 = 0.01;

/// A characterisation in progress.
struct Work<'a, 'b> {
    bench: &'a mut Bench<'b>,
    plan: &'a CoherentPlan,
    layout: Layout,
    front: Front,
    rng: ChaCha8Rng,
}

impl Work<'_, '_> {
    /// Codes of random phases over a turn and a little more.
    fn random_codes(&mut self) -> Vec<Code> {
        (0..self.layout.shifters())
            .map(|shifter| {
                let most = (BEYOND * std::f64::consts::TAU).min(self.front.most(shifter));
                let drive = self.rng.random_range(0.0..most);
                self.front.code(shifter, drive)
            })
            .collect()
    }

    fn vectors(&mut self) -> InputBatch {
        let vectors = orthogonal(self.front.modes, &mut self.rng);
        self.front.inputs(&(vectors * self.plan.amplitude))
    }

    async fn dark(&mut self) -> Result<(), CharacteriseError> {
        let width = self.bench.descriptor().input_width();
        let question = Question {
            name: "dark".to_owned(),
            frames: vec![ActuatorFrame::zeros(self.layout.shifters())],
            inputs: vec![InputBatch(Array2::zeros((1, width)))],
            repeats: DARK_SHOTS,
        };
        for readout in self.bench.ask(question).await? {
            let mut dark = super::receiver::mean_counts(readout.counts.view());
            // The reference is lit even now; its own offset is not seen apart from it.
            dark[2 * self.front.modes..].fill(0.0);
            self.front.dark = dark;
        }
        Ok(())
    }

    /// Measures `count` random settings.
    async fn settings(&mut self, count: usize) -> Result<Vec<Setting>, CharacteriseError> {
        let mut settings = Vec::with_capacity(count);
        self.bench.tell(Event::Started { stage: "random settings", steps: count.div_ceil(BLOCK) as u64 });
        for block in 0..count.div_ceil(BLOCK) {
            let points = BLOCK.min(count - block * BLOCK);
            let frames: Vec<_> = (0..points).map(|_| ActuatorFrame(self.random_codes())).collect();
            let inputs: Vec<_> = (0..points).map(|_| self.vectors()).collect();
            let question = Question { name: format!("settings-{block:03}"), frames, inputs, repeats: 1 };
            let readings = self.bench.ask(question.clone()).await?;
            settings.extend(readings.iter().enumerate().map(|(k, readout)| {
                self.front.setting(&question.frames[k].0, question.inputs_of(k), readout)
            }));
            self.bench.tell(Event::Step);
        }
        self.bench.tell(Event::Finished);
        Ok(settings)
    }
}

/// Random settings of the global refinement by the size of the processor.
fn settings_for(modes: usize) -> usize {
    match modes {
        0..=4 => 660,
        5..=8 => 1440,
        _ => 1000,
    }
}

pub(crate) async fn characterise(
    bench: &mut Bench<'_>,
    sheet: &CoherentDataSheet,
    plan: &CoherentPlan,
) -> Result<CoherentCharacterisation, CharacteriseError> {
    let descriptor = bench.descriptor().clone();
    let ActuatorLayout::ClementsSvd { modes } = descriptor.layout else {
        return Err(CoherentError::Layout.into());
    };
    if descriptor.detection != Detection::Iq {
        return Err(CharacteriseError::Detection);
    }
    let mut work = Work {
        bench,
        plan,
        layout: Layout::new(modes),
        front: Front::new(&descriptor, sheet),
        rng: ChaCha8Rng::seed_from_u64(plan.seed),
    };
    work.dark().await?;
    let count = if plan.settings > 0 { plan.settings } else { settings_for(modes) };
    let start = Start::find(&mut work, sheet, count).await?;
    let Start { mut defects, background, trials, .. } = start;
    let settings = work.settings(count - trials.spent).await?;
    let (layout, front) = (&work.layout, &work.front);
    let noise = Noise { quadrature: front.count / 12f64.sqrt(), oscillator: REFERENCE };
    let task = Task { layout, sheet, settings: &settings, noise };
    let begun = task.with_stuck_attenuators(start.twin, &defects);
    let unseen = take_unseen(layout, &begun, &mut defects, &front.drives(&background));
    let notes =
        defects.iter().map(ShifterDefect::sentence).chain(unseen.iter().map(|&shifter| {
            format!("no light passes phase shifter {shifter}; whether it works cannot be told")
        }));
    notes.for_each(|note| work.bench.tell(Event::Note(note)));
    let Refined { mut fitted, prior, curvature } = task.refine(&begun, &defects, &unseen);
    let fit = Fit { layout, settings: &settings, noise, prior: &prior, rounds: 1 };
    let sd = fit.uncertainty(&fitted.twin, &curvature);
    let blocks = fitted.twin.blocks.clone();
    Gauge::new(layout).fix(&blocks, &mut fitted.twin.values);
    let mut found = CoherentCharacterisation {
        modes,
        actuator_bits: descriptor.bits.actuator,
        input_top: descriptor.input_range().1,
        output_bits: descriptor.bits.output,
        limits: descriptor.limits,
        sheet: *sheet,
        dark: front.dark.clone(),
        defects,
        unseen,
        sweeps: trials.told(layout),
        residual: fitted.rms,
        expected_residual: noise.quadrature,
        phase_at_zero: Learnt::default(),
        slope: Learnt::default(),
        quartic: Learnt::default(),
        alpha: Learnt::default(),
        beta: Learnt::default(),
        log_transmission: Learnt::default(),
        log_input: Learnt::default(),
        log_output: Learnt::default(),
        imbalance: Learnt::default(),
        skew: Learnt::default(),
        offset_i: Learnt::default(),
        offset_q: Learnt::default(),
        crosstalk: HeatPaths::default(),
    };
    found.fill(layout, &fitted.twin, &sd);
    Ok(found)
}
