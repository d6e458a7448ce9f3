//! The coherent mock.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Script;
use crate::{
    ActuatorFrame, Applied, BackendError, Descriptor, InputBatch, PhotonicBackend, Readout,
    datasheet::CoherentDataSheet,
};

/// Names of the presets of this family.
pub const PRESETS: &[&str] = &[];

/// The preset of that name.
#[must_use]
pub fn preset(_name: &str) -> Option<CoherentSpec> {
    None
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentSpec {}

impl CoherentSpec {
    /// The maker's nominal values.
    #[must_use]
    pub fn data_sheet(&self) -> CoherentDataSheet {
        CoherentDataSheet {}
    }
}

/// Simulated coherent processor.
pub struct CoherentMock {}

impl CoherentMock {
    /// Makes the chip of that seed.
    #[must_use]
    pub fn new(_spec: CoherentSpec, _seed: u64, _script: Script) -> Self {
        Self {}
    }
}

#[async_trait]
impl PhotonicBackend for CoherentMock {
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
