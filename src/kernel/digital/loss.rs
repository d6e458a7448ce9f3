//! Losses of logits `[rows, classes]`, as means over rows, with their gradients.

use thiserror::Error;

/// A label that no logit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("row {row}: label {label}, but the network has {classes} classes (0 to {}); check the data set or the head", classes - 1)]
pub struct LabelError {
    /// Row of the batch.
    pub row: usize,
    /// Label found.
    pub label: usize,
    /// Classes there are.
    pub classes: usize,
}

/// Cross-entropy with the labels, `−mean Σ_c t_c ln softmax(z)_c`; `gradient` `[rows, classes]` becomes its gradient by the
/// logits, `(softmax(z) − t)/rows`.
///
/// The target `t` is `1 − smoothing` for the label plus `smoothing/classes` for every class (Szegedy et al., arXiv
/// 1512.00567), as PyTorch's `label_smoothing`.
///
/// # Errors
/// When a label is not below the number of classes.
///
/// # Panics
/// When the lengths do not fit.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[usize],
    smoothing: f32,
    gradient: &mut [f32],
) -> Result<f64, LabelError> {
    let classes = classes(logits, labels.len(), gradient);
    let rows = labels.len() as f64;
    let (smoothing, floor) = (f64::from(smoothing), f64::from(smoothing) / classes as f64);
    let mut total = 0.0;
    for (row, ((logits, gradient), &label)) in
        logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes)).zip(labels).enumerate()
    {
        if label >= classes {
            return Err(LabelError { row, label, classes });
        }
        let normaliser = log_sum_exp(logits, 1.0);
        for (class, (z, gradient)) in logits.iter().zip(gradient).enumerate() {
            let log_probability = f64::from(*z) - normaliser;
            let target = floor + if class == label { 1.0 - smoothing } else { 0.0 };
            // A class without weight does not count, even at probability 0.
            total -= if target > 0.0 { target * log_probability } else { 0.0 };
            *gradient = ((log_probability.exp() - target) / rows) as f32;
        }
    }
    Ok(total / rows)
}

/// Distillation (Hinton et al., arXiv 1503.02531): `T²·mean KL(softmax(teacher/T) ‖ softmax(student/T))`; `gradient`
/// `[rows, classes]` becomes its gradient by the student's logits, `T·(softmax(student/T) − softmax(teacher/T))/rows`.
///
/// # Panics
/// When the lengths do not fit.
pub fn distillation(
    student: &[f32],
    teacher: &[f32],
    rows: usize,
    temperature: f32,
    gradient: &mut [f32],
) -> f64 {
    let classes = classes(student, rows, gradient);
    assert_eq!(student.len(), teacher.len(), "teacher: as long as student");
    let t = f64::from(temperature);
    let mut total = 0.0;
    for ((student, teacher), gradient) in student
        .chunks_exact(classes)
        .zip(teacher.chunks_exact(classes))
        .zip(gradient.chunks_exact_mut(classes))
    {
        let (student_normaliser, teacher_normaliser) = (log_sum_exp(student, t), log_sum_exp(teacher, t));
        for ((student, teacher), gradient) in student.iter().zip(teacher).zip(gradient) {
            let log_q = f64::from(*student) / t - student_normaliser;
            let log_p = f64::from(*teacher) / t - teacher_normaliser;
            let p = log_p.exp();
            total += if p > 0.0 { p * (log_p - log_q) } else { 0.0 };
            *gradient = (t * (log_q.exp() - p) / rows as f64) as f32;
        }
    }
    t * t * total / rows as f64
}

/// Classes of `[rows, classes]`.
fn classes(logits: &[f32], rows: usize, gradient: &[f32]) -> usize {
    assert!(rows > 0 && !logits.is_empty() && logits.len().is_multiple_of(rows), "logits: [rows, classes]");
    assert_eq!(logits.len(), gradient.len(), "gradient: as long as the logits");
    logits.len() / rows
}

/// `ln Σ e^(z/T)`, in f64: a thousandth of the time of a step.
fn log_sum_exp(logits: &[f32], temperature: f64) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)) / temperature;
    max + logits.iter().map(|&z| (f64::from(z) / temperature - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::kernel::digital::oracle::{assert_gradient, random, wide};

    fn softmax(z: &[f64], t: f64) -> Vec<f64> {
        let e: Vec<f64> = z.iter().map(|z| (z / t).exp()).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|e| e / sum).collect()
    }

    fn exact_cross_entropy(z: &[f64], labels: &[usize], smoothing: f64) -> f64 {
        let classes = z.len() / labels.len();
        let row = |(z, &label): (&[f64], &usize)| {
            let p = softmax(z, 1.0);
            let uniform = p.iter().map(|p| p.ln()).sum::<f64>() / classes as f64;
            -(1.0 - smoothing) * p[label].ln() - smoothing * uniform
        };
        z.chunks(classes).zip(labels).map(row).sum::<f64>() / labels.len() as f64
    }

    fn exact_distillation(z: &[f64], teacher: &[f64], rows: usize, t: f64) -> f64 {
        let classes = z.len() / rows;
        let row = |(z, teacher): (&[f64], &[f64])| {
            softmax(teacher, t).iter().zip(softmax(z, t)).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
        };
        t * t * z.chunks(classes).zip(teacher.chunks(classes)).map(row).sum::<f64>() / rows as f64
    }

    #[test]
    fn cross_entropy_with_and_without_smoothing_agrees_with_f64() {
        let (logits, labels) = (random(1, 4 * 7), [0, 6, 3, 3]);
        for smoothing in [0.0_f32, 0.1] {
            let mut gradient = vec![0.0; logits.len()];
            let loss = cross_entropy(&logits, &labels, smoothing, &mut gradient).unwrap();
            let exact = |z: &[f64]| exact_cross_entropy(z, &labels, f64::from(smoothing));
            assert!((loss - exact(&wide(&logits))).abs() < 1e-12);
            assert_gradient("gz", &logits, &gradient, exact);
        }
    }

    #[test]
    fn distillation_agrees_with_f64_and_vanishes_for_the_teacher_itself() {
        let (student, teacher) = (random(1, 3 * 5), random(2, 3 * 5));
        for temperature in [1.0_f32, 4.0] {
            let mut gradient = vec![0.0; student.len()];
            let loss = distillation(&student, &teacher, 3, temperature, &mut gradient);
            let exact = |z: &[f64]| exact_distillation(z, &wide(&teacher), 3, f64::from(temperature));
            assert!((loss - exact(&wide(&student))).abs() < 1e-12);
            assert_gradient("gz", &student, &gradient, exact);
            assert_eq!(distillation(&teacher, &teacher, 3, temperature, &mut gradient), 0.0);
            assert_eq!(gradient, vec![0.0; 15]);
        }
    }

    #[test]
    fn logits_far_apart_give_finite_losses() {
        let mut gradient = [0.0; 2];
        let loss = cross_entropy(&[1e4, -1e4], &[1], 0.0, &mut gradient).unwrap();
        assert_eq!((loss, gradient), (2e4, [1.0, -1.0]));
    }

    #[test]
    fn a_label_out_of_range_is_named() {
        let error = cross_entropy(&[0.0; 6], &[1, 3], 0.0, &mut [0.0; 6]).unwrap_err();
        assert_eq!(error, LabelError { row: 1, label: 3, classes: 3 });
        assert_eq!(
            error.to_string(),
            "row 1: label 3, but the network has 3 classes (0 to 2); check the data set or the head"
        );
    }
}
