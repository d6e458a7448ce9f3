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

impl Settings {
    fn chip(&self) -> Result<ChipModel, Box<dyn Error>> {
        let [rows, cols] = self.product.tile;
        let sigma = self.product.sigma;
        Ok(ChipModel {
            tile: Some(TileShape::new(rows, cols)?),
            mapping: self.mapping,
            precision: Some(self.precision),
            error: (sigma > 0.0).then_some(ErrorLaw::Gaussian { sigma }),
            reference: ErrorReference::FullScale,
            sampling: self.product.sampling,
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [settings, input, output] = &arguments[..] else {
        return Err("usage: photonic_product SETTINGS.toml INPUT.npz OUTPUT.npz".into());
    };
    let settings: Settings = toml::from_str(&fs::read_to_string(settings)?)?;
    let mut arrays = NpzReader::new(File::open(input)?)?;
    let (weight, x): (Array2<f32>, Array2<f32>) = (arrays.by_name("weight")?, arrays.by_name("x")?);
    let y = products(&settings, &weight, &x)?;
    let mut arrays = NpzWriter::new(File::create(output)?);
    arrays.add_array("y", &y)?;
    arrays.add_array("represented", &represented(&settings, &weight)?)?;
    arrays.finish()?;
    Ok(())
}

/// `[draws, rows, out]`.
fn products(
    settings: &Settings,
    weight: &Array2<f32>,
    x: &Array2<f32>,
) -> Result<Array3<f32>, Box<dyn Error>> {
    let layer = PhotonicLinear::new(weight.view(), None, &settings.chip()?, 0)?;
    let Product { draws, seed, .. } = settings.product;
    let (rows, cols) = x.dim();
    let x = TensorData::new(x.iter().copied().collect(), [rows, cols]);
    let x = Tensor::<2>::from_data(x, &Device::flex());
    let mut y = Vec::new();
    for draw in 0..draws {
        let outputs = layer.forward(x.clone(), seed + draw).into_data();
        y.extend(outputs.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?);
    }
    Ok(Array3::from_shape_vec((usize::try_from(draws)?, rows, weight.nrows()), y)?)
}

/// `[out, in]`.
fn represented(settings: &Settings, weight: &Array2<f32>) -> Result<Array2<f64>, Box<dyn Error>> {
    let [rows, cols] = settings.product.tile;
    let (scaling, bits) = (settings.mapping.scaling, settings.precision.weight_bits);
    Ok(ScaledTiles::new(weight.view(), scaling, TileShape::new(rows, cols)?, bits)?.represented())
}
