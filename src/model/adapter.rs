//! Low-rank adapters (LoRA).

mod file;
mod merge;

use std::collections::BTreeMap;

pub(super) use file::{take_matrix, take_vector};

use ndarray::{Array1, Array2, ArrayView1};

use super::{Architecture, LayerSpec, ModelError, Parameter, network::check_finite};

/// Adapter of rank `k` beside a layer: `y += (α/k) · (B (A x + a) + b)` (Hu et al., arXiv 2106.09685; the biases `a` and
/// `b` make `A` and `B` full connections).
///
/// Beside a convolution `x` is the unrolled patch, ordered channel, row, column.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// `A`, `[k, in]`.
    pub a: Array2<f32>,
    /// `B`, `[out, k]`.
    pub b: Array2<f32>,
    /// `a`, `[k]`.
    pub a_bias: Option<Array1<f32>>,
    /// `b`, `[out]`.
    pub b_bias: Option<Array1<f32>>,
    /// `α`.
    pub alpha: f32,
}

impl Adapter {
    /// `k`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.a.nrows()
    }

    /// `α/k`.
    #[must_use]
    pub fn factor(&self) -> f32 {
        self.alpha / self.rank() as f32
    }

    /// `(α/k) · B · A`, `[out, in]`: what it adds to the weight.
    #[must_use]
    pub fn delta(&self) -> Array2<f32> {
        self.b.dot(&self.a) * self.factor()
    }

    /// `B a + b`, `[out]`: both biases as one of `B`. `None` without biases.
    #[must_use]
    pub fn folded_bias(&self) -> Option<Array1<f32>> {
        match (&self.a_bias, &self.b_bias) {
            (None, None) => None,
            (None, Some(b)) => Some(b.clone()),
            (Some(a), None) => Some(self.b.dot(a)),
            (Some(a), Some(b)) => Some(self.b.dot(a) + b),
        }
    }

    /// `(α/k) · (B a + b)`, `[out]`: what it adds to the bias.
    #[must_use]
    pub fn bias_delta(&self) -> Option<Array1<f32>> {
        self.folded_bias().map(|bias| bias * self.factor())
    }

    /// Number of trained values.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let length = |bias: &Option<Array1<f32>>| bias.as_ref().map_or(0, Array1::len);
        self.a.len() + self.b.len() + length(&self.a_bias) + length(&self.b_bias)
    }
}

/// Adapters by the name of their layer; not every layer needs one.
///
/// Invariant: each belongs to a layer of the architecture it was checked against, fits its shape, and has a rank of at
/// least 1 and finite values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterSet(BTreeMap<String, Adapter>);

impl AdapterSet {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.adapters/2";

    /// Checks `adapters` against the layers of `architecture`.
    ///
    /// # Errors
    /// A layer that is not there, a shape that does not fit, or a value that is not finite.
    pub fn new(adapters: BTreeMap<String, Adapter>, architecture: &Architecture) -> Result<Self, ModelError> {
        let set = Self(adapters);
        set.check(architecture)?;
        Ok(set)
    }

    /// Refuses `architecture` if it is not one for which these adapters were made.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(&self, architecture: &Architecture) -> Result<(), ModelError> {
        let layers = architecture.layers();
        for (name, adapter) in &self.0 {
            let Some(layer) = layers.iter().find(|layer| layer.name == *name) else {
                let layers = layers.into_iter().map(|layer| layer.name).collect();
                return Err(ModelError::NoSuchLayer {
                    layer: name.clone(),
                    what: architecture.what(),
                    layers,
                });
            };
            check(adapter, layer)?;
        }
        Ok(())
    }

    /// The adapter beside `layer`.
    #[must_use]
    pub fn get(&self, layer: &str) -> Option<&Adapter> {
        self.0.get(layer)
    }

    /// Names of layers and their adapters, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Adapter)> {
        self.0.iter().map(|(layer, adapter)| (layer.as_str(), adapter))
    }

    /// Number of adapters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no adapter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of trained values.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.0.values().map(Adapter::parameters).sum()
    }

    /// The adapters by name of layer.
    #[must_use]
    pub fn into_adapters(self) -> BTreeMap<String, Adapter> {
        self.0
    }
}

