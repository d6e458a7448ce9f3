//! Characterisation of a bank of add-drop rings about which nothing is known but its layout and its data sheet.
//!
//! ```text
//! dark, amplitude, modulator curves ─▶ sweeps, column by column ─▶ random settings, rough ─▶ refinement, tails
//!     ─▶ random settings on the line, crosstalk compensated ─▶ refinement ─▶ reach, defects, full scale
//! ```

mod bank;
mod curve;
mod encode;
mod global;
mod inputs;
mod learned;
mod line;
mod noise;
mod observations;
mod plan;
mod prior;
mod probe;
mod program;
mod scale;
mod settings;
mod solve;
mod sweeps;

use alora_drivers::{ActuatorLayout, datasheet::IncoherentDataSheet};

use self::{
    bank::{BIAS, BankModel, FIRST_PAIR, FIRST_TAIL, OFF, PAIRS, PARAMETERS, SPAN, SWING, Theta},
    global::{Errors, Group, Refinement},
    inputs::Inputs,
    line::Line,
    noise::Noise,
    observations::{Conditions, Observations},
    prior::{CLASSES, Prior, hyperprior},
    probe::Receiver,
    sweeps::Swept,
};
use crate::{
    characterise::{Bench, CharacteriseError},
    observer::Event,
    statistics::moments::Estimate,
};

pub use curve::InputCurve;
pub use learned::{IncoherentCharacterisation, RingLaw};
pub use plan::IncoherentPlan;

/// Noise of a reading before it is found in the residuals, in nominal weights.
const FIRST_NOISE: f64 = 0.005;
/// Steps of the refinement before the spreads over the rings are learned, and after each time that they are.
const FIRST_STEPS: usize = 4;
const LAST_STEPS: usize = 3;
const LEARNING_ROUNDS: usize = 2;
/// Spacings of channels at which tails are looked for, in half widths of the line: from the first on, each so much
/// wider than the one before.
const NEAREST_CHANNEL: f64 = 5.0;
const WIDER: f64 = 1.08;
const SPACINGS: usize = 30;
/// Rings that the search looks at, at most.
const SEARCHED: usize = 512;
/// Gain in `χ²` from which tails are taken for seen.
const TAILS_SEEN: f64 = 25.0;

impl IncoherentCharacterisation {
    /// Characterises the bank on `bench`.
    ///
    /// # Errors
    /// A plan out of range, a processor or data sheet of another kind, a row or an input without light or at its limit,
    /// a row without a sound element, and what stops any [`Bench`].
    pub async fn learn(
        bench: &mut Bench<'_>,
        sheet: &IncoherentDataSheet,
        plan: &IncoherentPlan,
    ) -> Result<Self, CharacteriseError> {
        characterise(bench, sheet, plan).await
    }
}

