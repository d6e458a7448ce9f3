//! Data, pre-trained network, ALoRA.

use std::time::Instant;

use alora_calibration::{ErrorModel, Event, Provenance};
use alora_drivers::Descriptor;

use super::{Context, ParameterReport, Purpose, fit::subject};
use crate::{
    config::Config,
    dataset::{Mnist, bundled_mnist, read_mnist},
    error::Error,
    figures::{Convergence, LossCurve, SeriesStyle, draw_convergence},
    finetune::{Conditions, FinetuneOutcome, evaluate, finetune, pretrain},
    model::Mlp,
    photonic::TileShape,
};

/// A pre-trained network and its adaptation.
pub struct Trained {
    /// The network before.
    pub base: Mlp,
    /// Adapters and merged weights.
    pub outcome: FinetuneOutcome,
    /// Share of test images that the base classifies right in f32.
    pub digital: f64,
    /// Size of the network and of what was trained.
    pub parameters: ParameterReport,
    /// Seconds that fine-tuning took.
    pub seconds: f64,
}

/// The images of `config`: from its folder, or the bundled subset.
///
/// # Errors
/// A missing, damaged or mismatched file.
pub fn load_data(config: &Config) -> Result<Mnist, Error> {
    let mut data = match &config.data.path {
        Some(folder) => read_mnist(folder)?,
        None => bundled_mnist()?,
    };
    data.train = data.train.first(config.data.train_limit);
    data.test = data.test.first(config.data.test_limit);
    Ok(data)
}

/// Pre-trains (or reads) the network and fine-tunes it against `error` for the processor that `descriptor` describes.
///
/// Writes `base.safetensors`, `merged.safetensors`, `adapters.safetensors` (where adapters were trained) and
/// `convergence.png`.
///
/// # Errors
/// Weights that do not fit the data, training that diverges, or a folder that cannot be written.
pub fn train(
    context: &mut Context<'_>,
    data: &Mnist,
    error: &ErrorModel,
    descriptor: &Descriptor,
) -> Result<Trained, Error> {
    let base = base_network(context, data)?;
    let digital = evaluate(&base, &data.test, &Conditions::default())?.fraction();
    let accuracy = format!("digital accuracy {:.2} % on {} test images", 100.0 * digital, data.test.len());
    context.observer.on(Event::Note(accuracy));
    context.go_on()?;

    let provenance = Provenance {
        created: context.created.clone(),
        seed: context.config.seed,
        ..error.provenance.clone()
    };
    base.write(&context.folder.file("base", "base.safetensors"), &provenance)?;
    let config = context.config.finetune_config(context.seed(Purpose::Finetune));
    let started = Instant::now();
    let outcome = finetune(&base, &data.train, &config, tile_of(descriptor)?, error, &mut *context.observer)?;
    let seconds = started.elapsed().as_secs_f64();
    let merged = context.folder.file("merged", "merged.safetensors");
    if let Some(adapters) = &outcome.adapters {
        outcome.merged.write_merged(&merged, &provenance)?;
        adapters.write(&context.folder.file("adapters", "adapters.safetensors"), &provenance)?;
    } else {
        outcome.merged.write(&merged, &provenance)?;
    }
    draw_losses(context, &provenance, &outcome)?;
    context.go_on()?;
    let parameters = ParameterReport {
        total: outcome.total,
        trainable: outcome.trainable,
        share: outcome.trainable as f64 / outcome.total.max(1) as f64,
    };
    Ok(Trained { base, outcome, digital, parameters, seconds })
}

fn base_network(context: &mut Context<'_>, data: &Mnist) -> Result<Mlp, Error> {
    match &context.config.model.weights {
        Some(path) => Ok(Mlp::read(path)?.0),
        None => {
            let config = context.config.pretrain_config(context.seed(Purpose::Pretrain));
            Ok(pretrain(&data.train, &context.config.model.hidden, &config, &mut *context.observer)?)
        }
    }
}

/// Shape of the processor as a tile.
pub(super) fn tile_of(descriptor: &Descriptor) -> Result<TileShape, Error> {
    TileShape::new(descriptor.outputs, descriptor.inputs)
        .map_err(|error| Error::Input { path: descriptor.id.to_string().into(), reason: error.to_string() })
}

fn draw_losses(
    context: &mut Context<'_>,
    provenance: &Provenance,
    outcome: &FinetuneOutcome,
) -> Result<(), Error> {
    if outcome.losses.is_empty() {
        return Ok(());
    }
    let curve = LossCurve {
        name: "fine-tuning".to_owned(),
        losses: outcome.losses.clone(),
        style: SeriesStyle::nth(0),
    };
    let data =
        Convergence { subject: subject(provenance), loss: "cross-entropy".to_owned(), curves: vec![curve] };
    draw_convergence(&context.folder.file("figure_convergence", "convergence.png"), &data)?;
    Ok(())
}
