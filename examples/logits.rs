//! Logits of a network for images of one's own, in digital arithmetic.
//!
//! ```text
//! cargo run --release --example logits -- MODEL IMAGES.safetensors LOGITS.safetensors [ADAPTERS]
//! ```
//!
//! MODEL is what `model.weights` of a run configuration takes: a folder of Hugging Face, or safetensors. IMAGES holds
//! `pixel_values`, `[n, channels, height, width]` in F32, as the network takes them (resized and normalised). ADAPTERS, if given, run
//! beside the network: a PEFT folder, or safetensors. LOGITS gets the same `pixel_values` and `logits`, `[n, classes]`.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path, sync::Arc};

use alora::{
    finetune::{AdapterUse, Subject, logits},
    model::{ImportOptions, read_adapters, read_model},
};
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

const USAGE: &str = "usage: logits MODEL IMAGES.safetensors LOGITS.safetensors [ADAPTERS]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (model, images, output, adapters) = match &arguments[..] {
        [model, images, output] => (model, images, output, None),
        [model, images, output, adapters] => (model, images, output, Some(adapters)),
        _ => return Err(USAGE.into()),
    };
    let model = Arc::new(read_model(Path::new(model), &ImportOptions::default())?.model);
    let adapters = adapters.map(|path| read_adapters(Path::new(path), model.architecture())).transpose()?;
    let adapter_use = adapters.as_ref().map_or(AdapterUse::None, AdapterUse::Parallel);

    let bytes = fs::read(images)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let pixels = tensors.tensor("pixel_values")?;
    let logits = logits(&Subject::new(model, adapter_use), matrix(&pixels)?, None, 0)?;

    let shape = logits.shape().to_vec();
    let values: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    let found = TensorView::new(Dtype::F32, shape, &values)?;
    let written = BTreeMap::from([("pixel_values", pixels), ("logits", found)]);
    Ok(safetensors::serialize_to_file(written, None, Path::new(output))?)
}

/// `pixel_values` as a matrix, a row an image.
fn matrix(pixels: &TensorView<'_>) -> Result<Array2<f32>, Box<dyn Error>> {
    let (&[images, ref image @ ..], Dtype::F32) = (pixels.shape(), pixels.dtype()) else {
        return Err("`pixel_values` must be F32, `[n, channels, height, width]`".into());
    };
    let (values, _) = pixels.data().as_chunks();
    let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Ok(Array2::from_shape_vec((images, image.iter().product()), values)?)
}
