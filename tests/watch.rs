//! `alora watch`, as an operator runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use assert_cmd::Command;
use serde_json::Value;

const CONFIG: &str = "configs/factory-fresh-coherent-4x4.toml";

fn alora() -> Command {
    let mut command = Command::cargo_bin("alora").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn characterised(folder: &Path) -> std::path::PathBuf {
    let run = folder.join("characterised");
    let output = alora()
        .args(["characterize", CONFIG, "--set", "characterize.drift.duration_s=0", "--out"])
        .arg(&run)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    run.join("calibration.toml")
}

fn watch(calibration: &Path, out: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = alora()
        .args(["watch", CONFIG, "--json", "--calibration"])
        .arg(calibration)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), json, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_quiet_hour_ends_good_and_a_wandering_temperature_is_told_before_the_budget_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = characterised(folder.path());

    let (code, quiet, errors) = watch(&calibration, &folder.path().join("quiet"), &["--for", "3600"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!((&quiet["ended"], &quiet["checks"]), (&"time_over".into(), &61.into()));
    assert_eq!(quiet["simulated"], true);
    let table = fs::read_to_string(folder.path().join("quiet/watch.csv")).unwrap();
    assert_eq!(table.lines().count(), 62);
    assert!(folder.path().join("quiet/calibration.toml").exists());

    let wanders = "processor.physics.temperature={sd=1.0,tau_s=200000.0}";
    let (code, due, errors) =
        watch(&calibration, &folder.path().join("due"), &["--set", wanders, "--for", "86400"]);
    assert_eq!(code, Some(6), "{errors}");
    assert!(errors.contains("a recalibration is due after"), "{errors}");
    assert_eq!(due["ended"], "due");
    assert!(due["largest_sigma"].as_f64().unwrap() < 0.005);
    assert!(due["last"]["foreseen"].as_f64().unwrap() >= 0.005);
}

#[test]
fn a_matrix_of_ones_own_is_watched_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = characterised(folder.path());
    let (good, wide) = (folder.path().join("good.npy"), folder.path().join("wide.npy"));
    ndarray_npy::write_npy(&good, &(ndarray::Array2::<f64>::eye(4) * 0.8)).unwrap();
    ndarray_npy::write_npy(&wide, &ndarray::Array2::<f64>::eye(5)).unwrap();

    let out = folder.path().join("eye");
    let arguments = ["--for", "120", "--matrix", good.to_str().unwrap()];
    let (code, json, errors) = watch(&calibration, &out, &arguments);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(json["checks"], 3);

    let (code, _, errors) = watch(&calibration, &out, &["--matrix", wide.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("the matrix is 5 × 5, the processor holds 4 × 4"), "{errors}");
    let (code, _, errors) = watch(&calibration, &out, &["--set", "processor.chip_seed=2"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("mock-coherent-4x4-0002 is connected"), "{errors}");
}
