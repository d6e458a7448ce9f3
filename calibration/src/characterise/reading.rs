//! How a processor is best read: its noise against the light, the basis that suits it, and how often.

mod ladder;
mod pair;

use alora_drivers::{ActuatorLayout, Descriptor, Detection, InputAlphabet, Rails};
use ndarray::{Array2, Array3, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::{
    ladder::{Ladder, Seen},
    pair::read_both,
};
use super::{Bench, CharacteriseError, Question};
use crate::{
    encoding::Encoding,
    measure::MeasurementPlan,
    observer::Event,
    readout::ReadOut,
    statistics::{
        noise_law::{
            DetectedPoint, NoiseLaw, Quantisation, TransferCurve, detected_curve, lasting_rounding,
            quantisation,
        },
        probe::{self, AUTO_RANGED, AdcRange, Basis, Choice, MatrixScale, Prediction, choose},
        repeats::{RepeatLimits, RepeatPlan, repeats_for_weight},
        superposition::{BasisEstimate, LEVEL, Superposition, superposition},
    },
};

/// How much to measure of the noise, and how well weights are to be known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingPlan {
    /// Strengths of light at which the noise is measured, 4 to 256.
    pub levels: usize,
    /// Readings at each, and readings of the matrix in each of two bases, 8 to 10 000.
    pub repeats: usize,
    /// Standard uncertainty of one weight of a hold-out matrix that readings are to reach, fraction of full scale, 1e-6 to 0.1.
    pub uncertainty: f64,
    /// Fewest readings of a matrix, 2 to 10 000.
    pub least: u32,
    /// Most readings of a matrix, `least` to 10 000.
    pub most: u32,
    /// Seed of the matrix and of the vectors.
    pub seed: u64,
}

impl Default for ReadingPlan {
    fn default() -> Self {
        Self { levels: 12, repeats: 64, uncertainty: 4e-4, least: 8, most: 1024, seed: 2001 }
    }
}

impl ReadingPlan {
    fn check(&self) -> Result<(), CharacteriseError> {
        let least = f64::from(self.least);
        for (key, value, least, most) in [
            ("levels", self.levels as f64, 4.0, 256.0),
            ("repeats", self.repeats as f64, 8.0, 10_000.0),
            ("uncertainty", self.uncertainty, 1e-6, 0.1),
            ("least", least, 2.0, 10_000.0),
            ("most", f64::from(self.most), least, 10_000.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(CharacteriseError::ReadingPlan { key, value, least, most });
            }
        }
        Ok(())
    }
}

/// What was learned of reading one processor. Weights are of the full scale, signals in weights × one fully driven input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingStudy {
    /// Law of the noise without the converter's steps, with standard errors and chi square.
    pub transfer: TransferCurve,
    /// The converter's step against that noise. Of a receiver of several ranges it is the finest step.
    pub quantisation: Quantisation,
    /// Range of the converter, as the bases were weighed by it.
    pub range: AdcRange,
    /// Basis chosen, every candidate's predicted variance, and the reason.
    pub choice: Choice,
    /// rms rounding error of a one-hot reading that stays the same however often it is repeated.
    pub one_hot_floor: f64,
    /// The same matrix by one-hot and by Hadamard vectors, compared; `None` for a matrix of one weight.
    pub superposition: Option<Superposition>,
    /// Variance of a weight from one reading of the matrix in the basis chosen, as it was measured: mean over the weights.
    pub variance: f64,
    /// Readings of a matrix, and the uncertainty that they reach.
    pub repeats: RepeatPlan,
    /// Points of the photon-transfer curve.
    pub points: Vec<DetectedPoint>,
}

impl ReadingStudy {
    /// How matrices are to be read.
    #[must_use]
    pub fn readout(&self) -> ReadOut {
        ReadOut { basis: self.choice.basis, repeats: self.repeats.repeats as usize }
    }
}

/// Keeps the matrix of the study apart from hold-out matrices of an equal seed.
const OWN: u64 = 0x7265_6164;

