//! The digital twin: a model of the whole chip, with everything that a characterisation can learn of it.
//!
//! Raw fields of shot `s`, with `x` the amplitudes sent, `ψ_s` the phase of the local oscillator, `∘` element by element:
//!
//! ```text
//! s_k = (1 + ρ_k) u_k                                u_k = π (V / Vπ)², the data sheet's law
//! d_k = s_k (1 + q_k s_k / π)                        phase by the shifter's own heater
//! φ_k = φ0_k + d_k + Σ_j X_kj d_j                     heat of the neighbours
//! z   = C(φ; α, β, l) (g_in ∘ x)                      meshes and attenuators with their splitters and losses
//! w   = e^{iψ_s} g_out ∘ z
//! y   = Re w + i ((1 + a) Im w + b Re w) + o          hybrids out of balance, offsets
//! ```
//!
//! Interferometers as in [`crate::mesh::Mzi::matrix`]; the edge waveguides of a mesh pass by without loss.

mod curvature;
mod fit;
mod gauge;
mod layout;
mod optics;
mod parameters;
mod preconditioner;
mod setting;
mod uncertainty;

pub(super) use curvature::Curvature;
pub(super) use fit::{Fit, Fitted, Prior};
pub(super) use gauge::Gauge;
pub(super) use layout::{Layout, Ring};
pub(super) use optics::{Chip, Fields, Part, Ways};
pub(super) use parameters::Twin;
pub(super) use setting::{Noise, Setting};
