//! What to simulate: shape, converters and the size of every error source of a coherent processor.

use serde::{Deserialize, Serialize};

use crate::{
    Celsius, ConverterBits, Volts, datasheet::CoherentDataSheet, descriptor::Detection,
    mock::OrnsteinUhlenbeck,
};

/// How the output fields are detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoherentDetection {
    /// One quadrature an output; the phase of the local oscillator is locked.
    Homodyne,
    /// Both quadratures by 90° hybrids; the phase of the local oscillator walks freely, and a reference pair
    /// of channels carries it.
    Iq,
}

impl From<CoherentDetection> for Detection {
    fn from(detection: CoherentDetection) -> Self {
        match detection {
            CoherentDetection::Homodyne => Self::Homodyne,
            CoherentDetection::Iq => Self::Iq,
        }
    }
}

/// A coherent processor to simulate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentSpec {
    /// Number of modes `N`, 2 to 128: inputs and outputs.
    pub modes: usize,
    /// Converter resolutions, 2 to 16 bits each (the actuator DAC sets a voltage linear in its code).
    pub bits: ConverterBits,
    /// Detection.
    pub detection: CoherentDetection,
    /// Nominal voltage for a phase of π, > 0. The law is `φ = φ0 + π (V / Vπ)²`.
    pub v_pi: Volts,
    /// Voltage of the highest actuator code, `√2 Vπ` (where the phase reaches 2π) to `10 Vπ`; best a little above the
    /// least.
    pub v_max: Volts,
    /// Field amplitude, in units of one fully driven input, at the limit of the ADC. > 0.
    pub full_scale: f64,
    /// Time from a new frame to settled outputs, in microseconds, ≥ 0.
    pub settle_us: u64,
    /// Time of one input vector, in microseconds, ≥ 1.
    pub shot_us: u64,
    /// Error sources.
    pub physics: CoherentPhysics,
}

impl CoherentSpec {
    /// The limits of the converter, and those of an amplifier that comes first.
    pub(crate) fn counts_at_limit(&self) -> Vec<i32> {
        let half = 1_i32 << (self.bits.output - 1);
        let clip = (self.physics.tia_clip * f64::from(half)).round() as i32;
        let amplifier = (clip > 0 && clip < half - 1).then_some([-clip, clip]);
        [-half, half - 1].into_iter().chain(amplifier.into_iter().flatten()).collect()
    }

    /// The maker's nominal values.
    #[must_use]
    pub fn data_sheet(&self) -> CoherentDataSheet {
        CoherentDataSheet {
            v_pi: self.v_pi,
            v_max: self.v_max,
            phase_at_zero: crate::Radians(0.0),
            loss_db: self.physics.loss_db,
        }
    }
}

/// A key of a [`CoherentSpec`] outside its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {value}, allowed is {lowest} to {highest}")]
pub struct CoherentSpecError {
    /// Key, with its section.
    pub key: &'static str,
    /// What was found.
    pub value: f64,
    /// Lowest value allowed.
    pub lowest: f64,
    /// Highest value allowed.
    pub highest: f64,
}

impl CoherentSpec {
    /// Checks every key against its documented range. A mock of a spec that fails this is undefined.
    ///
    /// # Errors
    /// The first key outside its range.
    pub fn check(&self) -> Result<(), CoherentSpecError> {
        let p = &self.physics;
        let v_pi = self.v_pi.0;
        let most = f64::MAX;
        for (key, value, lowest, highest) in [
            ("modes", self.modes as f64, 2.0, 128.0),
            ("bits.actuator", f64::from(self.bits.actuator), 2.0, 16.0),
            ("bits.input", f64::from(self.bits.input), 2.0, 16.0),
            ("bits.output", f64::from(self.bits.output), 2.0, 16.0),
            ("v_pi", v_pi, 1e-3, 1e3),
            ("v_max", self.v_max.0, 2f64.sqrt() * v_pi, 10.0 * v_pi),
            ("full_scale", self.full_scale, 1e-3, 1e3),
            ("shot_us", self.shot_us as f64, 1.0, 1e9),
            ("physics.splitter", p.splitter, 0.0, 0.3),
            ("physics.static_phase", p.static_phase, 0.0, std::f64::consts::PI),
            ("physics.static_phase_range", p.static_phase_range, 0.0, std::f64::consts::TAU),
            ("physics.v_pi_spread", p.v_pi_spread, 0.0, 0.2),
            ("physics.quartic", p.quartic, 0.0, 0.1),
            ("physics.quartic_spread", p.quartic_spread, 0.0, 1.0),
            ("physics.crosstalk", p.crosstalk, 0.0, 0.1),
            ("physics.second_crosstalk", p.second_crosstalk, 0.0, 0.1),
            ("physics.stuck_fraction", p.stuck_fraction, 0.0, 1.0),
            ("physics.weak_fraction", p.weak_fraction, 0.0, 1.0),
            ("physics.loss_db", p.loss_db, 0.0, 3.0),
            ("physics.loss_spread_db", p.loss_spread_db, 0.0, 1.0),
            ("physics.repeatability", p.repeatability, 0.0, 0.3),
            ("physics.input_gain_spread", p.input_gain_spread, 0.0, 0.3),
            ("physics.gain_spread", p.gain_spread, 0.0, 0.3),
            ("physics.dark", p.dark, 0.0, 0.3),
            ("physics.read_noise", p.read_noise, 0.0, 0.3),
            ("physics.shot_noise", p.shot_noise, 0.0, 0.3),
            ("physics.tia_clip", p.tia_clip, 0.0, most),
            ("physics.lo_phase", p.lo_phase, 0.0, most),
            ("physics.iq_gain", p.iq_gain, 0.0, 0.3),
            ("physics.iq_phase", p.iq_phase, 0.0, 0.3),
            ("physics.temperature.sd", p.temperature.sd, 0.0, most),
            ("physics.temperature.tau_s", p.temperature.tau_s, 1e-9, most),
            ("physics.phase_per_kelvin", p.phase_per_kelvin, 0.0, 1.0),
        ] {
            if !(lowest..=highest).contains(&value) {
                return Err(CoherentSpecError { key, value, lowest, highest });
            }
        }
        Ok(())
    }
}

