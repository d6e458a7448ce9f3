//! What a simulated chip computes for a layer and inputs of one's own, many times.
//!
//! ```text
//! cargo run --release --example photonic_product -- SETTINGS.toml INPUT.npz OUTPUT.npz
//! ```
//!
//! SETTINGS has the sections `[precision]` and `[mapping]` of a run configuration, and [`Product`]'s keys. INPUT holds `weight`,
//! `[out, in]`, and `x`, `[rows, in]`, in float32. OUTPUT gets
//!
//! * `y`, `[draws, rows, out]`: the product for the seeds `seed`, `seed + 1`, …
//! * `represented`, `[out, in]`: the weights as the weight converter holds them, in units of `weight`.

use std::{env, error::Error, fs, fs::File};

use alora::{
    network::PhotonicLinear,
    photonic::{ChipModel, ConverterPrecision, ErrorReference, Mapping, Sampling, ScaledTiles, TileShape},
};
use alora_calibration::ErrorLaw;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3};
use ndarray_npy::{NpzReader, NpzWriter};
use serde::Deserialize;

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    precision: ConverterPrecision,
    mapping: Mapping,
    product: Product,
}

/// What is asked of the chip beside its converters and mapping.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Product {
    /// Rows and columns of the chip.
    tile: [usize; 2],
    /// Standard deviation of δW, full scale = 1.
    sigma: f64,
    /// When δW is drawn anew.
    sampling: Sampling,
    /// Times that the product is computed.
    draws: u64,
    /// Seed of the first.
    seed: u64,
}

impl Default for Product {
    fn default() -> Self {
        Self { tile: [16, 16], sigma: 0.0, sampling: Sampling::default(), draws: 1, seed: 0 }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [settings, input, output] = &arguments[..] else {
        return Err("usage: photonic_product SETTINGS.toml INPUT.npz OUTPUT.npz".into());
    };
    let settings: Settings = toml::from_str(&fs::read_to_string(settings)?)?;
    let mut arrays = NpzReader::new(File::open(input)?)?;
    let weight: Array2<f32> = arrays.by_name("weight")?;
    let x: Array2<f32> = arrays.by_name("x")?;
    let Settings { precision, mapping, product: Product { tile: [rows, cols], sigma, sampling, draws, seed } } =
        settings;
    let tile = TileShape::new(rows, cols)?;
    let chip = ChipModel {
        tile: Some(tile),
        mapping,
        precision: Some(precision),
        error: (sigma > 0.0).then_some(ErrorLaw::Gaussian { sigma }),
        reference: ErrorReference::FullScale,
        sampling,
    };
    let tiles = ScaledTiles::new(weight.view(), mapping.scaling, tile, precision.weight_bits)?;
    let layer = PhotonicLinear::new(weight.view(), None, &chip, 0)?;
    let shape = x.dim();
    let x = Tensor::<2>::from_data(
        TensorData::new(x.iter().copied().collect(), [shape.0, shape.1]),
        &Device::flex(),
    );
    let mut y = Vec::new();
    for draw in 0..draws {
        let outputs = layer.forward(x.clone(), seed + draw).into_data();
        y.extend(outputs.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?);
    }
    let y = Array3::from_shape_vec((usize::try_from(draws)?, shape.0, weight.nrows()), y)?;
    let mut arrays = NpzWriter::new(File::create(output)?);
    arrays.add_array("y", &y)?;
    arrays.add_array("represented", &tiles.represented())?;
    arrays.finish()?;
    Ok(())
}
