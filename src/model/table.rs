//! How many values a network has, and how many of them are trained.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Architecture, LayerRole, LayerSpec, TensorRole, TensorSpec};

/// Adapters to be put beside layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterShape {
    /// Rank `k`.
    pub rank: usize,
    /// Whether `A` and `B` have biases, `k` and `out` values.
    pub bias: bool,
    /// Layers that get one, by their role; `None` is every layer.
    #[serde(default)]
    pub layers: Option<BTreeSet<LayerRole>>,
}

impl AdapterShape {
    /// Whether `layer` gets an adapter.
    #[must_use]
    pub fn covers(&self, layer: &LayerSpec) -> bool {
        self.layers.as_ref().is_none_or(|roles| roles.contains(&layer.role))
    }

    /// Trained values beside `layer`: `k (in + out)`, with biases `k + out` more; 0 when it gets no adapter.
    #[must_use]
    pub fn parameters(&self, layer: &LayerSpec) -> usize {
        if !self.covers(layer) {
            return 0;
        }
        let biases = if self.bias { self.rank + layer.outputs } else { 0 };
        self.rank * (layer.inputs + layer.outputs) + biases
    }
}

/// What is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trained {
    /// Adapters; the network itself is frozen.
    Adapters(AdapterShape),
    /// Every parameter of the network.
    Base,
}

/// Layers of one role and shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterRow {
    /// Role; `None` for everything that is not a layer on the processor.
    pub role: Option<LayerRole>,
    /// How many there are; for the rest of the network, tensors.
    pub count: usize,
    /// Rows and columns of each layer's matrix; `None` for the rest of the network.
    pub shape: Option<[usize; 2]>,
    /// Parameters of the network in all of them together, biases included.
    pub base: usize,
    /// Values trained, in all of them together.
    pub trainable: usize,
}

/// Parameters of a network, by role and shape of its layers in forward order, then the digital rest. Computed from the
/// sizes; no weights are needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterTable {
    /// Rows.
    pub rows: Vec<ParameterRow>,
    /// Parameters of the network, without adapters.
    pub total: usize,
    /// Values trained.
    pub trainable: usize,
    /// `trainable / total`.
    pub share: f64,
}

impl ParameterTable {
    /// Counts the parameters of `architecture` when `trained` is trained.
    #[must_use]
    pub fn new(architecture: &Architecture, trained: &Trained) -> Self {
        let layers = architecture.layers();
        let mut rows: Vec<ParameterRow> = Vec::new();
        for layer in &layers {
            add(&mut rows, layer, trained);
        }
        rows.push(rest(&architecture.tensors(), trained));
        let total = rows.iter().map(|row| row.base).sum();
        let trainable = rows.iter().map(|row| row.trainable).sum();
        Self { rows, total, trainable, share: trainable as f64 / total as f64 }
    }
}

fn add(rows: &mut Vec<ParameterRow>, layer: &LayerSpec, trained: &Trained) {
    let key = (Some(layer.role), Some([layer.outputs, layer.inputs]));
    let base = layer.parameters();
    let trainable = match trained {
        Trained::Adapters(shape) => shape.parameters(layer),
        Trained::Base => base,
    };
    match rows.iter_mut().find(|row| (row.role, row.shape) == key) {
        Some(row) => {
            row.count += 1;
            row.base += base;
            row.trainable += trainable;
        }
        None => rows.push(ParameterRow { role: key.0, count: 1, shape: key.1, base, trainable }),
    }
}

