//! Running statistics of batch norms.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};

use crate::{
    kernel::digital::batch_norm::ChannelMoments,
    model::{Model, Parameter, TensorRole, Weights},
    network::BatchMoments,
};

/// Part of a batch in the running estimate, as in PyTorch.
const MOMENTUM: f32 = 0.1;

/// Means and variances by name, each `[1, channels]`.
pub(super) struct RunningStatistics(BTreeMap<String, Array2<f32>>);

impl RunningStatistics {
    /// Those of `model`.
    pub(super) fn of(model: &Model) -> Self {
        let mut values = BTreeMap::new();
        for spec in model.architecture().tensors() {
            if spec.role == TensorRole::RunningStatistic
                && let Some(parameter) = model.weights().get(&spec.name)
            {
                values.insert(spec.name, row(parameter.values.clone()));
            }
        }
        Self(values)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn values(&self) -> &BTreeMap<String, Array2<f32>> {
        &self.0
    }

    pub(super) fn restore(&mut self, values: BTreeMap<String, Array2<f32>>) {
        self.0.extend(values);
    }

    /// Takes its own out of `values`, and gives back the others.
    pub(super) fn part(&mut self, values: BTreeMap<String, Array2<f32>>) -> BTreeMap<String, Array2<f32>> {
        let (own, others) = values.into_iter().partition(|(name, _)| self.0.contains_key(name));
        self.restore(own);
        others
    }

    /// Moves towards the moments of a batch.
    pub(super) fn follow(&mut self, moments: BTreeMap<String, Vec<BatchMoments>>) {
        for (norm, batches) in moments {
            let names = ["running_mean", "running_var"].map(|part| format!("{norm}.{part}"));
            let part = |name: &String| self.0.get(name).map(|values| values.iter().copied().collect());
            let [Some(mean), Some(variance)] = names.each_ref().map(part) else { continue };
            let mut running = ChannelMoments { mean, variance };
            for BatchMoments { rows, moments } in &batches {
                running.update(moments, *rows, MOMENTUM);
            }
            for (name, values) in names.into_iter().zip([running.mean, running.variance]) {
                self.0.insert(name, row(values));
            }
        }
    }

    /// Puts the values in place of those in `weights`.
    pub(super) fn write_into(&self, weights: &mut Weights) {
        for (name, values) in &self.0 {
            weights.insert(
                name.clone(),
                Parameter { shape: vec![values.len()], values: values.iter().copied().collect() },
            );
        }
    }
}

/// One row.
fn row(values: Vec<f32>) -> Array2<f32> {
    Array1::from_vec(values).insert_axis(Axis(0))
}
