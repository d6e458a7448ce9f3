//! Low-rank adapters (LoRA).

use std::path::Path;

use alora_calibration::Provenance;
use ndarray::Array2;

use super::{
    LinearWeights, Mlp, ModelError,
    file::{TensorFile, write_tensors},
    mlp::check_finite,
};

/// Adapter of rank `k` beside a layer: `y += (α/k) · B (A x)` (Hu et al., arXiv 2106.09685).
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// `A`, `[k, in]`.
    pub a: Array2<f32>,
    /// `B`, `[out, k]`.
    pub b: Array2<f32>,
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

    /// `(α/k) · B · A`, `[out, in]`.
    #[must_use]
    pub fn delta(&self) -> Array2<f32> {
        self.b.dot(&self.a) * self.factor()
    }

    /// Number of trained values.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.a.len() + self.b.len()
    }
}

/// One adapter for each layer of a network.
///
/// Invariant: each has the shape of its layer, a rank of at least 1, and finite values.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSet {
    adapters: Vec<Adapter>,
}

impl AdapterSet {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.adapters/1";

    /// Checks one adapter for each layer of `base`, in order.
    ///
    /// # Errors
    /// Another number of adapters, a shape that does not fit, or a value that is not finite.
    pub fn new(adapters: Vec<Adapter>, base: &Mlp) -> Result<Self, ModelError> {
        if adapters.len() != base.layers().len() {
            return Err(ModelError::AdapterCount { expected: base.layers().len(), found: adapters.len() });
        }
        for (adapter, layer) in adapters.iter().zip(base.layers()) {
            check_adapter(adapter, layer)?;
        }
        Ok(Self { adapters })
    }

    /// The adapters, first layer to last.
    #[must_use]
    pub fn adapters(&self) -> &[Adapter] {
        &self.adapters
    }

    /// Number of trained values.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.adapters.iter().map(Adapter::parameters).sum()
    }

    /// `base` with every adapter merged: `W + (α/k) · B · A`. `base` must be the network they were made for.
    ///
    /// # Errors
    /// A network of another shape, or a sum that is not finite.
    pub fn merged(&self, base: &Mlp) -> Result<Mlp, ModelError> {
        let same = Self::new(self.adapters.clone(), base)?;
        let merge = |(layer, adapter): (&LinearWeights, &Adapter)| LinearWeights {
            name: layer.name.clone(),
            weight: &layer.weight + &adapter.delta(),
            bias: layer.bias.clone(),
        };
        Mlp::new(base.layers().iter().zip(&same.adapters).map(merge).collect())
    }

    /// Writes the adapters as safetensors: `fc1.lora_A.weight` `[k, in]`, `fc1.lora_B.weight` `[out, k]`, …, with `alpha`
    /// in the metadata.
    ///
    /// # Errors
    /// A folder that cannot be written; nothing is left half-written.
    pub fn write(&self, path: &Path, provenance: &Provenance) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        for (index, adapter) in self.adapters.iter().enumerate() {
            let [a, b] = names(index);
            tensors.push((a, adapter.a.shape().to_vec(), adapter.a.iter().copied().collect()));
            tensors.push((b, adapter.b.shape().to_vec(), adapter.b.iter().copied().collect()));
        }
        let alphas =
            self.adapters.iter().map(|adapter| adapter.alpha.to_string()).collect::<Vec<_>>().join(" ");
        write_tensors(path, Self::SCHEMA, provenance, &[("alpha", alphas)], tensors)
    }

    /// Reads the adapters of `base`, with their origin.
    ///
    /// # Errors
    /// A file that cannot be read or is of another schema; a tensor that is missing, extra, mis-shaped or not finite.
    pub fn read(path: &Path, base: &Mlp) -> Result<(Self, Provenance), ModelError> {
        let mut file = TensorFile::read(path, Self::SCHEMA)?;
        let provenance = file.provenance.clone();
        Self::from_file(&mut file, base)
            .map(|adapters| (adapters, provenance))
            .map_err(|source| ModelError::File { path: path.to_owned(), source: Box::new(source) })
    }

    fn from_file(file: &mut TensorFile, base: &Mlp) -> Result<Self, ModelError> {
        let count = base.layers().len();
        let text = file.metadata("alpha").unwrap_or("missing").to_owned();
        let alphas: Vec<f32> = text.split(' ').filter_map(|alpha| alpha.parse().ok()).collect();
        if alphas.len() != count || alphas.iter().any(|alpha| !alpha.is_finite()) {
            let expected = format!("{count} numbers, one a layer");
            return Err(ModelError::Metadata { key: "alpha", expected, found: text });
        }
        let mut adapters = Vec::with_capacity(count);
        for (index, alpha) in alphas.into_iter().enumerate() {
            let [a, b] = names(index);
            adapters.push(Adapter { a: file.take_matrix(&a)?, b: file.take_matrix(&b)?, alpha });
        }
        file.nothing_left("a set of adapters for this network")?;
        Self::new(adapters, base)
    }
}

fn names(index: usize) -> [String; 2] {
    [format!("fc{}.lora_A.weight", index + 1), format!("fc{}.lora_B.weight", index + 1)]
}

fn check_adapter(adapter: &Adapter, layer: &LinearWeights) -> Result<(), ModelError> {
    let (out, inputs) = layer.weight.dim();
    let rank = adapter.rank().max(1);
    let parts = [
        (format!("{}.lora_A.weight", layer.name), &adapter.a, [rank, inputs]),
        (format!("{}.lora_B.weight", layer.name), &adapter.b, [out, rank]),
    ];
    for (tensor, values, expected) in parts {
        if values.shape() != expected {
            return Err(ModelError::Shape {
                tensor,
                expected: expected.to_vec(),
                found: values.shape().to_vec(),
            });
        }
        check_finite(&tensor, values.view())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ndarray::{Array1, array};

    use super::*;

    fn base() -> Mlp {
        let weight = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        Mlp::new(vec![LinearWeights { name: String::new(), weight, bias: Array1::zeros(2) }]).unwrap()
    }

    #[test]
    fn merged_is_base_plus_alpha_over_k_times_b_a() {
        let adapter = Adapter { a: array![[1.0, 0.0, -1.0]], b: array![[2.0], [0.5]], alpha: 4.0 };
        let set = AdapterSet::new(vec![adapter], &base()).unwrap();
        assert_eq!(set.parameters(), 5);
        assert_eq!(
            set.merged(&base()).unwrap().layers()[0].weight,
            array![[9.0, 2.0, -5.0], [6.0, 5.0, 4.0]]
        );
    }

    #[test]
    fn an_adapter_that_does_not_fit_is_named() {
        let wrong = Adapter { a: array![[1.0, 0.0]], b: array![[2.0], [0.5]], alpha: 4.0 };
        let error = AdapterSet::new(vec![wrong], &base()).unwrap_err();
        assert_eq!(error.to_string(), "fc1.lora_A.weight is 1 × 2, expected 1 × 3");
        assert_eq!(
            AdapterSet::new(vec![], &base()).unwrap_err().to_string(),
            "0 adapters for 1 layers; each layer needs one"
        );
    }
}