/// Error sources of a coherent processor. Each is switched off by 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentPhysics {
    /// Standard deviation of the angle of each 50:50 splitter from π/4, in radians, 0 to 0.3.
    pub splitter: f64,
    /// Standard deviation of each phase at 0 V from the data sheet, in radians, 0 to π.
    pub static_phase: f64,
    /// Width of a uniform distribution of each phase at 0 V, added to the above, in radians, 0 to 2π: a chip from
    /// the foundry has 2π.
    pub static_phase_range: f64,
    /// Relative standard deviation of each Vπ, 0 to 0.2.
    pub v_pi_spread: f64,
    /// Departure of the heaters from their V² law by a V⁴ term, relative at a phase of π, 0 to 0.1: a shifter that
    /// should give `d` gives `d (1 + q d / π)`.
    pub quartic: f64,
    /// Relative standard deviation of `q` over the shifters, 0 to 1.
    pub quartic_spread: f64,
    /// Phase at a neighbour per phase of the driven shifter (thermal, in the power domain), 0 to 0.1.
    /// Neighbours: the next shifters up and down in the same column, and those at most one mode away in the
    /// adjacent columns. Each pair has its own coefficient, uniform in 0.5 to 1.5 times this number.
    pub crosstalk: f64,
    /// The same from the second ring of neighbours: all within two columns of shifters and two modes that are not
    /// neighbours already, 0 to 0.1.
    pub second_crosstalk: f64,
    /// Share of the shifters whose heater is open: they stay at their phase at 0 V. 0 to 1.
    pub stuck_fraction: f64,
    /// Share of the shifters whose heater is weak: a tenth to a half of the phase of a sound one. 0 to 1.
    pub weak_fraction: f64,
    /// Insertion loss of each interferometer in dB, 0 to 3. The edge waveguides of a mesh bypass without loss.
    pub loss_db: f64,
    /// Standard deviation of that loss in dB, 0 to 1.
    pub loss_spread_db: f64,
    /// Standard deviation of each phase from one writing of the same code to the next, in radians, 0 to 0.3.
    pub repeatability: f64,
    /// Relative standard deviation of each input modulator's amplitude, 0 to 0.3.
    pub input_gain_spread: f64,
    /// Relative standard deviation of each output's detector gain, 0 to 0.3.
    pub gain_spread: f64,
    /// Standard deviation of each channel's dark offset, as a fraction of the ADC's full scale, 0 to 0.3.
    pub dark: f64,
    /// Additive noise of each count, standard deviation as a fraction of the ADC's full scale, 0 to 0.3.
    pub read_noise: f64,
    /// Shot noise of a balanced detector, standard deviation as a fraction of full scale in the dark; its variance
    /// grows with the detected power `P` as `1 + P / P_LO`, where `P_LO` is the power at full scale. 0 to 0.3.
    pub shot_noise: f64,
    /// Limit of the amplifier as a fraction of the ADC's full scale, above 0; 0 for an amplifier without limit.
    pub tia_clip: f64,
    /// Phase of the local oscillator in radians, ≥ 0. IQ: standard deviation of its random walk a shot, from a
    /// random start. Homodyne: standard deviation of the lock's error, independent from shot to shot.
    pub lo_phase: f64,
    /// Standard deviation of the relative gain of Q against I, 0 to 0.3. IQ only.
    pub iq_gain: f64,
    /// Standard deviation of each hybrid's departure from 90°, in radians, 0 to 0.3. IQ only.
    pub iq_phase: f64,
    /// Temperature drift in kelvin around 25 °C.
    pub temperature: OrnsteinUhlenbeck,
    /// Standard deviation over the shifters of the phase change per kelvin, in radians per kelvin, 0 to 1.
    pub phase_per_kelvin: f64,
}

impl CoherentPhysics {
    /// No error source at all: what remains is the resolution of the converters.
    pub const IDEAL: Self = Self {
        splitter: 0.0,
        static_phase: 0.0,
        static_phase_range: 0.0,
        v_pi_spread: 0.0,
        quartic: 0.0,
        quartic_spread: 0.0,
        crosstalk: 0.0,
        second_crosstalk: 0.0,
        stuck_fraction: 0.0,
        weak_fraction: 0.0,
        loss_db: 0.0,
        loss_spread_db: 0.0,
        repeatability: 0.0,
        input_gain_spread: 0.0,
        gain_spread: 0.0,
        dark: 0.0,
        read_noise: 0.0,
        shot_noise: 0.0,
        tia_clip: 0.0,
        lo_phase: 0.0,
        iq_gain: 0.0,
        iq_phase: 0.0,
        temperature: OrnsteinUhlenbeck::OFF,
        phase_per_kelvin: 0.0,
    };
}

/// Temperature around which the chip drifts.
pub(super) const BASE_TEMPERATURE: Celsius = Celsius(25.0);