fn check(adapter: &Adapter, layer: &LayerSpec) -> Result<(), ModelError> {
    let rank = adapter.rank().max(1);
    let matrix = |array: &Array2<f32>| (array.shape().to_vec(), array.iter().copied().collect::<Vec<_>>());
    let vector = |array: &Array1<f32>| (vec![array.len()], array.to_vec());
    let parts = [
        ("lora_A.weight", Some(matrix(&adapter.a)), vec![rank, layer.inputs]),
        ("lora_A.bias", adapter.a_bias.as_ref().map(vector), vec![rank]),
        ("lora_B.weight", Some(matrix(&adapter.b)), vec![layer.outputs, rank]),
        ("lora_B.bias", adapter.b_bias.as_ref().map(vector), vec![layer.outputs]),
    ];
    for (part, found, expected) in parts {
        let Some((shape, values)) = found else { continue };
        let tensor = format!("{}.{part}", layer.name);
        if shape != expected {
            return Err(ModelError::Shape { tensor, expected, found: shape });
        }
        check_finite(&tensor, &Parameter { shape, values })?;
    }
    let alpha = Parameter { shape: vec![1], values: vec![adapter.alpha] };
    check_finite(&format!("{}.alpha", layer.name), &alpha)
}

/// Adds `delta` to `values`, in place.
fn add(values: &mut [f32], delta: ArrayView1<'_, f32>) {
    values.iter_mut().zip(delta).for_each(|(value, delta)| *value += delta);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::array;

    use super::*;
    use crate::model::{ImageShape, MlpShape};

    fn adapter() -> Adapter {
        Adapter {
            a: array![[1.0, 0.0, -1.0]],
            b: array![[2.0], [0.5]],
            a_bias: Some(array![3.0]),
            b_bias: Some(array![1.0, -1.0]),
            alpha: 4.0,
        }
    }

    fn architecture() -> Architecture {
        let input = ImageShape { channels: 1, height: 1, width: 3 };
        Architecture::Mlp(MlpShape { input, hidden: vec![], classes: 2 })
    }

    fn complaint(layer: &str, adapter: Adapter) -> String {
        let adapters = BTreeMap::from([(layer.to_owned(), adapter)]);
        AdapterSet::new(adapters, &architecture()).unwrap_err().to_string()
    }

    #[test]
    fn deltas_follow_their_formulas() {
        let adapter = adapter();
        assert_eq!(adapter.delta(), array![[8.0, 0.0, -8.0], [2.0, 0.0, -2.0]]);
        assert_eq!(adapter.folded_bias(), Some(array![7.0, 0.5]));
        assert_eq!(adapter.bias_delta(), Some(array![28.0, 2.0]));
        assert_eq!(adapter.parameters(), 3 + 2 + 1 + 2);
        let plain = Adapter { a_bias: None, b_bias: None, ..adapter };
        assert_eq!((plain.folded_bias(), plain.parameters()), (None, 5));
    }

    #[test]
    fn an_adapter_that_does_not_fit_is_named() {
        assert_eq!(
            complaint("fc2", adapter()),
            "there is no layer `fc2` in a multi-layer perceptron; its layers are `fc1`"
        );
        assert_eq!(
            complaint("fc1", Adapter { a: array![[1.0, 0.0]], ..adapter() }),
            "fc1.lora_A.weight is 1 × 2, expected 1 × 3"
        );
        assert_eq!(
            complaint("fc1", Adapter { a: Array2::zeros((0, 3)), b: Array2::zeros((2, 0)), ..adapter() }),
            "fc1.lora_A.weight is 0 × 3, expected 1 × 3"
        );
        assert_eq!(
            complaint("fc1", Adapter { b_bias: Some(array![1.0]), ..adapter() }),
            "fc1.lora_B.bias is 1, expected 2"
        );
        assert!(
            complaint("fc1", Adapter { alpha: f32::NAN, ..adapter() }).starts_with("fc1.alpha: the value")
        );
    }
}
