//! Fixed ranges of converters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pass::SeenRange;

/// Fixed ranges of the converters of each group of layers, by the name of its first layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConverterRanges {
    /// Of the inputs, in units of the activations.
    pub input: BTreeMap<String, f32>,
    /// Of a tile's outputs, in chip units.
    pub output: BTreeMap<String, f32>,
}

impl ConverterRanges {
    /// The largest magnitudes that were seen.
    #[must_use]
    pub fn from_seen(seen: &BTreeMap<String, SeenRange>) -> Self {
        Self {
            input: seen.iter().map(|(name, range)| (name.clone(), range.input)).collect(),
            output: seen.iter().map(|(name, range)| (name.clone(), range.output)).collect(),
        }
    }
}
