//! Multi-layer perceptron.

use serde::{Deserialize, Serialize};

use super::{DEEPEST, ImageShape, LayerRole, LayerSpec, WIDEST, within};
use crate::model::ModelError;

/// Linear layers `fc1`, `fc2`, … with ReLU between them, on the flattened image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpShape {
    /// Images taken.
    pub input: ImageShape,
    /// Widths of the hidden layers, first to last.
    pub hidden: Vec<usize>,
    /// Classes.
    pub classes: usize,
}

impl Default for MlpShape {
    /// The 4-layer MLP of the ALoRA experiments, 784–256–256–256–10.
    fn default() -> Self {
        Self {
            input: ImageShape { channels: 1, height: 28, width: 28 },
            hidden: vec![256, 256, 256],
            classes: 10,
        }
    }
}

impl MlpShape {
    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.input.check()?;
        within("number of layers", self.hidden.len() + 1, DEEPEST)?;
        for (index, &width) in self.hidden.iter().enumerate() {
            within(&format!("hidden[{index}]"), width, WIDEST)?;
        }
        within("classes", self.classes, WIDEST)
    }

    pub(super) fn layers(&self) -> Vec<LayerSpec> {
        let mut inputs = self.input.values();
        let mut layers = Vec::with_capacity(self.hidden.len() + 1);
        for &outputs in self.hidden.iter().chain([&self.classes]) {
            let name = format!("fc{}", layers.len() + 1);
            let last = layers.len() == self.hidden.len();
            let role = if last { LayerRole::Head } else { LayerRole::Hidden };
            layers.push(LayerSpec::linear(name, outputs, inputs, role));
            inputs = outputs;
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn the_paper_s_mlp_has_335_114_parameters_in_four_layers() {
        let mlp = Architecture::Mlp(MlpShape::default());
        assert_eq!(mlp.parameters(), 335_114);
        let names: Vec<_> = mlp.layers().into_iter().map(|layer| (layer.name, layer.role)).collect();
        assert_eq!(names[0], ("fc1".to_owned(), LayerRole::Hidden));
        assert_eq!(names[3], ("fc4".to_owned(), LayerRole::Head));
    }
}
