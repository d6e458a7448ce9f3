//! A finished characterisation of a simulated chip against what the chip was made with.
//!
//! The answers are looked up only here, when everything has been learned and written. Phases are compared in the gauge of the
//! characterisation, those of the outputs about their mean (`docs/decisions/mesh-characterisation.md`).

mod coherent;
mod incoherent;

use std::collections::BTreeMap;

use alora_calibration::{Calibration, Learned};
use alora_drivers::mock::Spec;
use serde::{Deserialize, Serialize};

/// How many true values lie within the stated 95 % intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Parameters compared.
    pub n: usize,
    /// Those whose truth lies within ± 1.96 standard uncertainties.
    pub inside: usize,
    /// Share inside.
    pub share: f64,
    /// Root mean square error, in the unit of the parameter.
    pub rms_error: f64,
}

/// Defects made and found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefectCount {
    /// Elements that the chip was made with as stuck or weak.
    pub injected: usize,
    /// Those of them that were found.
    pub found: usize,
    /// Sound elements that were called defective.
    #[serde(rename = "false")]
    pub false_alarms: usize,
    /// Elements of the chip.
    pub elements: usize,
}

/// The examination of one chip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examination {
    /// Share of all parameters whose truth lies within their 95 % interval.
    pub coverage: f64,
    /// The same by kind of parameter.
    pub kinds: BTreeMap<String, Kind>,
    /// Defects.
    pub defects: DefectCount,
}

/// Errors with their standard uncertainties, one kind of parameter.
#[derive(Default)]
struct Tally {
    kind: Kind,
    square: f64,
}

impl Tally {
    /// Parameters that are held (uncertainty 0) are not compared.
    fn add(&mut self, error: f64, sd: f64) {
        if sd > 0.0 {
            self.kind.n += 1;
            self.kind.inside += usize::from(error.abs() <= 1.96 * sd);
            self.square += error * error;
        }
    }

    fn done(self) -> Kind {
        let n = self.kind.n.max(1) as f64;
        Kind { share: self.kind.inside as f64 / n, rms_error: (self.square / n).sqrt(), ..self.kind }
    }
}

/// Examines `calibration` of the chip that `spec` makes from `seed`; `None` where nothing was characterised.
#[must_use]
pub fn examine(calibration: &Calibration, spec: &Spec, seed: u64) -> Option<Examination> {
    let (kinds, defects) = match (&calibration.learned, spec) {
        (Learned::CharacterisedCoherent(found), Spec::Coherent(spec)) => {
            coherent::examine(found, &spec.answers(seed))
        }
        (Learned::CharacterisedIncoherent(found), Spec::Incoherent(spec)) => {
            incoherent::examine(found, &spec.answers(seed))
        }
        _ => return None,
    };
    let (inside, n) = kinds.values().fold((0, 0), |sum, kind| (sum.0 + kind.inside, sum.1 + kind.n));
    Some(Examination { coverage: inside as f64 / n.max(1) as f64, kinds, defects })
}

/// `found` of `elements` against those that were made.
fn count(found: &[usize], made: &[usize], elements: usize) -> DefectCount {
    DefectCount {
        injected: made.len(),
        found: made.iter().filter(|defect| found.contains(defect)).count(),
        false_alarms: found.iter().filter(|defect| !made.contains(defect)).count(),
        elements,
    }
}
