//! Data sheet of the coherent family.

use serde::{Deserialize, Serialize};

/// Nominal parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoherentDataSheet {}
