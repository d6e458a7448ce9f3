//! Residual networks of basic blocks.

use serde::{Deserialize, Serialize};

use super::{DEEPEST, ImageShape, LayerKind, LayerRole, LayerSpec, TensorRole, TensorSpec, WIDEST, within};
use crate::model::ModelError;

/// First layers of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 3×3 convolution, stride 1, no pool.
    Cifar,
    /// 7×7 convolution, stride 2, padding 3, then a 3×3 max pool, stride 2, padding 1.
    Imagenet,
}

/// What stands beside a block that halves the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// 1×1 convolution and batch norm, `downsample.0` and `downsample.1` (torchvision). The head is named `fc`.
    Projection,
    /// Every second pixel, and channels of zeros before and after, half of the new ones on each side (option A of He et
    /// al., arXiv 1512.03385). No parameters. The head is named `linear`.
    Pad,
}

/// ResNet of basic blocks (He et al., arXiv 1512.03385): stem, stages, global mean, head.
///
/// Batch norms follow every convolution. Stage `s` (from 0) has `width · 2^s` channels; the first block of every stage
/// but the first halves the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetShape {
    /// Images taken.
    pub input: ImageShape,
    /// First layers.
    pub stem: Stem,
    /// Channels of the first stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Shortcut where a block changes size.
    pub shortcut: Shortcut,
    /// Classes.
    pub classes: usize,
}

/// One block: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetBlock {
    /// Prefix of its tensors, e.g. `layer2.0`.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Stride of `conv1` and of the shortcut.
    pub stride: usize,
    /// Shortcut; `None` is the identity.
    pub shortcut: Option<Shortcut>,
}

impl ResNetShape {
    /// `ε` of every batch norm.
    pub const BATCH_NORM_EPS: f64 = 1e-5;

    /// ResNet-18 as in torchvision, for 32×32 or 224×224 colour images.
    #[must_use]
    pub fn resnet18(stem: Stem, classes: usize) -> Self {
        let side = if stem == Stem::Cifar { 32 } else { 224 };
        let input = ImageShape { channels: 3, height: side, width: side };
        Self { input, stem, width: 64, blocks: vec![2; 4], shortcut: Shortcut::Projection, classes }
    }

    /// ResNet-(6n + 2) for 32×32 colour images, three stages of `blocks` = n: 3 is ResNet-20, 9 is ResNet-56.
    #[must_use]
    pub fn cifar(blocks: usize, classes: usize) -> Self {
        let input = ImageShape { channels: 3, height: 32, width: 32 };
        Self {
            input,
            stem: Stem::Cifar,
            width: 16,
            blocks: vec![blocks; 3],
            shortcut: Shortcut::Pad,
            classes,
        }
    }

