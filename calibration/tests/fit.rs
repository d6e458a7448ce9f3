//! The fit as a whole: the report, and the error models made from it.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::{
    Cell, ErrorLaw, ErrorModel, FitReport, Injected, LawChoice, Pairs, Provenance, fit, read_pairs,
};
use ndarray::{Array3, Array4};

fn provenance() -> Provenance {
    Provenance {
        tool: "alora test".to_owned(),
        processor: None,
        kind: None,
        simulated: true,
        created: "2026-01-01T00:00:00Z".to_owned(),
        seed: 0,
    }
}

fn report(injected: &Injected) -> (Pairs, FitReport) {
    let pairs = injected.pairs(11).unwrap();
    let report = fit(&pairs, provenance());
    (pairs, report)
}

#[test]
fn sigma_is_the_rms_of_the_residuals_of_the_means() {
    let (pairs, report) = report(&Injected::default());
    let mut sum = 0.0;
    for ((p, i, j), target) in pairs.target().indexed_iter() {
        let reads: f64 = (0..3).map(|k| pairs.measured()[(p, k, i, j)]).sum();
        sum += (reads / 3.0 - target).powi(2);
    }
    assert!((report.sigma.rms - (sum / 2560.0).sqrt()).abs() < 1e-12);
    assert_eq!(report.sigma.n, 2560);
    let parts = report.components.unwrap();
    let joined = parts.programming.powi(2) + parts.readout.powi(2) / 3.0;
    assert!((joined - report.sigma.rms.powi(2)).abs() < 1e-15);
}

#[test]
fn the_sigma_object_has_exactly_the_promised_keys() {
    let (_, report) = report(&Injected::default());
    let json = serde_json::to_value(report.sigma).unwrap();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    insta::assert_snapshot!(keys.join(" "), @"ci95 gaussian_histogram gaussian_mle mad n programming readout reference rms");
    assert_eq!(json["reference"], "full_scale");
}

#[test]
fn what_the_data_cannot_give_is_null() {
    let target: Vec<f64> = (0..100).map(|k| f64::from(k) / 100.0).collect();
    let measured: Vec<f64> = target.iter().enumerate().map(|(k, w)| w + 0.01 * (k as f64).sin()).collect();
    let json = serde_json::to_value(fit(&Pairs::list(target, measured).unwrap(), provenance())).unwrap();
    for key in
        ["/sigma/programming", "/sigma/readout", "/components", "/structure", "/defects/stuck", "/shape/rows"]
    {
        assert!(json.pointer(key).unwrap().is_null(), "{key}");
    }
    assert!(json["sigma"]["rms"].is_f64());
}

#[test]
fn a_perfect_processor_has_sigma_0_and_no_distribution() {
    let target = Array3::from_shape_fn((3, 4, 4), |(p, i, j)| (p + i + j) as f64 / 9.0);
    let measured = Array4::from_shape_fn((3, 2, 4, 4), |(p, _, i, j)| target[(p, i, j)]);
    let report = fit(&Pairs::new(target, measured).unwrap(), provenance());
    assert_eq!((report.sigma.rms, report.sigma.ci95, report.sigma.mad), (0.0, [0.0, 0.0], 0.0));
    assert_eq!((report.histogram, report.normality.anderson_darling), (None, None));
    assert_eq!(report.defects.stuck, Some(vec![]));
}

