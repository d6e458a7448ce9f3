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
    let (Some(u), s, Some(vh)) = weights.svddc(JobSvd::All).ok()? else { return None };
    if !s.iter().all(|value| value.is_finite()) {
        return None;
    }
    let scale = s.iter().copied().fold(0.0, f64::max);
    let relative = |value: &f64| if scale > 0.0 { (value / scale).clamp(0.0, 1.0) } else { 0.0 };
    Some(Factorised {
        scale,
        u: decompose(complex(&u).view()),
        transmissions: s.iter().map(relative).collect(),
        vh: decompose(complex(&vh).view()),
    })
}

fn complex(real: &Array2<f64>) -> Array2<Complex64> {
    real.mapv(|value| Complex64::new(value, 0.0))
}
