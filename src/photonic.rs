//! The arithmetic of a photonic matrix–vector product, without a device: converters, tiles, scales.
//!
//! Fine-tuning and deployment share it, so that what was trained is what is written. A layer `W`, `[out, in]`, is
//! cut into tiles of the processor's shape ([`Tiling`]), each output row of each tile is divided by its full scale
//! ([`WeightScaling`]) and rounded to the codes of the weight converter ([`Quantiser`]); the outputs of the tile are
//! multiplied by the same full scale and summed digitally.

mod chip;
mod converter;
mod program;
mod scaled;
mod scaling;
mod tiling;
mod vanished;

pub use chip::{ChipError, ChipModel, Equalise, ErrorReference, Mapping, RangeKind, Sampling, TileChoice};
pub use converter::{Bits, BitsError, ConverterPrecision, Quantiser};
pub(crate) use program::{Draw, programmed};
pub use scaled::{ScaledTile, ScaledTiles};
pub use scaling::{WeightScaling, full_scales};
pub use tiling::{Tile, TileShape, Tiling, TilingError};
pub use vanished::{VanishedDeltas, vanished_deltas};
