//! The incoherent mock.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Script;
use crate::{
    ActuatorFrame, Applied, BackendError, Descriptor, InputBatch, PhotonicBackend, Readout,
    datasheet::IncoherentDataSheet,
};

/// Names of the presets of this family.
pub const PRESETS: &[&str] = &[];

/// The preset of that name.
#[must_use]
pub fn preset(_name: &str) -> Option<IncoherentSpec> {
    None
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncoherentSpec {}

impl IncoherentSpec {
    /// The maker's nominal values.
    #[must_use]
    pub fn data_sheet(&self) -> IncoherentDataSheet {
        IncoherentDataSheet {}
    }
}

/// Simulated incoherent processor.
pub struct IncoherentMock {}

impl IncoherentMock {
    /// Makes the chip of that seed.
    #[must_use]
    pub fn new(_spec: IncoherentSpec, _seed: u64, _script: Script) -> Self {
        Self {}
    }
}

#[async_trait]
impl PhotonicBackend for IncoherentMock {
    fn descriptor(&self) -> &Descriptor {
        todo!()
    }
    async fn apply(&mut self, _frame: &ActuatorFrame) -> Result<Applied, BackendError> {
        todo!()
    }
    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError> {
        todo!()
    }
    async fn execute(&mut self, _inputs: &InputBatch, _repeats: usize) -> Result<Readout, BackendError> {
        todo!()
    }
    async fn park(&mut self) -> Result<(), BackendError> {
        todo!()
    }
}
