//! Experiment: factory-fresh coherent meshes from nothing to a programming error, with CPU seconds by stage.
//!
//! ```text
//! cargo run --release -p alora-calibration --example mesh -- [size=16] [chips=1] [first=1] [defects=no] [matrices=6]
//!     [trace=no] [physics.KEY=NUMBER]…
//! ```

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "an experiment")]

mod truth;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use alora_calibration::{
    CoherentCharacterisation, Learned, Provenance, Silent, WeightMatrix,
    characterise::{Bench, CharacterisationPlan, Journal, Source, characterise},
};
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{CoherentMock, CoherentSpec, Script, Spec},
};
use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use self::truth::{Tally, coverage};

struct Options(BTreeMap<String, String>);

impl Options {
    fn read() -> Self {
        let pairs = std::env::args().skip(1);
        Self(
            pairs
                .filter_map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
                .collect(),
        )
    }

    fn get<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        self.0.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The spec with every `physics.KEY=NUMBER` among the options.
    fn overridden(&self, spec: CoherentSpec) -> CoherentSpec {
        let mut value = serde_json::to_value(spec).unwrap();
        for (key, number) in &self.0 {
            if let Some(key) = key.strip_prefix("physics.") {
                value["physics"][key] = number.parse::<f64>().unwrap().into();
            }
        }
        serde_json::from_value(value).unwrap()
    }
}

/// CPU seconds of this process, all threads; to 10 ms (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |index: usize| -> f64 {
        after_name.split_whitespace().nth(index).and_then(|field| field.parse().ok()).unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// Prints what the library traces, with the CPU seconds since the line before.
struct Stages {
    last: Mutex<f64>,
    spans: AtomicU64,
    detail: bool,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &match field.name() {
            "message" => format!(" {value:?}"),
            name => format!("  {name} {value:.6?}"),
        };
    }
}

impl Subscriber for Stages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let most = if self.detail { Level::DEBUG } else { Level::INFO };
        metadata.is_event() && *metadata.level() <= most && metadata.target().starts_with("alora_calibration")
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let now = cpu_seconds();
        let mut last = self.last.lock().unwrap();
        println!("  {:7.2} s {}", now - *last, line.0);
        *last = now;
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// rms over the cells of what the chip really holds less `target`, by the gains of the calibration.
fn true_sigma(
    spec: &CoherentSpec,
    backend: &mut CoherentMock,
    found: &CoherentCharacterisation,
    target: ArrayView2<'_, f64>,
    output_scale: f64,
) -> f64 {
    let transfer = backend.true_transfer();
    let gains = backend.true_output_gain().to_vec();
    let square: f64 = target
        .indexed_iter()
        .map(|((i, j), w)| {
            let gain = gains[i] / spec.full_scale / found.log_output.value[i].exp();
            (transfer[(i, j)].re * gain * output_scale - w).powi(2)
        })
        .sum();
    (square / target.len() as f64).sqrt()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::read();
    let (size, first) = (options.get("size", 16_usize), options.get("first", 1_u64));
    let stages =
        Stages { last: Mutex::new(0.0), spans: AtomicU64::new(0), detail: options.get("trace", false) };
    tracing::subscriber::set_global_default(stages).unwrap();
    let Some(Spec::Coherent(spec)) = Spec::preset(&format!("factory-fresh-coherent-{size}x{size}")) else {
        panic!("no preset of that size")
    };
    let mut spec = options.overridden(spec);
    if options.get("defects", "no".to_owned()) == "no" {
        (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    }
    let mut all = BTreeMap::<&str, Tally>::new();
    for seed in first..first + options.get("chips", 1) {
        let begun = (cpu_seconds(), std::time::Instant::now());
        let mut backend = CoherentMock::new(spec.clone(), seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let provenance = Provenance::of(backend.descriptor(), "2025-01-01T00:00:00Z".to_owned(), 1);
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut backend), &mut journal, &mut silent).unwrap();
        let sheet = DataSheet::Coherent(spec.data_sheet());
        let calibration =
            characterise(&mut bench, &sheet, &CharacterisationPlan::default(), provenance).await.unwrap();
        let (cpu, wall) = (cpu_seconds() - begun.0, begun.1.elapsed().as_secs_f64());
        let Learned::CharacterisedCoherent(found) = &calibration.learned else { panic!("coherent") };
        let kinds = coverage(found, &spec.answers(seed));
        let encoding = calibration.encoding();
        let mut rng = ChaCha8Rng::seed_from_u64(77);
        let mut sigmas = Vec::new();
        for _ in 0..options.get("matrices", 6) {
            let weights: Array2<f64> =
                Array2::from_shape_simple_fn((size, size), || rng.random_range(-1.0..1.0));
            let peak = weights.iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
            let target = WeightMatrix::new(weights / peak).unwrap();
            let encoded = encoding.encode(&target).unwrap();
            let _ = backend.apply(&encoded.frame).await.unwrap();
            sigmas.push(true_sigma(&spec, &mut backend, found, target.view(), encoded.output_scale));
        }
        let square = sigmas.iter().map(|s| s * s).sum::<f64>() / sigmas.len().max(1) as f64;
        let inside = kinds.values().fold(Tally::default(), |sum, kind| sum.with(kind));
        println!(
            "chip {seed}: {cpu:.1} CPU s, {wall:.1} s; {} vectors; residual {:.6} of {:.6}; open loop {:.4} % of max|W|; coverage {:.4}; defects {:?}; unseen {:?}; {:?}",
            calibration.measurements,
            found.residual,
            found.expected_residual,
            100.0 * square.sqrt(),
            inside.share(),
            found.defects,
            found.unseen,
            found.sweeps
        );
        for (name, kind) in kinds {
            println!("  {name:18} {:6}  inside {:.4}  rms {:.3e}", kind.n, kind.share(), kind.rms());
            let sum = all.entry(name).or_default();
            *sum = sum.with(&kind);
        }
    }
    println!("all chips");
    for (name, kind) in all {
        println!("  {name:18} {:6}  inside {:.4}  rms {:.3e}", kind.n, kind.share(), kind.rms());
    }
}
