//! The incoherent mock against analytic laws, one source of error at a time.

#![expect(clippy::unwrap_used, reason = "tests")]

use alora_drivers::{
    ActuatorFrame, Code, InputBatch, PhotonicBackend, Readout,
    mock::{
        Fault, IncoherentMock, IncoherentSpec, OrnsteinUhlenbeck, Script, ScriptedFault,
        incoherent::{IncoherentPhysics, preset},
    },
};
use ndarray::{Array2, Axis, s};
use rand::{SeedableRng, rngs::StdRng};

/// An ideal LCOS chip with the given physics and a 16-bit converter, so that counts resolve the noise.
fn chip(physics: IncoherentPhysics) -> IncoherentSpec {
    let mut spec = preset("incoherent-8x8").unwrap();
    spec.physics = physics;
    spec.bits.output = 16;
    spec
}

fn ideal() -> IncoherentPhysics {
    IncoherentPhysics::ideal()
}

fn connect(spec: &IncoherentSpec) -> IncoherentMock {
    IncoherentMock::new(spec.clone(), 42, Script::default())
}

fn with_fault(spec: &IncoherentSpec, fault: Fault) -> IncoherentMock {
    IncoherentMock::new(spec.clone(), 42, Script(vec![ScriptedFault { from_execution: 1, fault }]))
}

/// Photocurrent of one count.
fn step(spec: &IncoherentSpec) -> f64 {
    let half = f64::from(1 << (spec.bits.output - 1));
    spec.receiver_headroom * spec.cols as f64 / half / f64::from(1 << (spec.receiver_ranges - 1))
}

/// `frames` vectors with all inputs at `code`.
fn uniform(spec: &IncoherentSpec, frames: usize, code: i32) -> InputBatch {
    InputBatch(Array2::from_elem((frames, spec.cols), code))
}

/// A frame with every positive pixel at `plus` and every negative one at `minus`.
fn rails(spec: &IncoherentSpec, plus: Code, minus: Code) -> ActuatorFrame {
    ActuatorFrame([plus, minus].repeat(spec.rows * spec.cols))
}

async fn read(
    mock: &mut IncoherentMock,
    frame: &ActuatorFrame,
    inputs: &InputBatch,
    repeats: usize,
) -> Readout {
    let _ = mock.apply(frame).await.unwrap();
    mock.execute(inputs, repeats).await.unwrap()
}

