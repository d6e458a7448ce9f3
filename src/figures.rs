//! Figures for papers and reports, as PNG.
//!
//! Every figure is 1600 pixels wide where its content allows it, and its type is set for a column of 8.5 cm: at that width
//! ticks and legends are 6.6 pt, axis labels and titles 7.5 pt, at 478 dots per inch. Colours are those of Okabe and Ito,
//! told apart by people of any colour vision.
//!
//! Inputs are plain numbers: weights and residuals in units of full scale (1 = full scale), accuracies as fractions.
//! A file is written whole or not at all; when a drawing is refused, what stood at the path stays.

mod accuracy;
mod axes;
mod canvas;
mod convergence;
mod heat_map;
mod histogram;
mod legend;
mod panels;
mod scatter;
mod style;
mod text;
mod watch;
mod wording;

use std::path::Path;

use alora_calibration::{Cell, StoreError, write_atomically};

pub use accuracy::{AccuracyAgainstSigma, AccuracyPoint, AccuracySeries, draw_accuracy_against_sigma};
pub use convergence::{Convergence, LossCurve, draw_convergence};
pub use heat_map::{ResidualMap, draw_residual_map};
pub use histogram::{NormalCurve, ResidualHistogram, draw_residual_histogram};
pub use panels::{Panel, Panels, draw_panels};
pub use scatter::{TargetAgainstMeasured, draw_target_against_measured};
pub use style::{Hue, LineStyle, Marker, SeriesStyle};
pub use watch::{SigmaOverTime, WatchPoint, draw_sigma_over_time};

/// What a figure was measured on; its title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Processor id, network or file name. Too long a name is shortened in the middle.
    pub name: String,
    /// True when no physical processor stands behind the numbers; the title says so.
    pub simulated: bool,
}

/// A standard deviation with its confidence interval, as fractions of its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Estimate.
    pub value: f64,
    /// Bounds of the 95 % confidence interval, where one can be given.
    pub ci95: Option<(f64, f64)>,
}

/// Why a figure was not drawn. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// Nothing to draw.
    #[error("the {figure} has no {what} to draw; give at least one")]
    Empty {
        /// Figure.
        figure: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// Two lists that belong together differ in length.
    #[error("the {figure} has {targets} targets but {measured} measured weights; give one of each per pair")]
    Lengths {
        /// Figure.
        figure: &'static str,
        /// Targets given.
        targets: usize,
        /// Measured weights given.
        measured: usize,
    },
    /// NaN or infinity.
    #[error("the {figure} cannot show {what}: it is {value}; every number must be finite")]
    NotFinite {
        /// Figure.
        figure: &'static str,
        /// Which number.
        what: String,
        /// What was found.
        value: f64,
    },
    /// A number outside its range.
    #[error("the {figure} cannot show {what}: it is {value}, expected {expected}")]
    OutOfRange {
        /// Figure.
        figure: &'static str,
        /// Which number.
        what: String,
        /// What was found.
        value: f64,
        /// Allowed range.
        expected: &'static str,
    },
    /// A defect that is not on the array.
    #[error(
        "the defect at {cell} lies outside the residual map of {rows} × {cols} cells; check the list of defects"
    )]
    DefectOutside {
        /// Where.
        cell: Cell,
        /// Rows of the map.
        rows: usize,
        /// Columns of the map.
        cols: usize,
    },
    /// The built-in font is damaged.
    #[error("the built-in font cannot be read; this build of alora is broken, install it again")]
    Font(#[from] ab_glyph::InvalidFont),
    /// The rasteriser failed.
    #[error("the figure cannot be drawn")]
    Raster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The image cannot be encoded.
    #[error("the figure cannot be encoded as PNG")]
    Encode(#[from] png::EncodingError),
    /// The file cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses NaN and infinity; `what` names the number.
fn finite(figure: &'static str, value: f64, what: impl FnOnce() -> String) -> Result<(), FigureError> {
    if value.is_finite() { Ok(()) } else { Err(FigureError::NotFinite { figure, what: what(), value }) }
}

/// Refuses NaN, infinity and what is below zero.
fn not_negative(figure: &'static str, value: f64, what: &str) -> Result<(), FigureError> {
    finite(figure, value, || what.to_owned())?;
    if value >= 0.0 {
        return Ok(());
    }
    Err(FigureError::OutOfRange { figure, what: what.to_owned(), value, expected: "zero or more" })
}

/// Checks a standard deviation and its bounds.
fn check_spread(figure: &'static str, spread: Option<Spread>) -> Result<(), FigureError> {
    let Some(Spread { value, ci95 }) = spread else { return Ok(()) };
    not_negative(figure, value, "σ")?;
    let Some((low, high)) = ci95 else { return Ok(()) };
    not_negative(figure, low, "the lower bound of σ")?;
    not_negative(figure, high, "the upper bound of σ")
}

/// Encodes the canvas in memory, then writes it, so that a failure leaves what was there.
fn save(path: &Path, canvas: canvas::Canvas) -> Result<(), FigureError> {
    let png = canvas.into_png()?;
    write_atomically(path, |writer| std::io::Write::write_all(writer, &png))?;
    Ok(())
}
