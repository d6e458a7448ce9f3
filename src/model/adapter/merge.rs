//! Adapters added into the weights.

use ndarray::Array1;

use super::{Adapter, AdapterSet, add};
use crate::model::{Architecture, LayerSpec, Model, ModelError, Parameter, Weights};

impl AdapterSet {
    /// `base` with every adapter merged: `W + (α/k) · B A` and bias `+ (α/k) · (B a + b)`.
    ///
    /// A layer without bias takes the latter where it can: a convolution in the mean of the batch norm behind it, which
    /// is exact; query, key and value of a ViT become biased.
    ///
    /// # Errors
    /// A network of another shape, or a sum that is not finite.
    pub fn merged(&self, base: &Model) -> Result<Model, ModelError> {
        self.check(base.architecture())?;
        let (mut architecture, mut weights) = base.clone().into_parts();
        for layer in base.architecture().layers() {
            let Some(adapter) = self.get(&layer.name) else { continue };
            add_weight(&layer, adapter, &mut weights);
            if let Some(delta) = adapter.bias_delta() {
                add_bias(&layer, &delta, &mut architecture, &mut weights);
            }
        }
        Model::new(architecture, weights)
    }
}

fn add_weight(layer: &LayerSpec, adapter: &Adapter, weights: &mut Weights) {
    if let Some(weight) = weights.get_mut(&layer.weight_name()) {
        add(&mut weight.values, adapter.delta().flatten().view());
    }
}

fn add_bias(layer: &LayerSpec, delta: &Array1<f32>, architecture: &mut Architecture, weights: &mut Weights) {
    if !layer.bias {
        match architecture {
            // (W x + c − μ)/σ = (W x − (μ − c))/σ.
            Architecture::ResNet(shape) => {
                let norm = shape.norm_after(&layer.name).unwrap_or_default();
                if let Some(mean) = weights.get_mut(&format!("{norm}.running_mean")) {
                    add(&mut mean.values, (-delta).view());
                }
                return;
            }
            Architecture::Vit(config) => config.qkv_bias = true,
            Architecture::Mlp(_) | Architecture::Cnn(_) => {}
        }
        for without in architecture.layers() {
            if weights.get(&without.bias_name()).is_none() {
                weights.insert(without.bias_name(), Parameter::filled(vec![without.outputs], 0.0));
            }
        }
    }
    if let Some(bias) = weights.get_mut(&layer.bias_name()) {
        add(&mut bias.values, delta.view());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::model::{MlpShape, ResNetShape, Stem, VitConfig};

    fn random(layer: &LayerSpec, rank: usize, rng: &mut ChaCha8Rng) -> Adapter {
        let a = Array2::from_shape_simple_fn((rank, layer.inputs), || rng.random_range(-1.0..1.0));
        let b = Array2::from_shape_simple_fn((layer.outputs, rank), || rng.random_range(-1.0..1.0));
        let a_bias = Array1::from_shape_simple_fn(rank, || rng.random_range(-1.0..1.0));
        let b_bias = Array1::from_shape_simple_fn(layer.outputs, || rng.random_range(-1.0..1.0));
        Adapter { a, b, a_bias: Some(a_bias), b_bias: Some(b_bias), alpha: 3.0 }
    }

    fn on_every_layer(architecture: &Architecture, rng: &mut ChaCha8Rng) -> AdapterSet {
        let adapters: BTreeMap<_, _> =
            architecture.layers().iter().map(|layer| (layer.name.clone(), random(layer, 2, rng))).collect();
        AdapterSet::new(adapters, architecture).unwrap()
    }

    #[test]
    fn a_merged_mlp_computes_what_base_and_adapters_compute() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let model =
            Model::random(Architecture::Mlp(MlpShape { hidden: vec![5], ..MlpShape::default() }), &mut rng)
                .unwrap();
        let set = on_every_layer(model.architecture(), &mut rng);
        let merged = set.merged(&model).unwrap();
        let x = Array1::from_shape_simple_fn(784, || rng.random_range(-1.0..1.0));
        for layer in model.architecture().layers() {
            let x = x.slice(ndarray::s![..layer.inputs]);
            let adapter = set.get(&layer.name).unwrap();
            let inner = adapter.a.dot(&x) + adapter.a_bias.as_ref().unwrap();
            let beside = (adapter.b.dot(&inner) + adapter.b_bias.as_ref().unwrap()) * adapter.factor();
            let expected = model.matrix(&layer).unwrap().dot(&x) + model.bias(&layer).unwrap() + beside;
            let found = merged.matrix(&layer).unwrap().dot(&x) + merged.bias(&layer).unwrap();
            // Sums of 784 products of order 1 in another order: √784 · 2⁻²⁴ · 30 ≈ 5e-5.
            assert!((found - expected).iter().all(|off| off.abs() < 1e-4));
        }
    }

    #[test]
    fn a_convolution_s_bias_moves_the_mean_of_its_batch_norm() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let shape = ResNetShape { width: 4, blocks: vec![1, 1], ..ResNetShape::resnet18(Stem::Cifar, 3) };
        let model = Model::random(Architecture::ResNet(shape), &mut rng).unwrap();
        let set = on_every_layer(model.architecture(), &mut rng);
        let merged = set.merged(&model).unwrap();
        let mean = &merged.weights().get("layer2.0.downsample.1.running_mean").unwrap().values;
        let delta = set.get("layer2.0.downsample.0").unwrap().bias_delta().unwrap();
        assert_eq!(*mean, (-delta).to_vec());
        let moved = |name: &str| merged.weights().get(name) != model.weights().get(name);
        assert!(moved("bn1.running_mean") && moved("layer1.0.conv2.weight") && moved("fc.bias"));
        assert!(!moved("bn1.bias") && !moved("layer1.0.bn2.running_var"));
    }

    #[test]
    fn a_vit_without_query_biases_gets_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let config = VitConfig {
            hidden_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 4,
            image_size: 8,
            patch_size: 4,
            qkv_bias: false,
            ..VitConfig::base_patch16_224(3)
        };
        let model = Model::random(Architecture::Vit(config), &mut rng).unwrap();
        let layers = model.architecture().layers();
        let only_key = BTreeMap::from([(layers[1].name.clone(), random(&layers[1], 2, &mut rng))]);
        let set = AdapterSet::new(only_key, model.architecture()).unwrap();
        let merged = set.merged(&model).unwrap();
        let bias = |index: usize| merged.bias(&layers[index]).unwrap().to_owned();
        assert_eq!(bias(0), Array1::<f32>::zeros(8));
        assert_eq!(Some(bias(1)), set.get(&layers[1].name).unwrap().bias_delta());
    }
}