/// Mean and variance of the counts of row 0, in photocurrent.
fn statistics(readout: &Readout, step: f64) -> (f64, f64) {
    let values: Vec<f64> = readout.counts.slice(s![.., .., 0]).iter().map(|&c| f64::from(c) * step).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// Relative standard error of a variance of `n` Gaussian readings is √(2/(n−1)); 4 of them.
fn bound(n: f64) -> f64 {
    4.0 * (2.0 / (n - 1.0)).sqrt()
}

const READINGS: usize = 20_000;

#[tokio::test]
async fn shot_noise_grows_in_proportion_to_the_light() {
    let spec = chip(IncoherentPhysics { shot_noise: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    for code in [51, 102, 204] {
        let readout = read(&mut mock, &rails(&spec, 128, 0), &uniform(&spec, READINGS, code), 1).await;
        let (mean, variance) = statistics(&readout, step(&spec));
        // The negative pixels pass their floor of 0.003 of the light.
        let floor = 0.003 * spec.cols as f64 * f64::from(code) / 255.0;
        let law = 0.01_f64.powi(2) * (mean + 2.0 * floor);
        assert!((variance / law - 1.0).abs() < bound(READINGS as f64), "{code}: {variance} {law}");
    }
}

#[tokio::test]
async fn balanced_detection_cancels_the_signal_but_adds_the_shot_noise_of_both_diodes() {
    let spec = chip(IncoherentPhysics { shot_noise: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    let single = read(&mut mock, &rails(&spec, 128, 0), &uniform(&spec, READINGS, 255), 1).await;
    let both = read(&mut mock, &rails(&spec, 128, 128), &uniform(&spec, READINGS, 255), 1).await;
    let (signal, one_diode) = statistics(&single, step(&spec));
    let (difference, two_diodes) = statistics(&both, step(&spec));
    assert!(difference.abs() < 0.01 * signal);
    let floor = 0.003 * spec.cols as f64;
    let ratio = 2.0 * (signal + floor) / (signal + 2.0 * floor);
    assert!((two_diodes / one_diode / ratio - 1.0).abs() < 2.0 * bound(READINGS as f64));
}

#[tokio::test]
async fn laser_intensity_noise_grows_with_the_square_of_the_light() {
    let spec = chip(IncoherentPhysics { rin: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    for code in [51, 102, 204] {
        let readout = read(&mut mock, &rails(&spec, 128, 0), &uniform(&spec, READINGS, code), 1).await;
        let (mean, variance) = statistics(&readout, step(&spec));
        assert!((variance / (0.01 * mean).powi(2) - 1.0).abs() < bound(READINGS as f64), "{code}");
    }
}

#[tokio::test]
async fn thermal_noise_is_the_same_in_the_dark_and_in_the_light() {
    let spec = chip(IncoherentPhysics { thermal_noise: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    for code in [0, 255] {
        let readout = read(&mut mock, &rails(&spec, 128, 0), &uniform(&spec, READINGS, code), 1).await;
        let (_, variance) = statistics(&readout, step(&spec));
        assert!((variance / 1e-4 - 1.0).abs() < bound(READINGS as f64), "{code}");
    }
}

#[tokio::test]
async fn noise_of_neighbouring_rows_frames_and_repeats_is_independent() {
    let spec = chip(IncoherentPhysics { thermal_noise: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    let counts = read(&mut mock, &rails(&spec, 0, 0), &uniform(&spec, READINGS, 0), 2).await.counts;
    let values = counts.mapv(f64::from);
    let correlation = |a: ndarray::ArrayView1<'_, f64>, b: ndarray::ArrayView1<'_, f64>| {
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    };
    // Standard error of a correlation: 1/√n; 4 of them.
    let bound = 4.0 / (READINGS as f64).sqrt();
    assert!(correlation(values.slice(s![0, .., 0]), values.slice(s![0, .., 1])).abs() < bound);
    assert!(correlation(values.slice(s![0, .., 0]), values.slice(s![1, .., 0])).abs() < bound);
    assert!(correlation(values.slice(s![0, 1.., 0]), values.slice(s![0, ..-1, 0])).abs() < bound);
    // From one noise stream to the next (streams end every 128 frames).
    assert!(correlation(values.slice(s![0, 128.., 0]), values.slice(s![0, ..-128, 0])).abs() < bound);
    let again = mock.execute(&uniform(&spec, READINGS, 0), 1).await.unwrap().counts.mapv(f64::from);
    assert!(correlation(values.slice(s![0, .., 0]), again.slice(s![0, .., 0])).abs() < bound);
}

#[tokio::test]
async fn an_8_bit_converter_moves_in_steps_of_one_256th_of_its_range() {
    let mut spec = chip(ideal());
    spec.bits.output = 8;
    spec.receiver_ranges = 1;
    let mut mock = connect(&spec);
    let inputs = InputBatch(Array2::from_shape_fn(
        (256, spec.cols),
        |(frame, col)| if col == 0 { frame as i32 } else { 0 },
    ));
    let counts = read(&mut mock, &rails(&spec, 230, 0), &inputs, 1).await.counts;
    let row: Vec<i32> = counts.slice(s![0, .., 0]).to_vec();
    // A range of ±10 in 256 steps: one input from dark to full (0 to 0.997) crosses 0.997 / (20/256) = 12.8 steps.
    assert_eq!(row.first(), Some(&0));
    assert_eq!(row.last(), Some(&13));
    assert!(row.windows(2).all(|pair| pair[1] - pair[0] == 0 || pair[1] - pair[0] == 1));
}

#[tokio::test]
async fn the_receiver_takes_the_highest_gain_that_holds_the_reading() {
    let mut spec = chip(ideal());
    spec.bits.output = 8;
    let mut mock = connect(&spec);
    let counts = |code| uniform(&spec, 1, code);
    let full = read(&mut mock, &rails(&spec, 230, 0), &counts(255), 1).await.counts[(0, 0, 0)];
    let faint = read(&mut mock, &rails(&spec, 230, 0), &counts(31), 1).await.counts[(0, 0, 0)];
    // Gains 1, 2, 4, 8: 8 inputs need ±10 (counts in eights); 0.97 fits ±1.25 (single counts).
    assert_eq!(full % 8, 0);
    let step = 1.25 / 128.0;
    assert!((f64::from(full) * step - 8.0 * 0.997).abs() < 8.0 * step);
    assert!((f64::from(faint) * step - 8.0 * 0.997 * 31.0 / 255.0).abs() < step);
}

#[tokio::test]
async fn an_input_at_code_0_still_sends_its_extinction_ratio() {
    let spec = chip(IncoherentPhysics { input_leak: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    let counts = read(&mut mock, &rails(&spec, 230, 0), &uniform(&spec, 1, 0), 1).await.counts[(0, 0, 0)];
    let full = read(&mut mock, &rails(&spec, 230, 0), &uniform(&spec, 1, 255), 1).await.counts[(0, 0, 0)];
    assert!((f64::from(counts) / f64::from(full) - 0.01).abs() < 1e-4);
}

#[tokio::test]
async fn without_crosstalk_and_leakage_an_element_does_not_see_its_neighbours() {
    let physics = |crosstalk, optical_leakage| IncoherentPhysics { crosstalk, optical_leakage, ..ideal() };
    for (physics, independent) in
        [(physics(0.0, 0.0), true), (physics(0.01, 0.0), false), (physics(0.0, 0.01), false)]
    {
        let spec = chip(physics);
        let mut mock = connect(&spec);
        let mut only = InputBatch(Array2::zeros((1, spec.cols)));
        only.0[(0, 3)] = 255;
        let cell = (3 * spec.cols + 3) * 2;
        let mut alone = rails(&spec, 0, 0);
        alone.0[cell] = 120;
        let mut crowded = rails(&spec, 150, 0);
        crowded.0[cell] = 120;
        let alone = read(&mut mock, &alone, &only, 1).await.counts[(0, 0, 3)];
        let crowded = read(&mut mock, &crowded, &only, 1).await.counts[(0, 0, 3)];
        assert_eq!(alone == crowded, independent, "{physics:?}: {alone} {crowded}");
    }
}

#[tokio::test]
async fn writing_the_same_codes_again_lands_a_little_off_with_the_given_spread() {
    let spec = chip(IncoherentPhysics { repeatability_rad: 0.01, ..ideal() });
    let mut mock = connect(&spec);
    let frame = rails(&spec, 137, 0);
    let mut first = mock.true_weights();
    first.fill(0.0);
    let mut sum = 0.0;
    let writes = 60;
    let mut weights = Vec::new();
    for _ in 0..writes {
        let _ = mock.apply(&frame).await.unwrap();
        weights.push(mock.true_weights());
        first += &(weights.last().unwrap() / f64::from(writes));
    }
    for weight in &weights {
        sum += (weight - &first).mapv(|d| d * d).sum();
    }
    let n = f64::from(writes - 1) * (spec.rows * spec.cols) as f64;
    // Phase of code 137: 3.6 (137/255)^1.3; slope of sin²(φ/2) is sin φ / 2. The negative pixel rests at slope 0.
    let phase = 3.6 * (137.0_f64 / 255.0).powf(1.3);
    let law = (0.01 * 0.997 * phase.sin() / 2.0).powi(2);
    assert!((sum / n / law - 1.0).abs() < bound(n) + 0.01, "{} {law}", sum / n);
}

#[test]
fn temperature_drift_has_the_stationary_spread_and_correlation_time_it_was_given() {
    let drift = OrnsteinUhlenbeck { sd: 0.05, tau_s: 100.0 };
    let rng = &mut StdRng::seed_from_u64(9);
    let (lag, n) = (20.0, 200_000);
    let mut value = 0.0;
    let path: Vec<f64> = (0..n)
        .map(|_| {
            value = drift.advance(value, lag, rng);
            value
        })
        .collect();
    let variance = path.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
    // Effective sample of an AR(1) path with coefficient ρ = e^(−0.2): n (1 − ρ²)/(1 + ρ²) for the variance.
    let rho = (-lag / drift.tau_s).exp();
    let effective = f64::from(n) * (1.0 - rho * rho) / (1.0 + rho * rho);
    assert!((variance / 0.05_f64.powi(2) - 1.0).abs() < bound(effective));
    let covariance = path.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / f64::from(n - 1);
    // Standard error of the lag-1 correlation: √((1 − ρ²)/n).
    assert!((covariance / variance - rho).abs() < 4.0 * ((1.0 - rho * rho) / f64::from(n)).sqrt());
}

#[tokio::test]
async fn the_chip_s_temperature_drifts_with_simulated_time() {
    let mut spec =
        chip(IncoherentPhysics { temperature: OrnsteinUhlenbeck { sd: 0.1, tau_s: 10.0 }, ..ideal() });
    spec.settle_s = 60.0;
    let mut mock = connect(&spec);
    let n = 2000;
    let mut kelvin = Vec::new();
    for _ in 0..n {
        kelvin
            .push(read(&mut mock, &rails(&spec, 0, 0), &uniform(&spec, 1, 0), 1).await.temperature.0 - 25.0);
    }
    // 60 s apart at τ = 10 s: independent to e⁻⁶.
    let variance = kelvin.iter().map(|k| k * k).sum::<f64>() / f64::from(n);
    assert!((variance / 0.01 - 1.0).abs() < bound(f64::from(n)));
}

#[tokio::test]
async fn time_advances_by_settling_and_by_frames_from_a_fixed_start() {
    let mut spec = chip(ideal());
    (spec.settle_s, spec.frame_s) = (0.5, 1e-3);
    let mut mock = connect(&spec);
    let first = read(&mut mock, &rails(&spec, 0, 0), &uniform(&spec, 10, 0), 3).await.taken_at.0;
    let second = read(&mut mock, &rails(&spec, 0, 0), &uniform(&spec, 1, 0), 1).await.taken_at.0;
    assert_eq!(first.as_secs_f64(), 1_735_689_600.5);
    assert_eq!((second - first).as_millis(), 530);
}

#[tokio::test]
async fn a_stuck_element_ignores_its_code_from_the_scripted_execution_on() {
    let spec = chip(ideal());
    let mut mock = with_fault(&spec, Fault::StuckElement { actuator: 0, code: 0 });
    let mut only = InputBatch(Array2::zeros((1, spec.cols)));
    only.0[(0, 0)] = 255;
    let before = read(&mut mock, &rails(&spec, 230, 0), &only, 1).await;
    let after = mock.execute(&only, 1).await.unwrap();
    assert!(f64::from(before.counts[(0, 0, 0)]) * step(&spec) > 0.99);
    assert_eq!(after.counts[(0, 0, 0)], 0);
    assert_eq!(after.counts[(0, 0, 1)], before.counts[(0, 0, 1)]);
    assert_eq!(mock.read_back().await.unwrap().0[0], 230);
    let again = read(&mut mock, &rails(&spec, 200, 0), &only, 1).await;
    assert_eq!(again.counts[(0, 0, 0)], 0);
}

#[tokio::test]
async fn a_dead_detector_gives_its_dark_value_only() {
    let spec = chip(IncoherentPhysics { dark_offset: 0.05, ..ideal() });
    let mut mock = with_fault(&spec, Fault::DeadDetector { output: 2 });
    let dark = read(&mut mock, &rails(&spec, 0, 0), &uniform(&spec, 1, 0), 1).await.counts;
    let lit = read(&mut mock, &rails(&spec, 230, 0), &uniform(&spec, 1, 255), 1).await.counts;
    assert_eq!(lit[(0, 0, 2)], dark[(0, 0, 2)]);
    assert!(lit[(0, 0, 1)] > 10 * dark[(0, 0, 1)].abs());
}

#[tokio::test]
async fn an_overdriven_amplifier_clips_and_flags_its_row_only() {
    let spec = chip(ideal());
    let mut mock = with_fault(&spec, Fault::Saturation { output: 1, gain: 4.0 });
    let frame = rails(&spec, 230, 0);
    let before = read(&mut mock, &frame, &uniform(&spec, 3, 255), 2).await;
    let after = mock.execute(&uniform(&spec, 3, 255), 2).await.unwrap();
    assert!(!before.any_saturated());
    for (row, flags) in after.saturated.axis_iter(Axis(2)).enumerate() {
        assert!(flags.iter().all(|&flag| flag == (row == 1)), "row {row}");
    }
    let top = spec.receiver_headroom * spec.cols as f64;
    assert!((f64::from(after.counts[(0, 0, 1)]) * step(&spec) / top - 1.0).abs() < 1e-3);
}

#[tokio::test]
async fn a_temperature_step_is_reported_and_shifts_the_phases() {
    let spec = chip(IncoherentPhysics { phase_per_kelvin: 0.01, ..ideal() });
    let mut mock = with_fault(&spec, Fault::TemperatureStep { kelvin: 5.0 });
    let frame = rails(&spec, 137, 0);
    let before = read(&mut mock, &frame, &uniform(&spec, 1, 255), 1).await;
    let after = mock.execute(&uniform(&spec, 1, 255), 1).await.unwrap();
    assert_eq!(after.temperature.0 - before.temperature.0, 5.0);
    let phase = 3.6 * (137.0_f64 / 255.0).powf(1.3);
    let transmission = |phase: f64| 0.997 * (phase / 2.0).sin().powi(2);
    let change = transmission(phase + 0.05) - transmission(phase) - transmission(0.05);
    let found =
        f64::from(after.counts[(0, 0, 0)] - before.counts[(0, 0, 0)]) * step(&spec) / spec.cols as f64;
    assert!((found - change).abs() < 1e-3, "{found} {change}");
}

#[tokio::test]
async fn a_laser_drop_scales_every_signal() {
    let spec = chip(ideal());
    let mut mock = with_fault(&spec, Fault::LaserDrop { fraction: 0.25 });
    let frame = rails(&spec, 230, 0);
    let before = read(&mut mock, &frame, &uniform(&spec, 1, 255), 1).await.counts;
    let after = mock.execute(&uniform(&spec, 1, 255), 1).await.unwrap().counts;
    for (after, before) in after.iter().zip(&before) {
        assert!((f64::from(*after) / f64::from(*before) - 0.25).abs() < 1e-3);
    }
}

#[tokio::test]
async fn the_same_seed_is_the_same_chip_and_another_seed_another() {
    let spec = preset("incoherent-16x16").unwrap();
    let mut readouts = Vec::new();
    for seed in [1, 1, 2] {
        let mut mock = IncoherentMock::new(spec.clone(), seed, Script::default());
        readouts.push((
            mock.true_weights(),
            read(&mut mock, &rails(&spec, 100, 3), &uniform(&spec, 20, 99), 3).await,
        ));
    }
    assert_eq!(readouts[0], readouts[1]);
    assert_ne!(readouts[0].0, readouts[2].0);
    assert_ne!(readouts[0].1.counts, readouts[2].1.counts);
}

#[test]
fn counts_do_not_depend_on_the_number_of_threads() {
    let spec = preset("incoherent-16x16").unwrap();
    let counts = |threads| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut mock = IncoherentMock::new(spec.clone(), 1, Script::default());
            runtime.block_on(read(&mut mock, &rails(&spec, 100, 3), &uniform(&spec, 5000, 99), 2)).counts
        })
    };
    assert_eq!(counts(1), counts(2));
}

#[test]
fn a_key_out_of_range_is_named_with_its_value_and_range() {
    let mut spec = preset("incoherent-16x16").unwrap();
    assert_eq!(spec.check(), Ok(()));
    spec.physics.rin = 1.5;
    insta::assert_snapshot!(spec.check().unwrap_err(), @"`physics.rin` is 1.5, outside its allowed range of 0 to 1");
}

#[test]
fn every_preset_is_within_the_allowed_ranges() {
    for name in alora_drivers::mock::incoherent::PRESETS {
        assert_eq!(preset(name).unwrap().check(), Ok(()), "{name}");
    }
    assert_eq!(preset("incoherent-17x17"), None);
}
