//! One measurement of the yardstick per process: prints one line of JSON. `benches/README.md` says what is measured.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints its result and stops at the first failure"
)]

mod clock;
mod layer;
mod vit;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

/// What is measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Workload {
    /// One photonic linear layer, forward and forward with backward.
    B1,
    /// A training step of a small vision transformer.
    B2,
    /// Inference of the same.
    B3,
    /// A training step of ViT-B/16 at 224 pixels.
    VitB16,
}

/// Command line.
#[derive(Debug, Parser)]
struct Args {
    what: Workload,
    /// Threads of the pool.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Outputs of the layer of b1.
    #[arg(long, default_value_t = 768)]
    out: usize,
    /// Runs that are timed.
    #[arg(long, default_value_t = 20)]
    iters: usize,
    /// Images of a batch of vit-b16.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a workload adds to the line.
type Fields = Map<String, Value>;

fn main() {
    alora::memory::keep_freed();
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global().unwrap();
    let start_rss = clock::peak_mib();
    let mut clock = clock::Clock::new(args.iters);
    let fields = match args.what {
        Workload::B1 => layer::b1(&mut clock, args.out),
        Workload::B2 => vit::b2(&mut clock),
        Workload::B3 => vit::b3(&mut clock),
        Workload::VitB16 => vit::vit_b16(&mut clock, args.batch),
    };
    let name = args.what.to_possible_value().unwrap();
    let mut line = json!({
        "bench": name.get_name(),
        "impl": "alora",
        "threads": args.threads,
        "exact": true,
        "foreign_cores": clock.foreign_cores(),
        "rss_mib": clock::peak_mib().round(),
        "import_rss_mib": start_rss.round(),
    });
    line.as_object_mut().unwrap().extend(fields);
    println!("{line}");
}

/// A number with `digits` decimals, as JSON.
fn rounded(value: f64, digits: i32) -> Value {
    let unit = 10_f64.powi(digits);
    json!((value * unit).round() / unit)
}
