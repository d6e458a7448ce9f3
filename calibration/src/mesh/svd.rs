//! Any real matrix between two meshes.

use ndarray::{Array2, ArrayView2};
use ndarray_linalg::{JobSvd, SVDDC};
use num_complex::Complex64;

use super::clements::{MeshSettings, decompose};

/// `W = scale · U diag(s) Vᴴ` as settings of two meshes and of the attenuators between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Factorised {
    /// Largest singular value of `W`; what a passive mesh cannot carry and the digital side must.
    pub scale: f64,
    /// Settings of the mesh that realises `U`.
    pub u: MeshSettings,
    /// Amplitude transmission of each attenuator, `s / scale`, in `[0, 1]`.
    pub transmissions: Vec<f64>,
    /// Settings of the mesh that realises `Vᴴ`; its output phases are to be added by the attenuators.
    pub vh: MeshSettings,
}

/// Singular value decomposition (LAPACK `gesdd`) of a square real matrix, then a Clements decomposition of each
/// side. A zero matrix has scale 0 and closed attenuators. `None` when LAPACK does not converge.
#[must_use]
pub fn factorise(weights: ArrayView2<'_, f64>) -> Option<Factorised> {
    Some(SingularValues::of(weights)?.factorised())
}

/// `W = U diag(s) Vᴴ` before the meshes: singular values may sit at any attenuator, and each pair of vectors has a sign of its
/// own.
#[derive(Clone, Debug)]
pub(crate) struct SingularValues {
    u: Array2<f64>,
    s: Vec<f64>,
    vh: Array2<f64>,
}

impl SingularValues {
    /// `None` when LAPACK does not converge.
    pub(crate) fn of(weights: ArrayView2<'_, f64>) -> Option<Self> {
        let (Some(u), s, Some(vh)) = weights.svddc(JobSvd::All).ok()? else { return None };
        s.iter().all(|value| value.is_finite()).then(|| Self { u, s: s.to_vec(), vh })
    }

    pub(crate) fn len(&self) -> usize {
        self.s.len()
    }

    pub(crate) fn largest(&self) -> f64 {
        self.s.iter().copied().fold(0.0, f64::max)
    }

    /// The same matrix with value `order[k]` at attenuator `k`, its vectors times `signs[k]`.
    pub(crate) fn arranged(&self, order: &[usize], signs: &[f64]) -> Self {
        let mut arranged = self.clone();
        for (k, (&from, &sign)) in order.iter().zip(signs).enumerate() {
            arranged.s[k] = self.s[from];
            arranged.u.column_mut(k).assign(&(&self.u.column(from) * sign));
            arranged.vh.row_mut(k).assign(&(&self.vh.row(from) * sign));
        }
        arranged
    }

    pub(crate) fn factorised(&self) -> Factorised {
        let scale = self.largest();
        let relative = |value: &f64| if scale > 0.0 { (value / scale).clamp(0.0, 1.0) } else { 0.0 };
        Factorised {
            scale,
            u: decompose(complex(&self.u).view()),
            transmissions: self.s.iter().map(relative).collect(),
            vh: decompose(complex(&self.vh).view()),
        }
    }
}

fn complex(real: &Array2<f64>) -> Array2<Complex64> {
    real.mapv(|value| Complex64::new(value, 0.0))
}
