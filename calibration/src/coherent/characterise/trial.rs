#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{CoherentMock, Script, Spec},
};

use super::*;
use crate::{
    characterise::{Journal, Source},
    coherent::program::Programmer,
    observer::Silent,
};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |n| n.parse().unwrap())
}

#[tokio::test]
#[ignore]
async fn trial() {
    let size = number("N", 4);
    for seed in 1..=number("CHIPS", 2) as u64 {
        let name = format!("factory-fresh-coherent-{size}x{size}");
        let Some(Spec::Coherent(mut spec)) = Spec::preset(&name) else { panic!() };
        if std::env::var("DEFECTS").is_err() {
            spec.physics.stuck_fraction = 0.0;
            spec.physics.weak_fraction = 0.0;
        }
        spec.bits.actuator = number("DAC", 12) as u8;
        let DataSheet::Coherent(sheet) = Spec::Coherent(spec.clone()).data_sheet() else { panic!() };
        let full_scale = spec.full_scale;
        let mut backend = CoherentMock::new(spec, seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut backend), &mut journal, &mut silent).unwrap();
        let mut plan = CoherentPlan::default();
        plan.settings = number("K", 0);
        let started = std::time::Instant::now();
        let fitted = characterise(&mut bench, &sheet, &plan).await.unwrap();
        let vectors = bench.vectors();
        let compute = started.elapsed();
        let layout = Layout::new(size);
        let front = Front::new(backend.descriptor(), &sheet);
        let programmer = Programmer::new(layout, fitted.twin.clone(), front.drive(1), front.limits.clone());
        let gains: Vec<f64> = backend
            .true_output_gain()
            .iter()
            .zip(fitted.twin.of(|b| &b.output))
            .map(|(t, f)| t / full_scale / f.exp())
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(77 + seed);
        let mut all = vec![];
        let started = std::time::Instant::now();
        for _ in 0..number("TARGETS", 4) {
            let target = Array2::from_shape_simple_fn((size, size), || rng.random_range(-1.0..1.0));
            let program = programmer.program(target.view()).unwrap();
            let _ = backend.apply(&ActuatorFrame(program.codes.clone())).await.unwrap();
            let truth = backend.true_transfer();
            let (mut square, mut model, mut imaginary) = (0.0, 0.0, 0.0);
            for ((i, j), w) in target.indexed_iter() {
                square += (truth[(i, j)].re * gains[i] / program.scale - w).powi(2);
                imaginary += (truth[(i, j)].im * gains[i] / program.scale).powi(2);
                model += (program.expected[(i, j)] / program.scale - w).powi(2);
            }
            let top = target.iter().fold(0.0, |m: f64, v: &f64| m.max(v.abs()));
            let percent = |square: f64| 100.0 * (square / (size * size) as f64).sqrt() / top;
            all.push(format!(
                "{:.3} (model {:.3}, im {:.2}, scale {:.2})",
                percent(square),
                percent(model),
                percent(imaginary),
                program.scale
            ));
        }
        eprintln!(
            "chip {seed}: rms {:.5}, {vectors} vectors, {compute:.1?}; open loop % {} ({:.1?})",
            fitted.rms,
            all.join("  "),
            started.elapsed()
        );
    }
}
