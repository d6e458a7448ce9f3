//! Size of every noise and error source of the incoherent mock.

use serde::{Deserialize, Serialize};

use crate::mock::OrnsteinUhlenbeck;

/// Noise and error sources. Each is one number that 0 switches off (a drift: its `sd`).
///
/// Optical powers and photocurrents are in units of one input at full power through an element of transmission 1,
/// so that 0.01 is 1 % of the full scale of a weight. Spreads are standard deviations over the elements of a chip,
/// drawn once from its seed. Allowed range of every key: 0 to 1, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentPhysics {
    /// Power that an input modulator leaks at code 0, over its power at the highest code: `10^(−ER/10)`.
    pub input_leak: f64,
    /// Relative spread of that leak over the inputs.
    pub input_leak_spread: f64,
    /// Relative spread of the power of the inputs.
    pub input_power_spread: f64,
    /// Spread of the curve error `c` of the inputs: `f(x) = x + 4c·x(1 − x)`, so `c` is the error at half drive.
    pub input_curve_spread: f64,
    /// Spread of the elements' phase at zero drive, in radians (ring detuning, MZI phase bias, pixel retardance).
    pub bias_spread_rad: f64,
    /// Relative spread of the elements' phase span (heater efficiency, `Vπ`, cell thickness).
    pub span_spread: f64,
    /// Spread of the elements' drive exponent (look-up gamma, heater non-linearity), absolute.
    pub exponent_spread: f64,
    /// Share of the elements' phase span that a heater's `V⁴` term adds at full drive: `h(u) = span · u^e (1 + q u^e)`.
    pub heater_quartic: f64,
    /// Relative spread of `1 − r1`, `1 − r2` and `1 − a` over the rings (line width, drop peak, depth of the dip).
    pub coupling_spread: f64,
    /// Strength of the phase crosstalk between elements; its unit is that of the
    /// [`CrosstalkLaw`](super::CrosstalkLaw).
    pub crosstalk: f64,
    /// Largest relative deviation of the crosstalk of one pair from the law, drawn uniformly.
    pub crosstalk_spread: f64,
    /// Fraction of a heater's phase that appears in the second ring of neighbours: the 4 diagonal ones and the 4 two
    /// places away in a row or a column. It adds to the law of `crosstalk` and spreads like it.
    pub crosstalk_second: f64,
    /// Distance of neighbouring channels in radians of a ring's phase, 0 to 3: a ring takes light of the channels next
    /// to its own in the row, by the tail of its line. 0: rings are transparent to the channels of others.
    pub channel_spacing_rad: f64,
    /// Fraction of the light of each of the 4 neighbouring elements (and of the same rail) that a detector takes in.
    pub optical_leakage: f64,
    /// Fraction of elements whose heater stays at one drive, whatever is applied (drawn uniformly in power).
    pub stuck_fraction: f64,
    /// Fraction of elements that reach only part of their range: half of them by a heater of 10 to 30 % of its
    /// efficiency, half by a line of 20 to 50 % of its contrast.
    pub weak_fraction: f64,
    /// Each `apply` lands this far off, in radians of element phase, and stays there until the next.
    pub repeatability_rad: f64,
    /// Relative spread of the responsivity of the rows.
    pub row_gain_spread: f64,
    /// Spread of the relative difference of the two diodes of a balanced pair (finite common-mode rejection).
    pub diode_imbalance: f64,
    /// Spread of the dark offset of the rows.
    pub dark_offset: f64,
    /// Thermal noise of the amplifier: standard deviation of one count.
    pub thermal_noise: f64,
    /// Shot noise: standard deviation at unit photocurrent; the variance grows in proportion to the current.
    pub shot_noise: f64,
    /// Relative intensity noise of the laser: standard deviation over the signal.
    pub rin: f64,
    /// Phase that an element gains a kelvin, in radians; any finite value.
    pub phase_per_kelvin: f64,
    /// Drift of the chip temperature, in kelvin.
    pub temperature: OrnsteinUhlenbeck,
    /// Drift of the laser power, relative.
    pub laser: OrnsteinUhlenbeck,
}

impl IncoherentPhysics {
    /// No error, no noise, no drift.
    #[must_use]
    pub fn ideal() -> Self {
        Self {
            input_leak: 0.0,
            input_leak_spread: 0.0,
            input_power_spread: 0.0,
            input_curve_spread: 0.0,
            bias_spread_rad: 0.0,
            span_spread: 0.0,
            exponent_spread: 0.0,
            heater_quartic: 0.0,
            coupling_spread: 0.0,
            crosstalk: 0.0,
            crosstalk_spread: 0.0,
            crosstalk_second: 0.0,
            channel_spacing_rad: 0.0,
            optical_leakage: 0.0,
            stuck_fraction: 0.0,
            weak_fraction: 0.0,
            repeatability_rad: 0.0,
            row_gain_spread: 0.0,
            diode_imbalance: 0.0,
            dark_offset: 0.0,
            thermal_noise: 0.0,
            shot_noise: 0.0,
            rin: 0.0,
            phase_per_kelvin: 0.0,
            temperature: OrnsteinUhlenbeck::OFF,
            laser: OrnsteinUhlenbeck::OFF,
        }
    }
}
