//! Calibrated coherent processors against the simulated chips' hidden truth.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod coherent_support;

use alora_drivers::mock::{Script, Spec};
use coherent_support::{calibrated, programming_error};

#[tokio::test]
async fn explore() {
    let name = std::env::var("PRESET").unwrap_or("coherent-8x8".into());
    let seeds: u64 = std::env::var("SEEDS").map(|s| s.parse().unwrap()).unwrap_or(4);
    let Some(Spec::Coherent(mut spec)) = Spec::preset(&name) else { panic!("no preset") };
    if let Ok(s) = std::env::var("SET") {
        let mut v = serde_json::to_value(&spec).unwrap();
        for kv in s.split(',') {
            let (k, x) = kv.split_once('=').unwrap();
            let x: serde_json::Value = serde_json::from_str(x).unwrap();
            if v.get(k).is_some() { v[k] = x } else { v["physics"][k] = x }
        }
        spec = serde_json::from_value(v).unwrap();
    }
    let mut all = Vec::new();
    for seed in 0..seeds {
        let t = std::time::Instant::now();
        let (mut processor, calibration) = calibrated(spec.clone(), seed, Script::default()).await;
        let cal = t.elapsed();
        let t = std::time::Instant::now();
        let e = programming_error(&mut processor, seed, 4, 4).await;
        let alora_calibration::Learned::Coherent(l) = &calibration.learned else { panic!() };
        println!(
            "seed {seed}: sigma {:.3} % (expected-target {:.3} %, readout {:.3} %, mean {:+.3} %) kurt {:.2} sat {} prediction {:.4} gain {:.3} defects {:?} cal {:?} meas {:?} sent {}",
            e.programming * 100.0,
            e.rounding * 100.0,
            e.readout * 100.0,
            e.mean * 100.0,
            e.kurtosis,
            e.saturated,
            l.prediction_rms,
            l.output_gain[0],
            l.defects.len(),
            cal,
            t.elapsed(),
            calibration.measurements
        );
        all.push(e.programming);
    }
    println!(
        "mean sigma {:.4} %  min {:.3} max {:.3}",
        100.0 * all.iter().sum::<f64>() / all.len() as f64,
        100.0 * all.iter().cloned().fold(9.0, f64::min),
        100.0 * all.iter().cloned().fold(0.0, f64::max)
    );
}

#[tokio::test]
async fn speed() {
    use alora_drivers::{mock::CoherentMock, *};
    for n in [8usize, 16, 64] {
        let Some(Spec::Coherent(spec)) = Spec::preset(&format!("coherent-{n}x{n}")) else { panic!() };
        let mut mock = CoherentMock::new(spec.clone(), 1, Script::default());
        let x = InputBatch(ndarray::Array2::from_shape_fn((2000, n), |(i, j)| {
            ((i * 31 + j * 17) % 255) as i32 - 127
        }));
        let mut best = f64::MAX;
        for _ in 0..20 {
            let t = std::time::Instant::now();
            let _ = mock.execute(&x, 1).await.unwrap();
            best = best.min(t.elapsed().as_secs_f64());
        }
        let mut apply = f64::MAX;
        let f = ActuatorFrame(vec![100; 2 * n * n + n]);
        let one = InputBatch(ndarray::Array2::zeros((1, n)));
        for _ in 0..10 {
            let t = std::time::Instant::now();
            let _ = mock.apply(&f).await.unwrap();
            let _ = mock.execute(&one, 1).await.unwrap();
            apply = apply.min(t.elapsed().as_secs_f64());
        }
        println!("seed N={n} execute 2000: {:.0} us, apply+1: {:.1} us", best * 1e6, apply * 1e6);
        let w = coherent_support::random_target(n, &mut rand::SeedableRng::seed_from_u64(1));
        let mut enc = f64::MAX;
        let mut fac = f64::MAX;
        for _ in 0..50 {
            let t = std::time::Instant::now();
            let _ = alora_calibration::mesh::factorise(w.view());
            fac = fac.min(t.elapsed().as_secs_f64());
        }
        if n < 64 {
            let (_, calibration) = calibrated(spec, 1, Script::default()).await;
            let e = calibration.encoding();
            for _ in 0..50 {
                let t = std::time::Instant::now();
                let _ = e.encode(&w).unwrap();
                enc = enc.min(t.elapsed().as_secs_f64());
            }
            let xs = ndarray::Array2::from_shape_fn((2000, n), |(i, j)| ((i * 31 + j * 17) % 255) as f64);
            let t = std::time::Instant::now();
            let ei = e.encode_inputs(xs.view());
            let t1 = t.elapsed();
            let r = mock.execute(&ei.batch, 1).await.unwrap();
            let t = std::time::Instant::now();
            let v = e.decode(&r, &ei, 1.0);
            println!("seed encode inputs {:?} decode {:?} {}", t1, t.elapsed(), v.len());
        }
        println!("seed N={n} factorise {:.1} us encode {:.1} us", fac * 1e6, enc * 1e6);
    }
}
