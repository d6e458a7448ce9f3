//! What was written and measured, as files: `deployment.toml` for people, `deployment.npz` for arrays.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use alora_calibration::{Provenance, StoreError, read_toml, write_atomically, write_toml};
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis, aview1, stack};
use ndarray_npy::{NpzReader, NpzWriter};
use serde::{Deserialize, Serialize};

use super::{OnChipOutcome, PlannedLayer, TileOutcome, VerificationLimits};
use crate::photonic::{ConverterPrecision, ScaledTile, TileShape, WeightScaling};

/// What was written and measured for one layer.
#[derive(Clone, Debug)]
pub struct LayerRecord {
    /// Name.
    pub name: String,
    /// Weights asked for, tile by tile, `rows × cols`, full scale = 1.
    pub targets: Vec<Array2<f64>>,
    /// What became of each tile.
    pub tiles: Vec<TileOutcome>,
}

impl LayerRecord {
    pub(super) fn begin(layer: &PlannedLayer) -> Self {
        Self { name: layer.name.clone(), targets: Vec::new(), tiles: Vec::new() }
    }

    pub(super) fn push(&mut self, tile: &ScaledTile, written: TileOutcome) {
        self.targets.push(tile.quantised.clone());
        self.tiles.push(written);
    }

    /// The layer in numbers.
    #[must_use]
    pub fn summary(&self) -> LayerSummary {
        let rms = |tile: &TileOutcome| tile.residual_rms * tile.residual_rms;
        LayerSummary {
            name: self.name.clone(),
            tiles: self.tiles.len(),
            verified: self.tiles.iter().filter(|tile| tile.verified).count(),
            worst_residual: self.tiles.iter().map(|tile| tile.worst_residual).fold(0.0, f64::max),
            residual_rms: (self.tiles.iter().map(rms).sum::<f64>() / self.tiles.len().max(1) as f64).sqrt(),
            unreachable: self.tiles.iter().map(|tile| tile.unreachable).sum(),
        }
    }
}

/// One layer of a deployment in numbers. Residuals are measured − target, full scale = 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSummary {
    /// Name.
    pub name: String,
    /// Tiles written.
    pub tiles: usize,
    /// Tiles whose codes were read back equal and whose residuals are within the limit.
    pub verified: usize,
    /// Largest |residual|.
    pub worst_residual: f64,
    /// rms residual over all tiles, padding included.
    pub residual_rms: f64,
    /// Weights that the chip cannot reach.
    pub unreachable: usize,
}

/// A deployment: what was asked, written and measured. Arrays are in the `.npz` beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentRecord {
    /// [`DeploymentRecord::SCHEMA`].
    pub schema: String,
    /// How layers were scaled onto the processor.
    pub scaling: WeightScaling,
    /// Rows of a tile.
    pub tile_rows: usize,
    /// Columns of a tile.
    pub tile_cols: usize,
    /// Origin.
    pub provenance: Provenance,
    /// Bits of weights, inputs and outputs.
    pub precision: ConverterPrecision,
    /// Limits of verification.
    pub limits: VerificationLimits,
    /// Layers in the order of the network.
    pub layers: Vec<LayerSummary>,
}

impl DeploymentRecord {
    /// Version of the file format.
    pub const SCHEMA: &'static str = "alora.deployment/1";

