//! The chip as a network sees it: tiles, converters and their ranges, error.

use alora_calibration::ErrorLaw;
use serde::{Deserialize, Serialize};

use super::{ConverterPrecision, TileShape, WeightScaling};

/// When the analog error δW is drawn anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampling {
    /// For each vector (Taniguchi et al., OECC/PSC 2025).
    #[default]
    PerExecution,
    /// For each batch: one δW for all of its vectors.
    PerStep,
    /// Once in the life of a chip: what a programming error is until the next programming.
    Frozen {
        /// Which chip.
        chip_seed: u64,
    },
    /// Never: the measured error of each element of one chip.
    Map,
}

/// What the σ of an error law is relative to.
///
/// The error of a chip is fixed relative to the **chip's** full scale, whatever is laid onto it ([`Self::FullScale`]).
/// Peers state σ otherwise; the others let their numbers be used as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorReference {
    /// The chip's full scale: what [`WeightScaling`] maps to 1.
    #[default]
    FullScale,
    /// `max|W|` of the layer.
    Matrix,
    /// `max|W|` of each tile.
    Tile,
    /// `max|W|` of each output row.
    Row,
    /// Root mean square of the layer's weights.
    Rms,
}

/// Where the range of an input or output converter comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeKind {
    /// The dynamic range of each MVM: one vector, one tile (Taniguchi et al., OECC/PSC 2025).
    #[default]
    Vector,
    /// The dynamic range of all vectors of a batch.
    Batch,
    /// Fixed, from a few batches before training.
    Static,
    /// Fixed while running, trained with the adapters. For input converters.
    Learned,
}

/// What a layer is cut into when it is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TileChoice {
    /// Tiles of the processor's shape.
    #[default]
    Processor,
    /// One tile as large as the layer, as if the processor held it whole.
    Layer,
}

/// How a layer is laid onto the chip: each its own switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// What a layer is cut into when it is simulated.
    pub tile: TileChoice,
    /// What one scale covers: the whole `matrix` (as in the paper), a `tile`, or an output `row`.
    pub scaling: WeightScaling,
    /// Outlier channels evened out before scaling.
    pub equalise: Equalise,
    /// Weights are clipped at so many times the rms of what shares their scale; 0 for no clipping.
    pub clip_rms: f32,
    /// Range of the input converter.
    pub input_range: RangeKind,
    /// Range of the output converter; `learned` is not offered.
    pub output_range: RangeKind,
}

/// How far outlier channels are evened out: input columns are divided and what feeds them multiplied, so that the function of
/// the network stays (Xiao et al., "SmoothQuant", arXiv 2211.10438).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equalise {
    /// Not at all.
    #[default]
    None,
    /// Where the factor folds into the preceding norm or layer at no cost.
    Folded,
    /// Everywhere: where nothing can take the factor (behind a GELU), inputs are multiplied digitally.
    All,
}

/// Everything that stands between a layer's weights and the product that the chip computes.
#[derive(Clone, Debug, PartialEq)]
pub struct ChipModel {
    /// Weights held at once; `None` for a processor as large as the layer.
    pub tile: Option<TileShape>,
    /// How a layer is laid onto the chip.
    pub mapping: Mapping,
    /// Converters; `None` for ideal ones.
    pub precision: Option<ConverterPrecision>,
    /// Law of δW in units of `reference`; `None` for no error.
    pub error: Option<ErrorLaw>,
    /// What the law is relative to.
    pub reference: ErrorReference,
    /// When δW is drawn anew.
    pub sampling: Sampling,
}

/// A chip that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChipError {
    /// An empirical law drawn anew for each vector.
    #[error(
        "an empirical error law cannot be drawn per execution (the equivalent on the outputs is exact only for normal laws); ask for `per_step` or `frozen`"
    )]
    EmpiricalPerExecution,
    /// An empirical law without residuals.
    #[error("the empirical error law holds no residuals; fit it again")]
    NoResiduals,
    /// A measured map under another sampling, or another law under `map`.
    #[error(
        "the error law is {law}, the sampling {sampling}; a measured map goes with the sampling `map`, and only with it"
    )]
    MapSampling {
        /// Law.
        law: &'static str,
        /// Sampling.
        sampling: &'static str,
    },
    /// A map of another processor.
    #[error(
        "the measured map is {rows} × {cols}, the tiles are {tile}; measure the processor that will be used"
    )]
    MapShape {
        /// Rows of the map.
        rows: usize,
        /// Columns of the map.
        cols: usize,
        /// Tiles.
        tile: String,
    },
    /// A law that depends on the weight in units of the chip's full scale, with another reference.
    #[error(
        "an error law that is not Gaussian is in units of the chip's full scale; leave `error_model.reference` at `full_scale`"
    )]
    LawReference,
    /// Trained ranges of output converters.
    #[error("`mapping.output_range` cannot be `learned`; choose `vector`, `batch` or `static`")]
    LearnedOutput,
}

impl ChipModel {
    /// An ideal chip: no tiles, no converters, no error.
    #[must_use]
    pub fn ideal() -> Self {
        Self {
            tile: None,
            mapping: Mapping::default(),
            precision: None,
            error: None,
            reference: ErrorReference::FullScale,
            sampling: Sampling::PerExecution,
        }
    }

    /// The shape of a tile of a layer of `outputs × inputs`.
    #[must_use]
    pub(crate) fn tile_of(&self, outputs: usize, inputs: usize) -> TileShape {
        let whole = TileShape::at_least_one(outputs, inputs);
        self.tile.unwrap_or(whole)
    }

    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// An empirical law with [`Sampling::PerExecution`] or without residuals; a map with another sampling or for other tiles; a
    /// reference that does not go with the law; learned output ranges.
    pub fn check(&self) -> Result<(), ChipError> {
        if self.mapping.output_range == RangeKind::Learned {
            return Err(ChipError::LearnedOutput);
        }
        let Some(law) = &self.error else { return Ok(()) };
        let gaussian = matches!(law, ErrorLaw::Gaussian { .. });
        if !gaussian && self.reference != ErrorReference::FullScale {
            return Err(ChipError::LawReference);
        }
        match (law, self.sampling) {
            (ErrorLaw::Map { rows, cols, .. }, Sampling::Map) => self.check_map(*rows, *cols),
            (ErrorLaw::Map { .. }, sampling) => {
                Err(ChipError::MapSampling { law: "a measured map", sampling: name(sampling) })
            }
            (_, Sampling::Map) => Err(ChipError::MapSampling { law: "no map", sampling: "map" }),
            (ErrorLaw::Empirical { .. }, Sampling::PerExecution) => Err(ChipError::EmpiricalPerExecution),
            (ErrorLaw::Empirical { residuals }, _) if residuals.is_empty() => Err(ChipError::NoResiduals),
            _ => Ok(()),
        }
    }

    fn check_map(&self, rows: usize, cols: usize) -> Result<(), ChipError> {
        match self.tile {
            Some(tile) if (tile.rows(), tile.cols()) == (rows, cols) => Ok(()),
            Some(tile) => {
                Err(ChipError::MapShape { rows, cols, tile: format!("{} × {}", tile.rows(), tile.cols()) })
            }
            None => Err(ChipError::MapShape { rows, cols, tile: "as large as each layer".to_owned() }),
        }
    }
}

fn name(sampling: Sampling) -> &'static str {
    match sampling {
        Sampling::PerExecution => "per_execution",
        Sampling::PerStep => "per_step",
        Sampling::Frozen { .. } => "frozen",
        Sampling::Map => "map",
    }
}
