//! Characterisation of a coherent processor from its outputs alone.
//!
//! Dark; attenuators found and opened; every other shifter swept, column by column; the interior from the sweeps
//! ([`recursion`]); then the whole twin at once, to fields at random settings.

mod acceptance;
mod prior;
mod probe;
mod recursion;
mod start;
mod sweep;

use alora_drivers::{
    ActuatorFrame, ActuatorLayout, Code, Detection, InputBatch, datasheet::CoherentDataSheet,
};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::{prior::Beliefs, probe::Front, start::Start};
use super::{
    CoherentCharacterisation, CoherentError, HeatPaths, Learnt, ShifterDefect, ShifterFault,
    twin::{Curvature, Fit, Fitted, Gauge, Layout, Noise, Prior, Setting, Twin},
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
/// Settings by which the θ of a stuck attenuator is found, and parts of a turn that are tried.
const FEW: usize = 48;
const PARTS: usize = 12;
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
    let few = &settings[..settings.len().min(FEW)];
    let mut begun = with_stuck_attenuators(layout, start.twin, &defects, |twin| {
        let prior = Beliefs::new(layout, sheet, defects.clone()).of_phases(twin);
        Fit { layout, settings: few, noise, prior: &prior, rounds: 1 }.rms(twin)
    });
    let unseen = take_unseen(layout, &mut begun, &mut defects, &front.drives(&background));
    let mut beliefs = Beliefs::new(layout, sheet, defects.clone());
    let notes =
        defects.iter().map(ShifterDefect::sentence).chain(unseen.iter().map(|&shifter| {
            format!("no light passes phase shifter {shifter}; whether it works cannot be told")
        }));
    notes.for_each(|note| work.bench.tell(Event::Note(note)));
    let (mut fitted, prior, curvature) = refine(layout, begun, &settings, noise, &mut beliefs);
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

/// Takes what no light passes at `drives` out of the silent among `defects` and believes it to be as the data sheet says; such
/// shifters, in frame order. The attenuators' θ were swept before, when the V mesh let light to all of them.
fn take_unseen(
    layout: &Layout,
    twin: &mut Twin,
    defects: &mut Vec<ShifterDefect>,
    drives: &[f64],
) -> Vec<usize> {
    let unlit = start::unlit(layout, twin, drives);
    let thetas: Vec<usize> = (0..layout.modes()).map(|mode| layout.topology.attenuator_theta(mode)).collect();
    let unseen: Vec<usize> = defects
        .iter()
        .filter(|defect| defect.kind == ShifterFault::Stuck && unlit[defect.actuator])
        .map(|defect| defect.actuator)
        .filter(|actuator| !thetas.contains(actuator))
        .collect();
    defects.retain(|defect| !unseen.contains(&defect.actuator));
    unseen.iter().for_each(|&shifter| twin.of_mut(|b| &b.slope)[shifter] = 0.0);
    unseen
}

/// An attenuator that cannot be moved was swept by nobody: its θ is the one of a turn's parts with which the twin misses the
/// fewest fields.
fn with_stuck_attenuators(
    layout: &Layout,
    mut twin: Twin,
    defects: &[ShifterDefect],
    miss: impl Fn(&Twin) -> f64,
) -> Twin {
    let modes = layout.modes();
    let thetas: Vec<usize> = (0..modes).map(|mode| layout.topology.attenuator_theta(mode)).collect();
    for defect in defects {
        if defect.kind != ShifterFault::Stuck || !thetas.contains(&defect.actuator) {
            continue;
        }
        let at = |part: usize| {
            let mut twin = twin.clone();
            twin.of_mut(|b| &b.phase)[defect.actuator] = std::f64::consts::TAU * part as f64 / PARTS as f64;
            (miss(&twin), twin)
        };
        let first = at(0);
        twin = (1..PARTS).map(at).fold(first, |best, this| if this.0 < best.0 { this } else { best }).1;
    }
    twin
}

/// The global refinement, from few parameters and settings to all of them.
fn refine(
    layout: &Layout,
    start: Twin,
    settings: &[Setting],
    noise: Noise,
    beliefs: &mut Beliefs,
) -> (Fitted, Prior, Curvature) {
    let first = settings.len().min(8 * layout.modes().max(8));
    let prior = beliefs.of_phases(&start);
    let fit = Fit { layout, settings: &settings[..first], noise, prior: &prior, rounds: 25 };
    let rough = fit.run(&start, &fit.curvature(&start));
    let prior = beliefs.of_all(&rough.twin);
    let more = settings.len().min(2 * first);
    let fit = Fit { layout, settings: &settings[..more], noise, prior: &prior, rounds: 12 };
    let curvature = fit.curvature(&rough.twin);
    let better = fit.run(&rough.twin, &curvature);
    beliefs.learn(layout, &better.twin, &fit.nearly(&better.twin, &curvature));
    let prior = beliefs.of_all(&better.twin);
    let fit = Fit { layout, settings, noise, prior: &prior, rounds: 12 };
    let fitted = fit.run(&better.twin, &curvature);
    beliefs.learn(layout, &fitted.twin, &fit.nearly(&fitted.twin, &curvature));
    let prior = beliefs.of_all(&fitted.twin);
    let last = Fit { layout, settings, noise, prior: &prior, rounds: 4 }.run(&fitted.twin, &curvature);
    (last, prior, curvature)
}
