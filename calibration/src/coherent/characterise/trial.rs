#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]
use alora_drivers::{
    DataSheet, PhotonicBackend,
    mock::{CoherentMock, Script, Spec},
};

use super::*;
use crate::{
    characterise::{Journal, Source},
    encoding::Encoding,
    observer::Silent,
    weights::WeightMatrix,
};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |n| n.parse().unwrap())
}

#[tokio::test]
#[ignore]
async fn trial() {
    let size = number("N", 4);
    let mut totals = [(0usize, 0usize, 0.0f64); 5];
    let mut sigma = (0.0, 0);
    let mut sigma2 = (0.0, 0);
    for seed in number("FROM", 1) as u64..=number("CHIPS", 2) as u64 {
        let name = format!("factory-fresh-coherent-{size}x{size}");
        let Some(Spec::Coherent(mut spec)) = Spec::preset(&name) else { panic!() };
        if std::env::var("DEFECTS").is_err() {
            spec.physics.stuck_fraction = 0.0;
            spec.physics.weak_fraction = 0.0;
        } else {
            spec.physics.stuck_fraction = number("DEFECTS", 5) as f64 * 1e-3;
        }
        spec.bits.actuator = number("DAC", 12) as u8;
        let DataSheet::Coherent(sheet) = Spec::Coherent(spec.clone()).data_sheet() else { panic!() };
        let full_scale = spec.full_scale;
        let answers = spec.answers(seed);
        let mut backend = CoherentMock::new(spec, seed, Script::default());
        let mut journal = Journal::in_memory(backend.descriptor().clone());
        let mut silent = Silent;
        let mut bench = Bench::new(Source::Live(&mut backend), &mut journal, &mut silent).unwrap();
        let plan = CoherentPlan { settings: number("K", 0), ..CoherentPlan::default() };
        let started = std::time::Instant::now();
        let found = characterise(&mut bench, &sheet, &plan).await.unwrap();
        let vectors = bench.vectors();
        let compute = started.elapsed();
        let encoding = found.encoding();
        for defect in &found.defects {
            eprintln!("   {defect:?}");
        }
        if !answers.stuck.is_empty() || !answers.weak.is_empty() {
            eprintln!("   truth: stuck {:?}, weak {:?}", answers.stuck, answers.weak);
        }
        // Coverage.
        let layout = Layout::new(size);
        let mut truth = Twin::zeros(&layout);
        truth.of_mut(|b| &b.phase).copy_from_slice(&answers.phase_at_zero);
        let blocks = truth.blocks.clone();
        Gauge::new(&layout).fix(&blocks, &mut truth.values);
        let wrap =
            |x: f64| (x + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI;
        let mut phase: Vec<f64> =
            truth.of(|b| &b.phase).iter().zip(&found.phase_at_zero.value).map(|(t, f)| wrap(f - t)).collect();
        // The common output phase.
        let first = layout.topology.output_phase(0);
        let mean = (phase[first..].iter().map(|p| p.sin()).sum::<f64>())
            .atan2(phase[first..].iter().map(|p| p.cos()).sum::<f64>());
        phase[first..].iter_mut().for_each(|p| *p = wrap(*p - mean));
        let mut count = |kind: usize, error: f64, sd: f64| {
            if sd > 0.0 {
                totals[kind].0 += 1;
                totals[kind].1 += usize::from(error.abs() <= 1.96 * sd);
                totals[kind].2 += error * error;
            }
        };
        for k in 0..phase.len() {
            count(0, phase[k], found.phase_at_zero.sd[k]);
            count(1, 1.0 + found.slope.value[k] - answers.slope[k], found.slope.sd[k]);
            count(2, found.quartic.value[k] - answers.quartic[k], found.quartic.sd[k]);
        }
        for (k, &(alpha, beta)) in answers.splitters.iter().enumerate() {
            let mesh = size * (size - 1) / 2;
            if (mesh..mesh + size).contains(&k) {
                continue;
            }
            count(3, found.alpha.value[k] - alpha, found.alpha.sd[k]);
            count(3, found.beta.value[k] - beta, found.beta.sd[k]);
        }
        let paths = &found.crosstalk;
        for k in 0..paths.victim.len() {
            let pair = (paths.victim[k], paths.aggressor[k]);
            let truth = answers.crosstalk.iter().find(|(v, a, _)| (*v, *a) == pair).map_or(0.0, |t| t.2);
            count(4, paths.coefficient.value[k] - truth, paths.coefficient.sd[k]);
        }
        let gains: Vec<f64> = backend
            .true_output_gain()
            .iter()
            .zip(&found.log_output.value)
            .map(|(t, f)| t / full_scale / f.exp())
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(77 + seed);
        let mut all = vec![];
        let started = std::time::Instant::now();
        for _ in 0..number("TARGETS", 4) {
            let target = Array2::from_shape_simple_fn((size, size), || rng.random_range(-1.0..1.0));
            let weights = WeightMatrix::new(target.clone()).unwrap();
            let program = encoding.encode(&weights).unwrap();
            let _ = backend.apply(&program.frame).await.unwrap();
            let truth = backend.true_transfer();
            let (mut square, mut model, mut imaginary) = (0.0, 0.0, 0.0);
            for ((i, j), w) in target.indexed_iter() {
                square += (truth[(i, j)].re * gains[i] * program.output_scale - w).powi(2);
                imaginary += (truth[(i, j)].im * gains[i] * program.output_scale).powi(2);
                model += (program.expected[(i, j)] - w).powi(2);
            }
            let top = target.iter().fold(0.0, |m: f64, v: &f64| m.max(v.abs()));
            let percent = |square: f64| 100.0 * (square / (size * size) as f64).sqrt() / top;
            sigma.0 += percent(square);
            sigma.1 += 1;
            let mut text = format!(
                "{:.3} (model {:.3}, im {:.1}, un {})",
                percent(square),
                percent(model),
                percent(imaginary),
                program.unreachable.len()
            );
            if std::env::var("VERIFY").is_ok() {
                let mut journal = Journal::in_memory(backend.descriptor().clone());
                let mut bench = Bench::new(Source::Live(&mut backend), &mut journal, &mut silent).unwrap();
                let plan = crate::verify::VerifyPlan { turns: number("TURNS", 4), ..Default::default() };
                let verified = crate::verify::program_and_verify(&mut bench, &encoding, &weights, "t", &plan)
                    .await
                    .unwrap();
                let _ = backend.apply(&verified.encoded.frame).await.unwrap();
                let truth = backend.true_transfer();
                let mut square = 0.0;
                for ((i, j), w) in target.indexed_iter() {
                    square += (truth[(i, j)].re * gains[i] * program.output_scale - w).powi(2);
                }
                sigma2.0 += percent(square);
                sigma2.1 += 1;
                let turns: Vec<String> = verified
                    .turns
                    .iter()
                    .map(|t| format!("{:.3}~{:.3}", 100.0 * t.measured.rms, 100.0 * t.measured.programming))
                    .collect();
                text += &format!(
                    " -> {:.3} best {} floor {:.3} noise {:.3} [{}]",
                    percent(square),
                    verified.best,
                    100.0 * verified.predicted_floor,
                    100.0 * verified.turns[0].measured.noise,
                    turns.join(" ")
                );
            }
            all.push(text);
        }
        eprintln!(
            "chip {seed}: rms {:.5}, {vectors} vectors, {compute:.1?}; open loop % {} ({:.1?})",
            found.residual,
            all.join("\n      "),
            started.elapsed()
        );
    }
    for (name, (n, inside, square)) in
        ["phase", "slope", "quartic", "splitters", "crosstalk"].iter().zip(totals)
    {
        eprintln!(
            "{name} cover {:.1} % of {n}, rms {:.6}",
            100.0 * inside as f64 / n as f64,
            (square / n as f64).sqrt()
        );
    }
    eprintln!("mean cover verified {:.4}", sigma2.0 / f64::from(sigma2.1));
    eprintln!("mean cover sigma {:.4}", sigma.0 / f64::from(sigma.1));
}