/// Brings a factory-fresh bank of rings to a model of every one of its parameters.
pub(crate) async fn characterise(
    bench: &mut Bench<'_>,
    sheet: &IncoherentDataSheet,
    plan: &IncoherentPlan,
) -> Result<IncoherentCharacterisation, CharacteriseError> {
    plan.check()?;
    let descriptor = bench.descriptor().clone();
    let (Some(line), ActuatorLayout::WeightBank { .. }) = (Line::of(&sheet.element), descriptor.layout)
    else {
        return Err(CharacteriseError::NotABankOfRings { processor: descriptor.id });
    };
    let inputs = inputs::measure(bench, sheet.counts_per_unit, plan).await?;
    let receiver = Receiver {
        descriptor: &descriptor,
        inputs: &inputs,
        counts_per_unit: sheet.counts_per_unit,
        zeros: plan.zeros,
    };
    let mut observations = Observations::of_bank(descriptor.outputs, descriptor.inputs);
    let swept = sweeps::sweep(bench, &receiver, sheet, line, plan, &mut observations).await?;
    let mut priors = priors(&receiver, line, &swept, &observations);
    let mut model = BankModel::new(
        descriptor.outputs,
        descriptor.inputs,
        line,
        priors.iter().map(|prior| prior.mean).collect(),
        NEAREST_CHANNEL * line.half_width(),
    );
    priors = priors.into_iter().enumerate().map(|(ring, prior)| prior.among(&model, ring)).collect();
    let exponent = sheet.drive.exponent;
    let rough = ("settings-rough", plan.rough_settings, false);
    settings::ask(bench, &receiver, &model, exponent, (plan.seed, 0), rough, &mut observations).await?;
    let mut found = refine(model, &observations, priors, None);
    model = found.model;
    let fine = ("settings-fine", plan.settings, true);
    settings::ask(bench, &receiver, &model, exponent, (plan.seed, 1 << 12), fine, &mut observations).await?;
    check_limits(&observations, &model, plan.sweep_points + plan.rough_settings + plan.settings)?;
    found = refine(model, &observations, found.priors, Some(found.means));
    carry_errors(&found.model, &inputs, &mut found.errors);
    let (celsius, phase_per_kelvin) = by_temperature(observations.groups(), &found.groups);
    let reaches = scale::reaches(&found.model);
    let (full_scale, defects) = scale::full_scale(&found.model, &inputs, &swept, &reaches)?;
    for defect in &defects {
        bench.tell(Event::Note(defect.sentence()));
    }
    let rings = (0..found.model.rings.len())
        .map(|ring| {
            let scale = full_scale[ring / descriptor.inputs];
            let reach = [reaches[ring].lowest / scale, reaches[ring].highest / scale];
            let exists = std::array::from_fn(|pair| found.model.neighbour(ring, pair).is_some());
            RingLaw::new(&found.model.rings[ring], &found.errors.rings[ring], exists, reach)
        })
        .collect();
    Ok(IncoherentCharacterisation {
        rows: descriptor.outputs,
        cols: descriptor.inputs,
        input_limit: inputs.limit,
        limits: descriptor.limits.clone(),
        exponent,
        element: sheet.element,
        counts_per_unit: sheet.counts_per_unit,
        dark: inputs.dark,
        responsivity: inputs.responsivity,
        full_scale,
        inputs: inputs.curves,
        tail_spacing_rad: Estimate { value: found.model.spacing, std_error: found.errors.spacing },
        celsius,
        phase_per_kelvin,
        read_noise: found.noise,
        defects,
        rings,
    })
}

fn priors(receiver: &Receiver<'_>, line: Line, swept: &[Swept], observations: &Observations) -> Vec<Prior> {
    let cols = receiver.descriptor.inputs;
    let prior = |(ring, swept): (usize, &Swept)| {
        let gain = receiver.inputs.gain(ring / cols, ring % cols);
        let swing = gain * (line.peak + line.dip);
        let held = solve::median(observations.of(ring).iter().map(|reading| reading.weight).collect());
        let mut still: Theta = [0.0; PARAMETERS];
        (still[OFF], still[SWING]) = (-gain, swing);
        still[BIAS] = line.phase_for((held + gain) / swing);
        Prior::about(swept, &still, swing)
    };
    swept.iter().enumerate().map(prior).collect()
}

struct Refined {
    model: BankModel,
    priors: Vec<Prior>,
    means: [f64; CLASSES],
    errors: Errors,
    /// Phase and gain of each group of settings.
    groups: Vec<Group>,
    noise: f64,
}

/// Fits all parameters to all readings. `means` of the classes are `None` where nothing was fitted yet; it is then also
/// looked for tails.
fn refine(
    model: BankModel,
    observations: &Observations,
    priors: Vec<Prior>,
    means: Option<[f64; CLASSES]>,
) -> Refined {
    let mut refinement = Refinement {
        model,
        observations,
        priors,
        groups: vec![Group::default(); observations.groups().len()],
        noise: Noise::uniform(FIRST_NOISE),
        means: means.unwrap_or(hyperprior().map(|(mean, _)| mean)),
    };
    let mut errors = refinement.run(FIRST_STEPS);
    if means.is_none() && look_for_tails(&mut refinement) {
        errors = refinement.run(FIRST_STEPS);
    }
    for _ in 0..LEARNING_ROUNDS {
        prior::learn_spreads(&mut refinement.priors, &refinement.model.rings, &errors);
        errors = refinement.run(LAST_STEPS);
    }
    Refined {
        groups: refinement.groups,
        noise: refinement.noise.rms(),
        model: refinement.model,
        priors: refinement.priors,
        means: refinement.means,
        errors,
    }
}