    /// Describes `outcome`.
    #[must_use]
    pub fn of(
        outcome: &OnChipOutcome,
        scaling: WeightScaling,
        tile: TileShape,
        precision: ConverterPrecision,
        limits: VerificationLimits,
        provenance: Provenance,
    ) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            scaling,
            tile_rows: tile.rows(),
            tile_cols: tile.cols(),
            provenance,
            precision,
            limits,
            layers: outcome.layers.iter().map(LayerRecord::summary).collect(),
        }
    }

    /// Tiles of all layers.
    #[must_use]
    pub fn tiles(&self) -> usize {
        self.layers.iter().map(|layer| layer.tiles).sum()
    }

    /// Tiles verified.
    #[must_use]
    pub fn verified(&self) -> usize {
        self.layers.iter().map(|layer| layer.verified).sum()
    }

    /// Largest |measured − target| of all layers, full scale = 1.
    #[must_use]
    pub fn worst_residual(&self) -> f64 {
        self.layers.iter().map(|layer| layer.worst_residual).fold(0.0, f64::max)
    }

    /// Writes the arrays of `layers` to `path` with the ending `.npz`, then this description to `path` (`.toml`).
    ///
    /// For each layer: `NAME.target` and `NAME.measured`, `[tiles, rows, cols]`, and `NAME.codes`,
    /// `[tiles, actuators]`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(&self, path: &Path, layers: &[LayerRecord]) -> Result<(), StoreError> {
        write_atomically(&path.with_extension("npz"), |writer| {
            let mut arrays = Vec::new();
            write_arrays(&mut arrays, layers)?;
            writer.write_all(&arrays)
        })?;
        write_toml(path, self)
    }

    /// Reads a description, and of each layer the targets, `[tiles, rows, cols]`, and codes, `[tiles, actuators]`.
    ///
    /// # Errors
    /// A missing or malformed file, another schema, or arrays that do not fit the description.
    pub fn read(path: &Path) -> Result<(Self, Vec<StoredLayer>), StoreError> {
        let record: Self = read_toml(path, Self::SCHEMA)?;
        let arrays = path.with_extension("npz");
        let file = File::open(&arrays).map_err(|source| StoreError::Read { path: arrays.clone(), source })?;
        let malformed = |reason: String| StoreError::Malformed { path: arrays.clone(), reason };
        let unreadable = |what: String| {
            malformed(format!("{what}; the file is damaged or of another deployment, deploy again"))
        };
        let mut npz = NpzReader::new(file).map_err(|error| unreadable(error.to_string()))?;
        let mut layers = Vec::new();
        for summary in &record.layers {
            let name = &summary.name;
            let targets: Array3<f64> = npz
                .by_name(&format!("{name}.target"))
                .map_err(|error| unreadable(format!("{name}.target: {error}")))?;
            let codes: Array2<u16> = npz
                .by_name(&format!("{name}.codes"))
                .map_err(|error| unreadable(format!("{name}.codes: {error}")))?;
            let expected = (summary.tiles, record.tile_rows, record.tile_cols);
            if targets.dim() != expected || codes.nrows() != summary.tiles {
                return Err(malformed(format!(
                    "{name}.target is {:?} with {} rows of codes, the description says {expected:?}; \
                     the two files are not of one deployment",
                    targets.dim(),
                    codes.nrows()
                )));
            }
            layers.push(StoredLayer { name: name.clone(), targets, codes });
        }
        Ok((record, layers))
    }
}

/// One layer of a deployment, read from its file.
#[derive(Clone, Debug)]
pub struct StoredLayer {
    /// Name.
    pub name: String,
    /// Weights asked for, `[tiles, rows, cols]`, full scale = 1.
    pub targets: Array3<f64>,
    /// Codes that the device held, `[tiles, actuators]`.
    pub codes: Array2<u16>,
}

fn write_arrays(bytes: &mut Vec<u8>, layers: &[LayerRecord]) -> io::Result<()> {
    let mut npz = NpzWriter::new(io::Cursor::new(bytes));
    for layer in layers {
        let name = &layer.name;
        let targets: Vec<ArrayView2<'_, f64>> = layer.targets.iter().map(|target| target.view()).collect();
        let measured: Vec<ArrayView2<'_, f64>> =
            layer.tiles.iter().map(|tile| tile.measured.view()).collect();
        let codes: Vec<ArrayView1<'_, u16>> = layer.tiles.iter().map(|tile| aview1(&tile.codes)).collect();
        npz.add_array(format!("{name}.target"), &stack(Axis(0), &targets).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        npz.add_array(format!("{name}.measured"), &stack(Axis(0), &measured).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        npz.add_array(format!("{name}.codes"), &stack(Axis(0), &codes).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
    }
    npz.finish().map_err(io::Error::other)?;
    Ok(())
}
