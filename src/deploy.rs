//! Write-back: tile each layer to the processor, program, read back, measure, compare; run a network on the processor.

mod error;
mod inference;
mod plan;
mod record;
mod verify;
mod write_back;

pub use error::DeployError;
pub use inference::{OnChipOutcome, run_on_chip};
pub(crate) use plan::target_from;
pub use plan::{DeploymentPlan, PlannedLayer, vanished_deltas};
pub use record::{DeploymentRecord, LayerRecord, LayerSummary, StoredLayer};
pub use verify::{VerificationOutcome, verify};
pub use write_back::{TileOutcome, VerificationLimits};
