//! Experiment: factory-fresh ring banks from nothing to a programming error, over many chips.
//!
//! ```text
//! cargo run --release -p alora-calibration --example ring_bank -- [size=16] [chips=20] [first=1] [kelvin=0.002]
//!     [defects=no] [bits=12] [matrices=4] [verify=6] [physics.KEY=NUMBER]…
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an experiment")]

#[path = "../tests/support/ring_truth.rs"]
mod ring_truth;

use std::{collections::BTreeMap, time::Instant};

use alora_calibration::{
    Encoding, IncoherentCharacterisation, IncoherentPlan, Silent, WeightMatrix,
    characterise::{Bench, Journal, Source},
};
use alora_drivers::{
    Celsius, InputBatch, PhotonicBackend,
    mock::{IncoherentMock, IncoherentSpec, Script, incoherent::preset},
};
use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use self::ring_truth::{Tally, coverage, true_weights};

/// Reads of each matrix in a round of program-and-verify.
const READS: usize = 64;

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
}

impl Options {
    /// The spec with every `physics.KEY=NUMBER` among the options.
    fn overridden(&self, spec: IncoherentSpec) -> IncoherentSpec {
        let mut value = serde_json::to_value(spec).unwrap();
        for (key, number) in &self.0 {
            if let Some(key) = key.strip_prefix("physics.") {
                value["physics"][key] = number.parse::<f64>().unwrap().into();
            }
        }
        serde_json::from_value(value).unwrap()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options::read();
    let size: usize = options.get("size", 16);
    let chips: u64 = options.get("chips", 20);
    let first: u64 = options.get("first", 1);
    let mut spec = preset(&format!("factory-fresh-incoherent-{size}x{size}")).unwrap();
    spec.physics.temperature.sd = options.get("kelvin", spec.physics.temperature.sd);
    spec.bits.actuator = options.get("bits", spec.bits.actuator);
    if options.get("defects", "no".to_owned()) == "no" {
        (spec.physics.stuck_fraction, spec.physics.weak_fraction) = (0.0, 0.0);
    }
    let spec = options.overridden(spec);
    let mut total = Totals::default();
    println!(
        "chip  open %  at °C %  verified %  (measured %)  reach %  found/true/false  seconds  vectors  bench s"
    );
    for seed in first..first + chips {
        let outcome = run(&spec, seed, &options).await;
        println!(
            "{seed:4}  {:6.3}  {:8.3}  {:10.3}  {:12.3}  {:7.2}  {:5}/{}/{}  {:11.1}  {:7}  {:7.2}",
            outcome.open,
            outcome.warm,
            outcome.verified,
            outcome.measured,
            outcome.reachable,
            outcome.found,
            outcome.defects,
            outcome.false_alarms,
            outcome.seconds,
            outcome.vectors,
            outcome.bench_s
        );
        total.add(outcome);
    }
    total.print();
}

#[derive(Default)]
struct Outcome {
    open: f64,
    warm: f64,
    verified: f64,
    measured: f64,
    reachable: f64,
    found: usize,
    defects: usize,
    false_alarms: usize,
    seconds: f64,
    vectors: u64,
    bench_s: f64,
    coverage: BTreeMap<&'static str, Tally>,
}

#[derive(Default)]
struct Totals {
    outcomes: Vec<Outcome>,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    fn print(&self) {
        let n = self.outcomes.len() as f64;
        let mean = |of: &dyn Fn(&Outcome) -> f64| self.outcomes.iter().map(of).sum::<f64>() / n;
        println!(
            "mean  {:6.3}  {:8.3}  {:10.3}  {:12.3}  {:7.2}",
            mean(&|o| o.open),
            mean(&|o| o.warm),
            mean(&|o| o.verified),
            mean(&|o| o.measured),
            mean(&|o| o.reachable)
        );
        let mut coverage: BTreeMap<&str, Tally> = BTreeMap::new();
        for (name, tally) in self.outcomes.iter().flat_map(|outcome| &outcome.coverage) {
            let sum = coverage.entry(name).or_default();
            sum.covered += tally.covered;
            sum.count += tally.count;
            sum.errors += tally.errors;
            sum.claimed += tally.claimed;
        }
        println!("parameter            covered by 95 %  error rms  claimed rms");
        for (name, Tally { covered, count, errors, claimed }) in coverage {
            let n = count as f64;
            println!(
                "{name:20} {:9.1} % {:14.2e} {:12.2e}",
                100.0 * covered as f64 / n,
                (errors / n).sqrt(),
                (claimed / n).sqrt()
            );
        }
    }
}

async fn run(spec: &IncoherentSpec, seed: u64, options: &Options) -> Outcome {
    let mut mock = IncoherentMock::new(spec.clone(), seed, Script::default());
    let mut journal = Journal::in_memory(mock.descriptor().clone());
    let mut observer = Silent;
    let started = Instant::now();
    let mut bench = Bench::new(Source::Live(&mut mock), &mut journal, &mut observer).unwrap();
    let learned =
        IncoherentCharacterisation::learn(&mut bench, &spec.data_sheet(), &IncoherentPlan::default())
            .await
            .unwrap();
    let mut outcome = Outcome {
        seconds: started.elapsed().as_secs_f64(),
        vectors: bench.vectors(),
        bench_s: bench.bench_time().as_secs_f64(),
        ..Outcome::default()
    };
    let flagged: Vec<usize> = learned.defects.iter().map(|defect| defect.actuator).collect();
    let truth: Vec<usize> = mock.truth().defects.iter().map(|defect| defect.actuator).collect();
    outcome.defects = truth.len();
    outcome.found = truth.iter().filter(|actuator| flagged.contains(actuator)).count();
    outcome.false_alarms = flagged.iter().filter(|actuator| !truth.contains(actuator)).count();
    outcome.coverage = coverage(&mock, spec, &learned);
    if options.get("diagnose", 0) > 0 {
        println!("full scale {:?}", learned.full_scale);
        println!("tails {:?} noise {}", learned.tail_spacing_rad, learned.read_noise);
        println!("temperature {:?}, true {}", learned.phase_per_kelvin, spec.physics.phase_per_kelvin);
        for defect in &learned.defects {
            println!("{defect:?}");
        }
        println!("{:?}", mock.truth().defects);
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(seed ^ 0xface);
    let matrices: usize = options.get("matrices", 4);
    let (mut open, mut warm, mut verified, mut measured, mut reachable) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for _ in 0..matrices {
        let target = Array2::from_shape_simple_fn((spec.rows, spec.cols), || rng.random_range(-1.0..=1.0));
        let target = WeightMatrix::new(target).unwrap();
        let mut encoded = learned.encode(&target).unwrap();
        let usable = Array2::from_shape_fn(target.dim(), |(row, col)| {
            !encoded.unreachable.iter().any(|cell| (cell.row, cell.col) == (row, col))
        });
        reachable += 100.0 * usable.iter().filter(|&&usable| usable).count() as f64 / usable.len() as f64;
        let _ = mock.apply(&encoded.frame).await.unwrap();
        let _ = read(&mut mock, &learned, 1, rng).await;
        let miss = true_weights(&mock, &learned) - target.view();
        if options.get("diagnose", 0) > 0 {
            for ((row, col), miss) in
                miss.indexed_iter().filter(|(cell, miss)| miss.abs() > 0.02 && usable[*cell])
            {
                let ring = row * spec.cols + col;
                println!(
                    "({row}, {col}) target {:.3} missed by {miss:.4}, code {}, {:?}",
                    target.view()[(row, col)],
                    encoded.frame.0[ring],
                    learned.rings[ring]
                );
            }
        }
        open += rms(miss.view(), &usable).powi(2);
        // The same with the chip's thermometer read before.
        let chip = read_temperature(&mut mock).await;
        let at_present = learned.at(chip).encode(&target).unwrap();
        let _ = mock.apply(&at_present.frame).await.unwrap();
        let _ = read_temperature(&mut mock).await;
        warm += rms((true_weights(&mock, &learned) - target.view()).view(), &usable).powi(2);
        // Program and verify: every ring keeps the code with which it was measured nearest to its target.
        let rounds: usize = options.get("verify", 6);
        let mut best = encoded.clone();
        let mut best_miss = Array2::from_elem(target.dim(), f64::INFINITY);
        let mut kept = (f64::INFINITY, encoded.clone());
        for _ in 0..rounds {
            let _ = mock.apply(&encoded.frame).await.unwrap();
            let found = read(&mut mock, &learned, READS, rng).await;
            let miss = &found - &target.view();
            let size = rms(miss.view(), &usable);
            if size < kept.0 {
                kept = (size, encoded.clone());
            }
            let mut next = encoded.clone();
            let mut correction = Array2::zeros(target.dim());
            for ((row, col), &miss) in miss.indexed_iter() {
                let ring = row * spec.cols + col;
                if miss.abs() < best_miss[(row, col)] {
                    best_miss[(row, col)] = miss.abs();
                    best.frame.0[ring] = encoded.frame.0[ring];
                    if usable[(row, col)] {
                        correction[(row, col)] = -miss;
                    }
                } else {
                    next.frame.0[ring] = best.frame.0[ring];
                }
            }
            encoded = learned.refine(&next, correction.view()).unwrap();
        }
        if rounds > 0 {
            let _ = mock.apply(&kept.1.frame).await.unwrap();
            let _ = read(&mut mock, &learned, 1, rng).await;
            verified += rms((true_weights(&mock, &learned) - target.view()).view(), &usable).powi(2);
            measured += kept.0.powi(2);
        }
    }
    let n = matrices as f64;
    outcome.open = 100.0 * (open / n).sqrt();
    outcome.warm = 100.0 * (warm / n).sqrt();
    outcome.verified = 100.0 * (verified / n).sqrt();
    outcome.measured = 100.0 * (measured / n).sqrt();
    outcome.reachable = reachable / n;
    outcome
}

async fn read_temperature(mock: &mut IncoherentMock) -> Celsius {
    let zeros = Array2::zeros((1, mock.descriptor().input_width()));
    mock.execute(&InputBatch(zeros), 1).await.unwrap().temperature
}

fn rms(misses: ArrayView2<'_, f64>, usable: &Array2<bool>) -> f64 {
    let (sum, count) = misses
        .iter()
        .zip(usable)
        .filter(|(_, usable)| **usable)
        .fold((0.0, 0.0), |(sum, count), (miss, _)| (sum + miss * miss, count + 1.0));
    (sum / f64::max(count, 1.0)).sqrt()
}

/// Reads the matrix by Hadamard vectors, each of the `reads` times with other inputs and signs swapped: the sums that
/// reach a converter are other ones each time, so that its rounding averages out.
async fn read(
    mock: &mut IncoherentMock,
    learned: &IncoherentCharacterisation,
    reads: usize,
    rng: &mut ChaCha8Rng,
) -> Array2<f64> {
    let n = learned.cols;
    let mut sum = Array2::<f64>::zeros((learned.rows, n));
    for _ in 0..reads {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(rng);
        let signs: Vec<f64> = (0..n).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
        let basis = Array2::from_shape_fn((n, n), |(vector, input)| {
            let parity = (vector & order[input]).count_ones() % 2;
            if parity == 0 { signs[input] } else { -signs[input] }
        });
        let inputs = learned.encode_inputs(basis.view());
        let readout = mock.execute(&inputs.batch, 1).await.unwrap();
        let values = learned.decode(&readout, &inputs, 1.0);
        let values = values.index_axis(ndarray::Axis(0), 0);
        sum += &values.t().dot(&basis);
    }
    sum / (reads * n) as f64
}
