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