/// Norms, embeddings and digital projections.
fn rest(tensors: &[TensorSpec], trained: &Trained) -> ParameterRow {
    let digital = |tensor: &&TensorSpec| {
        matches!(tensor.role, TensorRole::Digital | TensorRole::Norm | TensorRole::Embedding)
    };
    let counted: Vec<_> = tensors.iter().filter(digital).collect();
    let base = counted.iter().map(|tensor| tensor.values()).sum();
    let trainable = if *trained == Trained::Base { base } else { 0 };
    ParameterRow { role: None, count: counted.len(), shape: None, base, trainable }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{MlpShape, ResNetShape, Stem, VitConfig};

    fn vit(classes: usize) -> Architecture {
        Architecture::Vit(VitConfig::base_patch16_224(classes))
    }

    fn trainable(architecture: &Architecture, rank: usize, bias: bool, head: bool) -> usize {
        use LayerRole::{AttentionOutput, Fc1, Fc2, Head, Key, Query, Value};
        let mut roles = BTreeSet::from([Query, Key, Value, AttentionOutput, Fc1, Fc2]);
        if head {
            roles.insert(Head);
        }
        let shape = AdapterShape { rank, bias, layers: Some(roles) };
        ParameterTable::new(architecture, &Trained::Adapters(shape)).trainable
    }

    #[test]
    fn the_counts_of_vit_b_16_are_those_of_the_paper_s_table() {
        for (rank, without_head, with_head) in
            [(4, 663_552, 666_664), (8, 1_327_104, 1_333_328), (16, 2_654_208, 2_666_656)]
        {
            assert_eq!(trainable(&vit(10), rank, false, false), without_head);
            assert_eq!(trainable(&vit(10), rank, false, true), with_head);
        }
        for (classes, expected) in [(10, 1_416_866), (100, 1_417_676), (1000, 1_425_776)] {
            assert_eq!(trainable(&vit(classes), 8, true, true), expected);
        }
        assert_eq!(trainable(&vit(10), 4, true, true), 749_910);
        // Per unit of rank.
        assert_eq!(trainable(&vit(10), 1, false, false), 165_888);
    }

    #[test]
    fn the_table_of_vit_b_16_has_a_row_for_each_role_and_its_totals() {
        let shape = AdapterShape { rank: 8, bias: true, layers: None };
        let table = ParameterTable::new(&vit(10), &Trained::Adapters(shape));
        assert_eq!((table.total, table.trainable), (85_798_656 + 7_690, 1_416_866));
        // 0.14e7 of 8.7e7: the paper's 1.6 %.
        assert!((table.share - 0.0165).abs() < 5e-5, "{}", table.share);
        let roles: Vec<_> = table.rows.iter().map(|row| (row.role, row.count, row.shape)).collect();
        assert_eq!(
            roles,
            [
                (Some(LayerRole::Query), 12, Some([768, 768])),
                (Some(LayerRole::Key), 12, Some([768, 768])),
                (Some(LayerRole::Value), 12, Some([768, 768])),
                (Some(LayerRole::AttentionOutput), 12, Some([768, 768])),
                (Some(LayerRole::Fc1), 12, Some([3072, 768])),
                (Some(LayerRole::Fc2), 12, Some([768, 3072])),
                (Some(LayerRole::Head), 1, Some([10, 768])),
                (None, 54, None),
            ]
        );
        assert_eq!(table.rows[0].base, 12 * 590_592);
        assert_eq!(table.rows[7].base, 590_592 + 768 + 197 * 768 + 25 * 2 * 768);
        assert_eq!(table.rows[7].trainable, 0);
    }

    #[test]
    fn training_the_base_trains_every_parameter_of_every_family() {
        for architecture in [
            vit(100),
            Architecture::Mlp(MlpShape::default()),
            Architecture::ResNet(ResNetShape::resnet18(Stem::Cifar, 10)),
        ] {
            let table = ParameterTable::new(&architecture, &Trained::Base);
            assert_eq!(
                (table.total, table.trainable),
                (architecture.parameters(), architecture.parameters())
            );
            assert_eq!(table.share, 1.0);
        }
    }

    #[test]
    fn the_table_is_plain_text_for_a_machine() {
        let shape = AdapterShape { rank: 2, bias: false, layers: None };
        let table = ParameterTable::new(&Architecture::Mlp(MlpShape::default()), &Trained::Adapters(shape));
        let value = serde_json::to_value(&table).unwrap();
        assert_eq!(value["rows"][0]["role"], "hidden");
        assert_eq!(value["rows"][0]["trainable"], 2 * (784 + 256));
        assert_eq!(value["total"], 335_114);
    }
}