/// Measures the noise of the processor's readings against the light, chooses the basis in which matrices are read, tests
/// superposition, and plans the readings.
///
/// One random matrix is programmed and read by a ladder of vectors of growing strength. The variance of each output against
/// its mean is the photon-transfer curve ([`detected_curve`]); [`choose`] weighs the bases by it. The same matrix is then read by
/// one-hot and by Hadamard vectors in turns, under one writing, which tests [`superposition`] and gives the variance of
/// a weight that [`repeats_for_weight`] divides.
///
/// `choose` compares variances. Where one-hot readings are not dithered, rounding errors stay whatever the repeats; if that
/// leaves more than the uncertainty asked for, the best basis of many inputs is taken, whose sets are drawn anew each
/// time. The matrices asked for later have other digital scales, and with them other noise: the repeats are for one like this.
///
/// # Errors
/// A plan out of range, a matrix that cannot be encoded, and those of [`Bench::ask`].
pub async fn study_reading(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    plan: &ReadingPlan,
) -> Result<ReadingStudy, CharacteriseError> {
    plan.check()?;
    let descriptor = bench.descriptor().clone();
    let (rows, cols) = (descriptor.outputs, descriptor.inputs);
    let rng = &mut ChaCha8Rng::seed_from_u64(plan.seed ^ OWN);
    let target = MeasurementPlan { programmings: 1, seed: plan.seed ^ OWN, ..Default::default() }
        .targets(rows, cols)?;
    let encoded = encoding.encode(&target[0])?;
    bench.tell(Event::Started { stage: "noise of the readings", steps: 2 });
    let ladder = Ladder::new(encoding, &encoded, &descriptor, plan.levels, rng);
    let question = Question {
        name: "reading-ladder".to_owned(),
        frames: vec![encoded.frame.clone()],
        inputs: vec![ladder.batch().clone()],
        repeats: plan.repeats,
    };
    let seen = ladder.see(encoding, &encoded, &descriptor, &bench.ask(question).await?[0]);
    bench.tell(Event::Step);

    let transfer = transfer(&seen.points);
    let found = quantisation(&with_steps(&transfer.law, seen.step), &seen.in_finest_steps, seen.step);
    let quantisation = found.unwrap_or(NO_STEPS);
    let range = range_of(&descriptor, &seen);
    let matrix = matrix_of(&descriptor);
    let mut choice = choose(&transfer.law, alphabet_of(descriptor.alphabet), cols, &matrix, range);
    let light = if detects_all_light(&descriptor) { 1.0 } else { 0.0 };
    let one_hot_floor = floor_of_one_hot(&transfer.law, range, light);
    let hadamard = best_but_one_hot(&choice);
    if choice.basis == Basis::OneHot && one_hot_floor > plan.uncertainty {
        choice.reason = reason_of_the_floor(hadamard, one_hot_floor, plan.uncertainty);
        choice.basis = hadamard;
    }

    let both = read_both(bench, encoding, &encoded, hadamard, plan).await?;
    bench.tell(Event::Step);
    let [one_hot, many] = &both;
    let superposition = compare(one_hot, one_hot_floor, many, hadamard);
    let (variance, floor) = match choice.basis {
        Basis::OneHot => (mean_of(&variances(one_hot)), one_hot_floor),
        Basis::SplitHadamard | Basis::SignedHadamard | Basis::SMatrix => (mean_of(&variances(many)), 0.0),
    };
    let limits = RepeatLimits { least: plan.least, most: plan.most };
    let repeats = repeats_for_weight(variance, floor, plan.uncertainty, limits);
    tell(bench, &choice, superposition.as_ref(), &repeats, plan.uncertainty);
    bench.tell(Event::Finished);
    Ok(ReadingStudy {
        transfer,
        quantisation,
        range,
        choice,
        one_hot_floor,
        superposition,
        variance,
        repeats,
        points: seen.points,
    })
}

/// Readings without steps or points.
const NO_STEPS: Quantisation =
    Quantisation { step: 0.0, variance: 0.0, share: 0.0, dominates: false, undithered: 0.0 };

/// The law of the points; where they do not tell its terms apart, their mean variance beyond the steps is additive.
fn transfer(points: &[DetectedPoint]) -> TransferCurve {
    detected_curve(points).unwrap_or_else(|| {
        let beyond = |p: &DetectedPoint| p.variance - p.step * p.step / 12.0;
        let mean = points.iter().map(beyond).sum::<f64>() / points.len().max(1) as f64;
        TransferCurve { law: NoiseLaw::new(mean.max(0.0), 0.0, 0.0), chi_square: 0.0, points: points.len() }
    })
}

fn with_steps(law: &NoiseLaw, step: f64) -> NoiseLaw {
    NoiseLaw { additive: law.additive + step * step / 12.0, ..*law }
}

/// Fixed, unless counts were seen that its bits do not hold.
fn range_of(descriptor: &Descriptor, seen: &Seen) -> AdcRange {
    let bits = u32::from(descriptor.bits.output) - 1;
    if seen.several_ranges {
        AdcRange::AutoRanged { bits }
    } else {
        AdcRange::Fixed { full_scale: seen.step * f64::from(1u32 << bits), bits }
    }
}

/// Hold-out matrices: entries uniform in ±1. A balanced pair of complementary outputs detects all the light of an input,
/// whatever its weight.
fn matrix_of(descriptor: &Descriptor) -> MatrixScale {
    let matrix = MatrixScale::uniform_bipolar(descriptor.outputs);
    if detects_all_light(descriptor) { MatrixScale { mean_modulus: 1.0, ..matrix } } else { matrix }
}

fn detects_all_light(descriptor: &Descriptor) -> bool {
    let complementary =
        matches!(descriptor.layout, ActuatorLayout::WeightBank { rails: Rails::Differential, .. });
    complementary && descriptor.detection == Detection::Balanced
}