#[test]
fn three_pairs_are_enough_for_a_report() {
    let report = fit(&Pairs::list(vec![1.0, 0.5, -1.0], vec![1.1, 0.5, -1.2]).unwrap(), provenance());
    assert!((report.sigma.rms - (0.05_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!(report.sigma.ci95.iter().all(|bound| bound.is_finite()));
    assert_eq!(report.histogram, None);
}

#[test]
fn stuck_elements_are_counted_and_left_out_of_sigma() {
    let (_, sound) = report(&Injected::default());
    let (_, ill) = report(&Injected { stuck: 2, ..Injected::default() });
    assert_eq!(ill.defects.stuck, Some(vec![Cell { row: 0, col: 0 }, Cell { row: 0, col: 1 }]));
    assert_eq!((ill.defects.excluded, ill.sigma.n), (20, 2540));
    // 20 of 2560 residuals are missing; with them the rms would be some 5 %.
    assert!((ill.sigma.rms / sound.sigma.rms - 1.0).abs() < 0.02);
}

#[test]
fn the_unit_of_the_data_does_not_matter() {
    let (pairs, report) = report(&Injected::default());
    let (target, measured) = pairs.into_arrays();
    let scaled = Pairs::new(target * 250.0, measured * 250.0).unwrap();
    let other = fit(&scaled, provenance());
    assert!((other.sigma.rms - report.sigma.rms).abs() < 1e-12);
    assert!((other.sigma.readout.unwrap() - report.sigma.readout.unwrap()).abs() < 1e-12);
    assert!((other.full_scale - 250.0).abs() < 1e-9);
}

#[test]
fn a_report_survives_toml_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.toml");
    let list = Pairs::list(vec![1.0, 0.5, -1.0], vec![1.1, 0.5, -1.2]).unwrap();
    for report in [report(&Injected { stuck: 1, ..Injected::default() }).1, fit(&list, provenance())] {
        report.write(&path).unwrap();
        assert_eq!(FitReport::read(&path).unwrap(), report);
        let json = serde_json::to_string(&report).unwrap();
        // The JSON number parser may differ in the last digit.
        let back: FitReport = serde_json::from_str(&json).unwrap();
        assert!((back.sigma.rms - report.sigma.rms).abs() < 1e-15);
    }
}

#[test]
fn error_models_keep_the_sigma_of_the_fit() {
    let (pairs, report) = report(&Injected { programmings: 20, ..Injected::default() });
    let folder = tempfile::tempdir().unwrap();
    for choice in [LawChoice::Gaussian, LawChoice::StateDependent, LawChoice::Empirical] {
        let model = ErrorModel::from_fit(&report, &pairs, choice).unwrap();
        assert!((model.sigma - report.sigma.rms).abs() < 1e-15);
        let mean_variance =
            (0..=1000).map(|k| model.law.variance_at(f64::from(k) / 1000.0)).sum::<f64>() / 1001.0;
        // σ(w) weighs the weights as they were drawn, the others are exact up to the bias.
        assert!((mean_variance.sqrt() / report.sigma.rms - 1.0).abs() < 0.01, "{choice:?}");
        let path = folder.path().join("model.toml");
        model.write(&path).unwrap();
        assert_eq!(ErrorModel::read(&path).unwrap(), model);
    }
}

#[test]
fn an_empirical_law_is_thinned_to_4096_residuals_of_mean_0_and_the_same_spread() {
    let (pairs, report) = report(&Injected { programmings: 20, ..Injected::default() });
    let model = ErrorModel::from_fit(&report, &pairs, LawChoice::Empirical).unwrap();
    let ErrorLaw::Empirical { residuals } = &model.law else { unreachable!() };
    assert_eq!(residuals.len(), 4096);
    assert!(residuals.iter().sum::<f64>().abs() < 1e-12);
    assert!((model.law.variance_at(0.0).sqrt() / report.sigma.gaussian_mle - 1.0).abs() < 1e-12);
}

#[test]
fn a_state_dependent_law_from_too_few_residuals_is_refused() {
    let pairs = Pairs::list(vec![1.0, 0.5, -1.0], vec![1.1, 0.5, -1.2]).unwrap();
    let report = fit(&pairs, provenance());
    let error = ErrorModel::from_fit(&report, &pairs, LawChoice::StateDependent).unwrap_err();
    insta::assert_snapshot!(error, @"the fit of 3 residuals holds no σ(w), so the state-dependent law cannot be made; measure more programmings, or take the law `gaussian`");
}

#[test]
fn a_map_holds_what_every_element_keeps_over_all_programmings() {
    let of_elements = Injected { element: 0.02, programming: 0.005, programmings: 40, ..Injected::default() };
    let (pairs, report) = report(&of_elements);
    let model = ErrorModel::from_fit(&report, &pairs, LawChoice::Map).unwrap();
    let ErrorLaw::Map { rows, cols, residuals } = &model.law else { unreachable!() };
    assert_eq!((*rows, *cols, residuals.len()), (16, 16, 256));
    // By plain loops: the mean over programmings of what each reading's mean is off.
    for (cell, residual) in residuals.iter().enumerate() {
        let (row, col) = (cell / 16, cell % 16);
        let mut sum = 0.0;
        for programming in 0..40 {
            let reads: f64 = (0..3).map(|read| pairs.measured()[(programming, read, row, col)]).sum();
            sum += reads / 3.0 - pairs.target()[(programming, row, col)];
        }
        assert!((residual - sum / 40.0).abs() < 1e-12);
    }
    // What is drawn anew averages out: √(0.02² + (0.005² + 0.004²/3)/40), within 4 σ of an rms over 256 elements.
    let rms = model.law.variance_at(0.3).sqrt();
    let expected = (0.02_f64.powi(2) + (0.005_f64.powi(2) + 0.004_f64.powi(2) / 3.0) / 40.0).sqrt();
    assert!((rms / expected - 1.0).abs() < 4.0 / (2.0 * 256.0_f64).sqrt(), "{rms} {expected}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.toml");
    model.write(&path).unwrap();
    assert_eq!(ErrorModel::read(&path).unwrap(), model);
    let text = std::fs::read_to_string(&path).unwrap().replace("rows = 16", "rows = 15");
    std::fs::write(&path, text).unwrap();
    let message = ErrorModel::read(&path).unwrap_err().to_string();
    assert!(message.contains("`law.residuals` holds 256 values, expected 15 × 16"), "{message}");
}

#[test]
fn a_list_of_pairs_has_no_map() {
    let pairs = Pairs::list(vec![1.0, 0.5, -1.0], vec![1.1, 0.5, -1.2]).unwrap();
    let report = fit(&pairs, provenance());
    let error = ErrorModel::from_fit(&report, &pairs, LawChoice::Map).unwrap_err();
    insta::assert_snapshot!(error, @"the pairs are a list without rows and columns, so there is no map of the processor; bring arrays (.npz, rows × columns) or a record, or take the law `empirical`");
}

#[test]
fn a_csv_of_the_pairs_gives_the_same_sigma() {
    let (pairs, report) = report(&Injected { repeats: 1, ..Injected::default() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.csv");
    let rows: Vec<String> = pairs
        .target()
        .iter()
        .zip(pairs.measured())
        .map(|(target, measured)| format!("{target},{measured}"))
        .collect();
    std::fs::write(&path, format!("target,measured\n{}\n", rows.join("\n"))).unwrap();
    let (from_csv, origin) = read_pairs(&path).unwrap();
    assert_eq!(origin, None);
    assert!((fit(&from_csv, provenance()).sigma.rms - report.sigma.rms).abs() < 1e-15);
}
