//! Four-layer convolutional network.

use serde::{Deserialize, Serialize};

use super::{ImageShape, LayerKind, LayerRole, LayerSpec, WIDEST, within};
use crate::model::ModelError;

/// `conv1`, `conv2` (3×3, padding 1, each with ReLU and a 2×2 max pool that drops an odd last row), then `fc1` with
/// ReLU and `fc2` on the flattened image, ordered channel, row, column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CnnShape {
    /// Images taken.
    pub input: ImageShape,
    /// Output channels of the two convolutions.
    pub channels: [usize; 2],
    /// Width of `fc1`.
    pub hidden: usize,
    /// Classes.
    pub classes: usize,
}

impl Default for CnnShape {
    /// For MNIST.
    fn default() -> Self {
        Self {
            input: ImageShape { channels: 1, height: 28, width: 28 },
            channels: [32, 64],
            hidden: 128,
            classes: 10,
        }
    }
}

impl CnnShape {
    /// Of both convolutions.
    pub const KIND: LayerKind = LayerKind::Conv { kernel: 3, stride: 1, padding: 1 };

    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.input.check()?;
        for (size, found) in [("input.height", self.input.height), ("input.width", self.input.width)] {
            if found < 4 {
                let expected = "at least 4, as two pools halve it".to_owned();
                return Err(ModelError::Architecture {
                    size: size.to_owned(),
                    found: found.to_string(),
                    expected,
                });
            }
        }
        within("channels[0]", self.channels[0], WIDEST)?;
        within("channels[1]", self.channels[1], WIDEST)?;
        within("hidden", self.hidden, WIDEST)?;
        within("classes", self.classes, WIDEST)
    }

    /// The image that `fc1` takes, after both pools.
    #[must_use]
    pub fn pooled(&self) -> ImageShape {
        let [_, channels] = self.channels;
        ImageShape { channels, height: self.input.height / 2 / 2, width: self.input.width / 2 / 2 }
    }

    pub(super) fn layers(&self) -> Vec<LayerSpec> {
        let conv = |name: &str, outputs: usize, channels: usize| LayerSpec {
            name: name.to_owned(),
            kind: Self::KIND,
            outputs,
            inputs: channels * 9,
            bias: true,
            role: LayerRole::Conv,
        };
        let [first, second] = self.channels;
        vec![
            conv("conv1", first, self.input.channels),
            conv("conv2", second, first),
            LayerSpec::linear("fc1", self.hidden, self.pooled().values(), LayerRole::Hidden),
            LayerSpec::linear("fc2", self.classes, self.hidden, LayerRole::Head),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn the_default_cnn_has_421_642_parameters() {
        // 320 + 18 496 + 401 536 + 1 290, the count PyTorch gives for the same layers.
        assert_eq!(Architecture::Cnn(CnnShape::default()).parameters(), 421_642);
    }

    #[test]
    fn an_odd_side_loses_its_last_row_in_each_pool() {
        let shape =
            CnnShape { input: ImageShape { channels: 3, height: 31, width: 33 }, ..CnnShape::default() };
        assert_eq!(shape.pooled(), ImageShape { channels: 64, height: 7, width: 8 });
    }
}