fn alphabet_of(alphabet: InputAlphabet) -> probe::InputAlphabet {
    match alphabet {
        InputAlphabet::Unipolar => probe::InputAlphabet::Unipolar,
        InputAlphabet::Bipolar | InputAlphabet::Complex => probe::InputAlphabet::Bipolar,
    }
}

/// rms over weights uniform in ±1 of the rounding that repeats leave, with the noise that `law` gives each of them.
fn floor_of_one_hot(law: &NoiseLaw, range: AdcRange, light: f64) -> f64 {
    let lasting = |place: i32| {
        let weight = (f64::from(place) + 0.5) / f64::from(WEIGHTS);
        let step = match range {
            AdcRange::Ideal => return 0.0,
            AdcRange::Fixed { full_scale, bits } => full_scale * 0.5_f64.powi(bits.cast_signed()),
            AdcRange::Rescaled { bits } => 0.5_f64.powi(bits.cast_signed()),
            AdcRange::AutoRanged { bits } => {
                weight * (AUTO_RANGED * 0.25_f64.powi(bits.cast_signed())).sqrt()
            }
        };
        lasting_rounding(law.variance_of(weight, light.max(weight)).sqrt(), step)
    };
    ((0..WEIGHTS).map(lasting).sum::<f64>() / f64::from(WEIGHTS)).sqrt()
}

/// Weights at which the rounding of one-hot readings is taken.
const WEIGHTS: i32 = 64;

/// The basis chosen, or the best of the others where that is one-hot.
fn best_but_one_hot(choice: &Choice) -> Basis {
    if choice.basis != Basis::OneHot {
        return choice.basis;
    }
    let better = |x: &&Prediction, y: &&Prediction| x.variance_per_time.total_cmp(&y.variance_per_time);
    let others = choice.candidates.iter().filter(|candidate| candidate.basis != Basis::OneHot);
    others.min_by(better).map_or(Basis::SignedHadamard, |candidate| candidate.basis)
}

fn reason_of_the_floor(basis: Basis, floor: f64, asked: f64) -> String {
    format!(
        "{}: one-hot readings have less variance, but are not dithered, and however often they are repeated their rounding leaves \
         {:.3} % of full scale, more than the {:.3} % asked for; sets of many inputs, drawn anew for each reading, average it",
        basis.name(),
        100.0 * floor,
        100.0 * asked,
    )
}

/// Sample variance over the readings of each weight, `[rows, cols]`.
fn variances(readings: &Array3<f64>) -> Array2<f64> {
    readings.var_axis(Axis(0), 1.0)
}

fn mean_of(values: &Array2<f64>) -> f64 {
    values.sum() / values.len().max(1) as f64
}

/// Standard errors are from the scatter of the readings, `s²/R · ν/(ν − 2)`: with that factor `(a − b)²/u²`, which is of a
/// squared Student's t, has mean 1. Only if they do not explain the differences are one-hot rounding errors allowed for, of which
/// no more than `one_hot_floor` may stay.
fn compare(
    one_hot: &Array3<f64>,
    one_hot_floor: f64,
    many: &Array3<f64>,
    basis: Basis,
) -> Option<Superposition> {
    let degrees = one_hot.len_of(Axis(0)) as f64 - 1.0;
    let share = degrees / (degrees - 2.0) / (degrees + 1.0);
    let errors = |readings: &Array3<f64>, floor: f64| {
        variances(readings).mapv(|s2| (s2 * share + floor * floor).sqrt().max(f64::EPSILON))
    };
    let (first, second) = (one_hot.mean_axis(Axis(0))?, many.mean_axis(Axis(0))?);
    let u_second = errors(many, 0.0);
    let with_rounding = |floor: f64| {
        let u_first = errors(one_hot, floor);
        superposition(
            &BasisEstimate { name: Basis::OneHot.name(), weights: first.view(), std_errors: u_first.view() },
            &BasisEstimate { name: basis.name(), weights: second.view(), std_errors: u_second.view() },
            1.0,
        )
    };
    let by_noise = with_rounding(0.0)?;
    if by_noise.p_value >= LEVEL { Some(by_noise) } else { with_rounding(one_hot_floor) }
}

fn tell(
    bench: &mut Bench<'_>,
    choice: &Choice,
    superposition: Option<&Superposition>,
    repeats: &RepeatPlan,
    asked: f64,
) {
    bench.tell(Event::Note(format!("read in {}", choice.reason)));
    if let Some(superposition) = superposition {
        bench.tell(Event::Note(superposition.sentence.clone()));
    }
    if !repeats.reached {
        bench.tell(Event::Note(format!(
            "{} readings of a matrix leave {:.3} % of full scale on a weight, more than the {:.3} % asked for",
            repeats.repeats,
            100.0 * repeats.uncertainty,
            100.0 * asked,
        )));
    }
}
