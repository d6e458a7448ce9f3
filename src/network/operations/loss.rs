//! What training brings down.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::host::{Computed, Derivative, Gradient, Operation, Values, apply};
use crate::kernel::digital::loss::{cross_entropy, distillation};

/// What logits are compared with.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Class of each image; below the number of classes.
    pub labels: Vec<usize>,
    /// Logits of a teacher, `[batch, classes]`, row by row.
    pub teacher: Option<Vec<f32>>,
    /// Share of the teacher in the loss.
    pub weight: f32,
    /// Softens both distributions.
    pub temperature: f32,
}

impl Targets {
    /// Labels alone.
    #[must_use]
    pub fn labels(labels: Vec<usize>) -> Self {
        Self { labels, teacher: None, weight: 0.0, temperature: 1.0 }
    }
}

/// `(1 − w) · cross entropy + w · T² · KL(softmax(teacher/T) ‖ softmax(logits/T))`, means over the batch
/// (Hinton et al., arXiv 1503.02531).
#[must_use]
pub fn loss(logits: Tensor<2>, targets: Targets) -> Tensor<1> {
    apply::<2>(vec![logits.into_dispatch()], Arc::new(Loss(targets))).sum()
}

#[derive(Debug)]
struct Loss(Targets);

impl Operation for Loss {
    fn forward(&self, inputs: &[Values<'_>], _: bool) -> Computed {
        let Targets { labels, teacher, weight, temperature } = &self.0;
        let logits = inputs[0].values;
        let mut gradient = vec![0.0; logits.len()];
        // Labels were checked against the classes before training; a loss of NaN stops it.
        let mut value = cross_entropy(logits, labels, 0.0, &mut gradient).unwrap_or(f64::NAN);
        if let Some(teacher) = teacher.as_ref().filter(|_| *weight > 0.0) {
            let mut of_teacher = vec![0.0; logits.len()];
            let divergence = distillation(logits, teacher, labels.len(), *temperature, &mut of_teacher);
            value = f64::from(1.0 - weight) * value + f64::from(*weight) * divergence;
            for (gradient, of_teacher) in gradient.iter_mut().zip(of_teacher) {
                *gradient = (1.0 - weight) * *gradient + weight * of_teacher;
            }
        }
        let derivative = Some(Arc::new(LossDerivative(gradient)) as Arc<dyn Derivative>);
        Computed { shape: vec![1, 1], values: vec![value as f32], derivative }
    }

    fn retains(&self, _: usize) -> bool {
        false
    }
}

#[derive(Debug)]
struct LossDerivative(Vec<f32>);

impl Derivative for LossDerivative {
    fn backward(&self, _: &[Values<'_>], gradient: Gradient, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        let gradient = gradient.values();
        let factor = gradient.first().copied().unwrap_or(1.0);
        vec![Some(self.0.iter().map(|value| value * factor).collect())]
    }
}