    /// Name of the head.
    #[must_use]
    pub fn head_name(&self) -> &'static str {
        match self.shortcut {
            Shortcut::Projection => "fc",
            Shortcut::Pad => "linear",
        }
    }

    /// Channels that the head takes.
    #[must_use]
    pub fn features(&self) -> usize {
        self.width << self.blocks.len().saturating_sub(1)
    }

    /// The blocks, in forward order.
    #[must_use]
    pub fn blocks_in_order(&self) -> Vec<ResNetBlock> {
        let mut blocks = Vec::new();
        let mut inputs = self.width;
        for (stage, &count) in self.blocks.iter().enumerate() {
            let outputs = self.width << stage;
            for index in 0..count {
                let changes = stage > 0 && index == 0;
                let name = format!("layer{}.{index}", stage + 1);
                let stride = if changes { 2 } else { 1 };
                let shortcut = changes.then_some(self.shortcut);
                blocks.push(ResNetBlock { name, inputs, outputs, stride, shortcut });
                inputs = outputs;
            }
        }
        blocks
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.input.check()?;
        within("width", self.width, WIDEST)?;
        // 16 stages shrink 65 536 pixels to one.
        within("number of stages", self.blocks.len(), 16)?;
        within("width of the last stage", self.features(), WIDEST)?;
        for (stage, &count) in self.blocks.iter().enumerate() {
            within(&format!("blocks[{stage}]"), count, DEEPEST)?;
        }
        within("classes", self.classes, WIDEST)
    }

    pub(super) fn layers(&self) -> Vec<LayerSpec> {
        let mut layers: Vec<_> = self.convolutions().into_iter().map(|(layer, _)| layer).collect();
        layers.push(self.head());
        layers
    }

    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let with_norm = |(layer, norm): (LayerSpec, String)| {
            layer.tensors().into_iter().chain(batch_norm(&norm, layer.outputs))
        };
        let convolutions = self.convolutions().into_iter().flat_map(with_norm);
        convolutions.chain(self.head().tensors()).collect()
    }

    /// Name of the batch norm behind the convolution `layer`.
    pub(in crate::model) fn norm_after(&self, layer: &str) -> Option<String> {
        self.convolutions().into_iter().find(|(conv, _)| conv.name == layer).map(|(_, norm)| norm)
    }

    fn head(&self) -> LayerSpec {
        LayerSpec::linear(self.head_name(), self.classes, self.features(), LayerRole::Head)
    }

    /// Every convolution with the name of its batch norm, in forward order.
    fn convolutions(&self) -> Vec<(LayerSpec, String)> {
        let (kernel, stride) = if self.stem == Stem::Cifar { (3, 1) } else { (7, 2) };
        let stem = conv("conv1".to_owned(), self.width, self.input.channels, kernel, stride);
        let mut all = vec![(stem, "bn1".to_owned())];
        for block in self.blocks_in_order() {
            let name = &block.name;
            let first = conv(format!("{name}.conv1"), block.outputs, block.inputs, 3, block.stride);
            all.push((first, format!("{name}.bn1")));
            let second = conv(format!("{name}.conv2"), block.outputs, block.outputs, 3, 1);
            all.push((second, format!("{name}.bn2")));
            if block.shortcut == Some(Shortcut::Projection) {
                let down = conv(format!("{name}.downsample.0"), block.outputs, block.inputs, 1, block.stride);
                all.push((down, format!("{name}.downsample.1")));
            }
        }
        all
    }
}

/// Convolution without bias that keeps the size of the image but for its stride.
fn conv(name: String, outputs: usize, channels: usize, kernel: usize, stride: usize) -> LayerSpec {
    LayerSpec {
        name,
        kind: LayerKind::Conv { kernel, stride, padding: kernel / 2 },
        outputs,
        inputs: channels * kernel * kernel,
        bias: false,
        role: if kernel == 1 { LayerRole::Shortcut } else { LayerRole::Conv },
    }
}

fn batch_norm(name: &str, channels: usize) -> [TensorSpec; 4] {
    let tensor = |part: &str, role| TensorSpec::new(format!("{name}.{part}"), &[channels], role);
    [
        tensor("weight", TensorRole::Norm),
        tensor("bias", TensorRole::Norm),
        tensor("running_mean", TensorRole::RunningStatistic),
        tensor("running_var", TensorRole::RunningStatistic),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn parameters_are_those_of_the_published_networks() {
        // torchvision resnet18: 11 689 512. Idelbayev's CIFAR ResNets: 269 722 and 853 018 (with batch norms).
        let parameters = |shape| Architecture::ResNet(shape).parameters();
        assert_eq!(parameters(ResNetShape::resnet18(Stem::Imagenet, 1000)), 11_689_512);
        assert_eq!(parameters(ResNetShape::cifar(3, 10)), 269_722);
        assert_eq!(parameters(ResNetShape::cifar(9, 10)), 853_018);
    }

    #[test]
    fn only_the_first_block_of_a_later_stage_changes_size() {
        let blocks = ResNetShape::resnet18(Stem::Cifar, 10).blocks_in_order();
        let changing: Vec<_> = blocks.iter().filter(|block| block.stride == 2).collect();
        assert_eq!(
            changing.iter().map(|block| block.name.as_str()).collect::<Vec<_>>(),
            ["layer2.0", "layer3.0", "layer4.0"]
        );
        assert!(changing.iter().all(|block| block.shortcut == Some(Shortcut::Projection)));
        assert_eq!((changing[0].inputs, changing[0].outputs), (64, 128));
    }
}
