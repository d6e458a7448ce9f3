//! Why a first calibration of a coherent processor stops.

/// A processor that cannot be calibrated as it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CoherentError {
    /// No output sees light.
    #[error(
        "no output sees any light with all inputs on; check the laser, the input fibre and the modulators' bias"
    )]
    NoLight,
    /// One output sees no light while the others do.
    #[error(
        "output {output} sees {percent:.1} % of the light of the others, at {settings} settings of the mesh; its detector or its fibre is dead. Check it, or use a processor without it"
    )]
    DeadOutput {
        /// Output, counted from 0.
        output: usize,
        /// Its share of the median root mean square, in percent.
        percent: f64,
        /// Settings tried.
        settings: usize,
    },
    /// A layout that this family does not have.
    #[error(
        "the processor says it is coherent, but its actuators are laid out as a weight bank; the driver's descriptor must say `clements_svd`"
    )]
    Layout,
    /// The model does not describe the chip.
    #[error(
        "after {rounds} rounds the fitted model still misses the measured fields by {percent:.0} % of their size; the chip is too far from its data sheet for this calibration. Check Vπ and V_max in the data sheet"
    )]
    NotConverged {
        /// Rounds of the fit.
        rounds: usize,
        /// Residual over root mean square of the fields, in percent.
        percent: f64,
    },
}
