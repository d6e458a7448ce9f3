//! Calibration of a chip about which nothing is known but its layout.
//!
//! Every measurement is a [`Question`] to a [`Bench`], whose [`Journal`] keeps the raw readings: a question that was
//! answered before is not put to the chip again, so that a characterisation goes on where it was interrupted, and its
//! results can be derived again from the readings alone, bit by bit.

mod bench;
mod error;
mod holdout;
mod journal;
mod reading;
mod watch;

use alora_drivers::{DataSheet, ProcessorKind};
use serde::{Deserialize, Serialize};

use crate::{
    calibration::{Calibration, Learned},
    coherent::{self, CoherentPlan},
    incoherent::{self, IncoherentPlan},
    provenance::Provenance,
};

pub use bench::{Bench, Question, Source};
pub use error::CharacteriseError;
pub use holdout::{HoldOut, HoldOutMatrix, HoldOutPlan, HoldOutReadings, hold_out};
pub use journal::Journal;
pub use reading::{ReadingPlan, ReadingStudy, study_reading};

/// How much to measure, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CharacterisationPlan {
    /// Of a coherent processor.
    pub coherent: CoherentPlan,
    /// Of a bank of add-drop rings.
    pub incoherent: IncoherentPlan,
}

/// Learns everything about the processor of `bench` that its outputs tell. `sheet` gives nominal laws only.
///
/// # Errors
/// A data sheet of the other family, a processor that cannot be characterised, and those of [`Bench::ask`].
pub async fn characterise(
    bench: &mut Bench<'_>,
    sheet: &DataSheet,
    plan: &CharacterisationPlan,
    provenance: Provenance,
) -> Result<Calibration, CharacteriseError> {
    let descriptor = bench.descriptor().clone();
    let learned = match (sheet, descriptor.kind) {
        (DataSheet::Coherent(sheet), ProcessorKind::Coherent) => {
            let found = coherent::characterise(bench, sheet, &plan.coherent).await?;
            Learned::CharacterisedCoherent(Box::new(found))
        }
        (DataSheet::Incoherent(sheet), ProcessorKind::Incoherent) => {
            let found = incoherent::characterise(bench, sheet, &plan.incoherent).await?;
            Learned::CharacterisedIncoherent(Box::new(found))
        }
        (_, connected) => return Err(CharacteriseError::Family { connected }),
    };
    Ok(Calibration {
        schema: Calibration::SCHEMA.to_owned(),
        provenance,
        descriptor,
        data_sheet: sheet.clone(),
        measurements: bench.vectors(),
        learned,
    })
}
