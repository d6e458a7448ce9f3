//! Linear solver of the common fit.

const SOLVER_STEPS: usize = 60;
/// Share of the initial squared residual at which the solver stops: a round need not be solved better than its
/// linearisation holds.
const SOLVER_GOAL: f64 = 1e-4;

/// Preconditioned conjugate gradients for a positive definite map, at most [`SOLVER_STEPS`] steps.
pub(super) fn conjugate_gradients(
    apply: impl Fn(&[f64]) -> Vec<f64>,
    rhs: &[f64],
    precondition: &[f64],
) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut x = vec![0.0; rhs.len()];
    let mut r = rhs.to_vec();
    let mut z: Vec<f64> = r.iter().zip(precondition).map(|(r, d)| r / d).collect();
    let mut p = z.clone();
    let mut rz = dot(&r, &z);
    let goal = SOLVER_GOAL * rz;
    for _ in 0..SOLVER_STEPS {
        if rz <= goal || rz == 0.0 {
            break;
        }
        let image = apply(&p);
        let alpha = rz / dot(&p, &image);
        x.iter_mut().zip(&p).for_each(|(x, p)| *x += alpha * p);
        r.iter_mut().zip(&image).for_each(|(r, image)| *r -= alpha * image);
        z.iter_mut().zip(&r).zip(precondition).for_each(|((z, r), d)| *z = r / d);
        let next = dot(&r, &z);
        let beta = next / rz;
        p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + beta * *p);
        rz = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved() {
        let apply = |x: &[f64]| vec![4.0 * x[0] + x[1], x[0] + 3.0 * x[1]];
        let x = conjugate_gradients(apply, &[1.0, 2.0], &[4.0, 3.0]);
        assert!((x[0] - 1.0 / 11.0).abs() < 1e-9 && (x[1] - 7.0 / 11.0).abs() < 1e-9);
    }
}