/// Adds to the rings' errors what was taken for known while they were fitted: the inputs' curves and the neighbours'
/// heaters.
fn carry_errors(model: &BankModel, inputs: &Inputs, errors: &mut Errors) {
    let heaters: Vec<f64> = errors
        .rings
        .iter()
        .zip(&model.rings)
        .map(|(error, theta)| error[SPAN] / theta[SPAN].max(1e-3))
        .collect();
    for (ring, (theta, error)) in model.rings.iter().zip(&mut errors.rings).enumerate() {
        let of_input = inputs.scale_errors[ring % model.cols];
        for level in [OFF, SWING] {
            error[level] = error[level].hypot(of_input * theta[level]);
        }
        for pair in 0..PAIRS {
            // A reading knows the product of a coefficient and its neighbour's heat.
            if let Some(neighbour) = model.neighbour(ring, pair) {
                let parameter = FIRST_PAIR + pair;
                error[parameter] = error[parameter].hypot(heaters[neighbour] * theta[parameter]);
            }
        }
    }
}

/// A row most of whose readings were at a limit cannot be fitted.
fn check_limits(
    observations: &Observations,
    model: &BankModel,
    asked: usize,
) -> Result<(), CharacteriseError> {
    for row in 0..model.rows {
        let rings = row * model.cols..(row + 1) * model.cols;
        let taken: usize = rings.map(|ring| observations.of(ring).len()).sum();
        let readings = asked * model.cols;
        if 2 * taken < readings {
            return Err(CharacteriseError::ReadingsAtLimit { row, missing: readings - taken, readings });
        }
    }
    Ok(())
}

/// Mean temperature of the groups, and the slope of their phase with it; 0 where it is less than 3 of its errors.
///
/// Groups count by what they know, as in the mean that was left to the rings.
fn by_temperature(conditions: &[Conditions], groups: &[Group]) -> (f64, Estimate) {
    let n = conditions.iter().filter(|conditions| conditions.whole).count() as f64;
    let celsius = || conditions.iter().map(|conditions| conditions.celsius);
    let known = groups.iter().map(|group| group.known[0]).sum::<f64>().max(f64::MIN_POSITIVE);
    let weights = || groups.iter().map(|group| group.known[0] / known);
    let mean = celsius().zip(weights()).map(|(celsius, weight)| weight * celsius).sum::<f64>();
    let deviations = || {
        let phases = celsius().zip(groups).map(|(celsius, group)| (celsius - mean, group.shift[0]));
        phases.zip(weights()).map(|((t, phase), weight)| (t, phase, weight))
    };
    let (square, product) = deviations().fold((0.0, 0.0), |(square, product), (t, phase, weight)| {
        (square + weight * t * t, product + weight * t * phase)
    });
    if square <= 0.0 {
        return (mean, Estimate { value: 0.0, std_error: 0.0 });
    }
    let slope = product / square;
    let rest: f64 = deviations().map(|(t, phase, weight)| weight * (phase - slope * t).powi(2)).sum();
    let std_error = (rest / (n - 2.0).max(1.0) / square).sqrt();
    let value = if slope.abs() > 3.0 * std_error { slope } else { 0.0 };
    (mean, Estimate { value, std_error })
}

/// Tries tails of channels at many spacings and takes the best, if it explains something.
fn look_for_tails(refinement: &mut Refinement<'_>) -> bool {
    let count = refinement.model.rings.len();
    let sample: Vec<usize> = (0..count).step_by(count.div_ceil(SEARCHED).max(1)).collect();
    let mut spacing = NEAREST_CHANNEL * refinement.model.line.half_width();
    let mut best = (TAILS_SEEN, None);
    for _ in 0..SPACINGS {
        let gain = refinement.gain_of_tails(spacing, &sample);
        if gain > best.0 {
            best = (gain, Some(spacing));
        }
        spacing *= WIDER;
    }
    let Some(spacing) = best.1 else { return false };
    refinement.model.spacing = spacing;
    for (ring, prior) in refinement.priors.iter_mut().enumerate() {
        *prior = prior.with_tails(&refinement.model, ring);
        refinement.model.rings[ring][FIRST_TAIL..].copy_from_slice(&prior.mean[FIRST_TAIL..]);
    }
    true
}
