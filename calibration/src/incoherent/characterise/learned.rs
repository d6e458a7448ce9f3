//! What a characterisation learned of a bank of rings.

use alora_drivers::{Celsius, Code, InputCode, datasheet::NominalElement};
use serde::{Deserialize, Serialize};

use super::{
    bank::{
        BIAS, BankModel, FIRST_PAIR, FIRST_TAIL, OFF, OFFSETS, PAIRS, PARAMETERS, QUARTIC, SPAN, SWING, Theta,
    },
    curve::InputCurve,
    line::Line,
};
use crate::{incoherent::Defect, statistics::moments::Estimate};

/// What characterisation learned of one bank of add-drop rings, each parameter with its standard uncertainty.
///
/// ```text
/// φ_k = bias + h + Σ χ_kl h_l                h = span · v (1 + quartic · v),  v = (code/limit)^exponent
/// w_k = off + swing · L(φ_k) − 2 D off (1 − dip · L(φ_k))
/// D   = Σ tail · peak · L(φ_k±1 ± spacing)                          over the two neighbours in the row
/// ```
///
/// `L` is the line of the data sheet's ring. Weights are in units of a nominal element and input (`counts_per_unit`
/// counts); full scale `w = ±1` of a row is what every sound element of the row reaches with both signs, `full_scale`
/// of those units.
///
/// What no reading can tell, and how it is settled:
/// * *Line width against phase*: only phases relative to the width of a ring's line show. Phases are in units in which
///   every ring has the data sheet's width: `bias`, `span` are the ring's own times nominal over own width, a crosstalk
///   coefficient is its own times the width of the disturbing ring over that of the disturbed one.
/// * *Input power, responsivity, levels*: only products show. They are in `off` and `swing`; `inputs[].power` and
///   `responsivity` have mean 1 and are for the operator.
/// * *Temperature and laser power*: `bias` and levels are at their mean over the characterisation.
/// * *A heater that stays at one drive* is a bias of its own and of its neighbours; its `span` is 0, and the crosstalk
///   from it is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentCharacterisation {
    /// Detector rows.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Highest input code in use: with it no detector was at its limit.
    pub input_limit: InputCode,
    /// Highest code of each heater, in frame order.
    pub limits: Vec<Code>,
    /// Exponent that makes drive from code: 2 for a driver linear in voltage.
    pub exponent: f64,
    /// Nominal element, whose line the rings share in shape.
    pub element: NominalElement,
    /// Counts of one input at full power through a nominal weight of 1.
    pub counts_per_unit: f64,
    /// Counts of each row with all codes and inputs at 0.
    pub dark: Vec<Estimate>,
    /// Responsivity of each row, relative to their mean.
    pub responsivity: Vec<Estimate>,
    /// Full scale of each row, in nominal weights.
    pub full_scale: Vec<f64>,
    /// Curve of each input.
    pub inputs: Vec<InputCurve>,
    /// Distance of neighbouring channels, in radians of phase; of no effect where no tails were seen.
    pub tail_spacing_rad: Estimate,
    /// Mean chip temperature of the characterisation: that of every `bias_rad`. In degrees Celsius.
    pub celsius: f64,
    /// Phase that every ring gains a kelvin, in radians, as the chip's own thermometer says it; 0 where none was seen.
    pub phase_per_kelvin: Estimate,
    /// Standard deviation of one reading at full input power, in nominal weights.
    pub read_noise: f64,
    /// Elements that do not work as the others; full scale is set without them.
    pub defects: Vec<Defect>,
    /// Each element, in frame order.
    pub rings: Vec<RingLaw>,
}

/// Law of one ring. Levels in nominal weights, phases in radians of a ring of nominal width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingLaw {
    /// Weight far off resonance.
    pub off: Estimate,
    /// Weight on resonance less `off`.
    pub swing: Estimate,
    /// Phase with no heater driven; negative below resonance.
    pub bias_rad: Estimate,
    /// Phase that full drive brings without the quartic term.
    pub span_rad: Estimate,
    /// Share that the quartic term adds at full drive.
    pub quartic: Estimate,
    /// Phase that neighbours bring, a unit of their own: at (rows, columns) (−1, 0), (1, 0), (0, −1), (0, 1), the four
    /// diagonal ones (−1, −1), (−1, 1), (1, −1), (1, 1), and (−2, 0), (2, 0), (0, −2), (0, 2). 0 where there is none.
    pub crosstalk: [f64; PAIRS],
    /// Standard uncertainties of `crosstalk`.
    pub crosstalk_error: [f64; PAIRS],
    /// Light of this ring's channel that the ring before and the ring after in the row take, relative to a nominal ring
    /// at their place; 0 where there is none.
    pub tails: [f64; 2],
    /// Standard uncertainties of `tails`.
    pub tails_error: [f64; 2],
    /// Lowest and highest weight that the element reaches with its neighbours at any weight, full scale = 1.
    pub reach: [f64; 2],
}

impl RingLaw {
    pub(super) fn new(theta: &Theta, error: &Theta, exists: [bool; PAIRS], reach: [f64; 2]) -> Self {
        let estimate = |index: usize| Estimate { value: theta[index], std_error: error[index] };
        let pairs =
            |of: &Theta| std::array::from_fn(|pair| if exists[pair] { of[FIRST_PAIR + pair] } else { 0.0 });
        Self {
            off: estimate(OFF),
            swing: estimate(SWING),
            bias_rad: estimate(BIAS),
            span_rad: estimate(SPAN),
            quartic: estimate(QUARTIC),
            crosstalk: pairs(theta),
            crosstalk_error: pairs(error),
            tails: [theta[FIRST_TAIL], theta[FIRST_TAIL + 1]],
            tails_error: [error[FIRST_TAIL], error[FIRST_TAIL + 1]],
            reach,
        }
    }

    fn theta(&self) -> Theta {
        let mut theta = [0.0; PARAMETERS];
        theta[OFF] = self.off.value;
        theta[SWING] = self.swing.value;
        theta[BIAS] = self.bias_rad.value;
        theta[SPAN] = self.span_rad.value;
        theta[QUARTIC] = self.quartic.value;
        theta[FIRST_PAIR..FIRST_TAIL].copy_from_slice(&self.crosstalk);
        theta[FIRST_TAIL..].copy_from_slice(&self.tails);
        theta
    }
}

impl IncoherentCharacterisation {
    /// Offsets (rows, columns) of the neighbours in [`RingLaw::crosstalk`].
    #[must_use]
    pub fn neighbours() -> [(isize, isize); PAIRS] {
        OFFSETS
    }

    /// The same at the chip temperature `chip`: codes that [`encode`](crate::Encoding::encode) then gives make up for the
    /// difference from [`celsius`](Self::celsius).
    #[must_use]
    pub fn at(&self, chip: Celsius) -> Self {
        let shift = self.phase_per_kelvin.value * (chip.0 - self.celsius);
        let mut shifted = Self { celsius: chip.0, ..self.clone() };
        for ring in &mut shifted.rings {
            ring.bias_rad.value += shift;
        }
        shifted
    }

    /// The bank as a model; `None` when the element is no ring.
    pub(super) fn model(&self) -> Option<BankModel> {
        let rings = self.rings.iter().map(RingLaw::theta).collect();
        let line = Line::of(&self.element)?;
        Some(BankModel::new(self.rows, self.cols, line, rings, self.tail_spacing_rad.value))
    }

    /// Counts of one input at full power through the weight 1 of each row.
    pub(super) fn row_gain(&self, row: usize) -> f64 {
        self.full_scale[row] * self.counts_per_unit
    }
}
