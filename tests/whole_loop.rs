//! The loop through the real binary: as one command, and stage by stage with files in between.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn quick() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/quick.toml")
}

fn alora(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("alora").unwrap();
    command.current_dir(folder).env("OPENBLAS_NUM_THREADS", "1").args(arguments);
    command
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = alora(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {value}"))
}

/// The parts of a report that must not depend on when and where it was made.
fn figures(report: &Value) -> Value {
    serde_json::json!([report["sigma"], report["accuracy"], report["parameters"], report["deployment"]])
}

#[test]
fn run_reports_the_loop_as_one_object_and_leaves_every_file_it_names() {
    let folder = TempDir::new().unwrap();
    let config = quick();
    let arguments = ["run", config.to_str().unwrap(), "--out", "out", "--json"];
    let report = json(folder.path(), &arguments);

    assert_eq!(report["simulated"], true);
    assert_eq!(report["sigma"]["reference"], "full_scale");
    let sigma = number(&report, "/sigma/rms");
    assert!(number(&report, "/sigma/ci95/0") < sigma && sigma < number(&report, "/sigma/ci95/1"));
    for key in ["gaussian_mle", "gaussian_histogram", "mad", "programming", "readout"] {
        assert!(number(&report, &format!("/sigma/{key}")) > 0.0, "{key}");
    }
    assert_eq!(number(&report, "/sigma/n"), 4.0 * 256.0, "P × rows × cols");
    for key in ["digital", "ptq_on_chip", "alora_on_chip"] {
        // 1 500 images and three epochs: far above the 10 % of guessing is all that is asked of so small a network.
        assert!(number(&report, &format!("/accuracy/{key}")) > 0.6, "{key} in {}", report["accuracy"]);
    }
    let tiles = number(&report, "/deployment/tiles");
    assert_eq!(tiles, 49.0 * 2.0 + 2.0 * 2.0 + 2.0 * 2.0 + 2.0, "784-32-32-32-10 in 16 × 16");
    assert_eq!(number(&report, "/deployment/verified"), tiles);
    assert_eq!(number(&report, "/parameters/total"), f64::from(785 * 32 + 33 * 32 + 33 * 32 + 33 * 10));
    assert_eq!(number(&report, "/parameters/trainable"), f64::from(8 * ((784 + 32) + 2 * 64 + 42)));

    let files = report["files"].as_object().unwrap();
    for (key, path) in files {
        let path = folder.path().join(path.as_str().unwrap());
        assert!(fs::metadata(&path).unwrap().len() > 0, "{key}: {}", path.display());
    }
    for key in ["config", "manifest", "record", "error_model", "adapters", "merged", "figure_accuracy"] {
        assert!(files.contains_key(key), "{key} in {files:?}");
    }

    // The configuration as resolved gives the same figures again.
    let again = json(folder.path(), &["run", "out/config.toml", "--out", "again", "--json"]);
    assert_eq!(figures(&report), figures(&again));
    // Another seed is another run.
    let other = json(folder.path(), &["run", "out/config.toml", "--out", "other", "--json", "--seed", "4"]);
    assert_ne!(figures(&report), figures(&other));
}

/// The codes of the deployment in `chip`, told beforehand and without the processor.
fn a_dry_run_tells_what_is_written(folder: &Path, config: &str, deploy: &[&str], deployment: &[&str]) {
    // A station whose port does not exist: nothing is opened.
    let station = |limit: u16| {
        let text = format!(
            "chip = {{ preset = \"incoherent-16x16\" }}\n[device.board]\nprotocol = \"board\"\nport = \"/dev/nowhere\"\n\
             limit = {limit}\n"
        );
        fs::write(folder.join("station.toml"), text).unwrap();
    };
    station(255);
    let plan = [config, "--dry-run", "--json", "--set", "processor.station=station.toml"];
    let planned = json(folder, &[&["deploy"][..], &plan, deploy].concat());
    let verified = [&["verify"][..], &plan, &deploy[..2], deployment].concat();
    assert_eq!(json(folder, &verified)["writes"], planned["writes"], "what is written again is the same");
    let mut arrays =
        ndarray_npy::NpzReader::new(fs::File::open(folder.join("chip/deployment.npz")).unwrap()).unwrap();
    let writes = planned["writes"].as_array().unwrap();
    assert_eq!(writes.len(), 49 * 2 + 2 * 2 + 2 * 2 + 2);
    for write in writes {
        let (layer, tile) = (write["layer"].as_str().unwrap(), number(write, "/tile") as usize);
        let held: ndarray::Array2<u16> = arrays.by_name(&format!("{layer}.codes")).unwrap();
        assert_eq!(write["codes"], serde_json::json!(held.row(tile).to_vec()), "{layer}, tile {tile}");
    }
    let code = number(&writes[0], "/codes/7");
    let words = format!("{:.2} % of full scale", 100.0 * code / 255.0);
    assert_eq!(writes[0]["in_words"][7], words.as_str());
    assert!(!folder.join("runs").exists(), "a dry run leaves nothing");

    let text = [&["deploy", config, "--dry-run"][..], deploy].concat();
    let output = alora(folder, &text).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("  actuator    7: code {code:>5} of   255, {words}\n")),
        "{}",
        &text[..2000]
    );

    // A bench knows volts: 5 V are the highest code of its heaters.
    let bench = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/emulated-bench.toml");
    let small = ["--set", "processor.preset=incoherent-mzi-4x4"];
    json(folder, &[&["calibrate", config, "--out", "small", "--json"][..], &small].concat());
    let bench = format!("processor.station={bench}");
    let at_bench = ["deploy", config, "--dry-run", "--json", "--set", &bench];
    let weights = ["--calibration", "small/calibration.toml", "--weights", "tuned/merged.safetensors"];
    let planned = json(folder, &[&at_bench[..], &weights].concat());
    let volts = 5.0 * number(&planned, "/writes/0/codes/3") / number(&planned, "/limits/3");
    assert_eq!(planned["writes"][0]["in_words"][3], format!("{volts:.4} V at channel 3 of heaters").as_str());

    station(10);
    let output = alora(folder, &[&["deploy"][..], &plan, deploy].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("is above its limit of 10; nothing was applied"), "{message}");
}

#[test]
fn the_stages_pass_files_and_verification_tells_good_from_bad() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let config = quick();
    let config = config.to_str().unwrap();
    json(path, &["calibrate", config, "--out", "lab", "--json"]);
    let fit = json(path, &["fit", "lab/record.toml", "--out", "fit", "--json"]);
    assert!(number(&fit, "/sigma/rms") > 0.0);
    json(path, &["finetune", config, "--error-model", "fit/error-model.toml", "--out", "tuned", "--json"]);
    let deploy = ["--calibration", "lab/calibration.toml", "--weights", "tuned/merged.safetensors"];
    let deployed = json(path, &[&["deploy", config, "--out", "chip", "--json"][..], &deploy[..]].concat());
    assert!(number(&deployed, "/accuracy") > 0.6, "{deployed}");

    let verify =
        ["verify", config, "--calibration", "lab/calibration.toml", "--deployment", "chip/deployment.toml"];
    let verified = json(path, &[&verify[..], &["--json"]].concat());
    assert_eq!(number(&verified, "/recoded"), 0.0, "the same calibration gives the same codes");
    assert_eq!(verified["verified"], verified["tiles"]);

    a_dry_run_tells_what_is_written(path, config, &deploy, &verify[4..]);

    // A limit that no processor keeps: out of specification.
    let text = fs::read_to_string(path.join("chip/deployment.toml")).unwrap();
    fs::write(path.join("chip/deployment.toml"), text.replace("residual = 0.1", "residual = 0.0001"))
        .unwrap();
    let output = alora(path, &verify).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{message}");
    assert!(message.contains("out of specification") && message.contains("calibrate again"), "{message}");

    // A calibration of another chip is refused.
    let other = fs::read_to_string(config).unwrap().replace("chip_seed = 5", "chip_seed = 6");
    fs::write(path.join("other.toml"), other).unwrap();
    let output = alora(path, &[&["deploy", "other.toml"][..], &deploy[..]].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("belongs to processor") && message.contains("alora calibrate"), "{message}");

    // Adapters would count twice in weights that hold them already.
    let twice = ["deploy", config, "--adapters", "tuned/adapters.safetensors"];
    let output = alora(path, &[&twice[..], &deploy[..]].concat()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("merged.safetensors") && message.contains("base weights"), "{message}");

    // A record of another schema is refused.
    let record = fs::read_to_string(path.join("lab/record.toml")).unwrap();
    fs::write(path.join("lab/record.toml"), record.replace("alora.record/1", "alora.record/9")).unwrap();
    let output = alora(path, &["fit", "lab/record.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("alora.record/9") && message.contains("alora.record/1"), "{message}");
}

fn dry_run(configuration: &str, set: &[&str]) -> Value {
    let folder = TempDir::new().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(configuration);
    let overrides = set.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> =
        ["finetune", path.to_str().unwrap(), "--dry-run", "--json"].into_iter().chain(overrides).collect();
    let found = json(folder.path(), &arguments);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    found
}

#[test]
fn a_dry_run_counts_what_the_paper_s_transformer_would_train() {
    let biased = dry_run("configs/vit-b16.toml", &[]);
    // 0.14e7 of 8.7e7 (Taniguchi et al., OECC/PSC 2025): rank 8 beside seven kinds of layers, with biases.
    assert_eq!(biased["parameters"]["trainable"], 1_416_866);
    assert_eq!(biased["parameters"]["total"], 85_798_656 + 7690);
    assert_eq!(biased["method"], "ALoRA");
    assert_eq!(biased["architecture"]["family"], "vit");
    let plain = dry_run("configs/vit-b16.toml", &["finetune.adapter.bias=false"]);
    assert_eq!(plain["parameters"]["trainable"], 1_333_328);
    let base = dry_run("configs/vit-b16.toml", &["finetune.techniques.lora=false"]);
    assert_eq!(base["parameters"]["trainable"], base["parameters"]["total"]);
    // The bundled digits make a perceptron where nothing else is said.
    let mlp = dry_run("tests/configs/quick.toml", &[]);
    assert_eq!(number(&mlp, "/parameters/trainable"), f64::from(8 * ((784 + 32) + 2 * 64 + 42)));
}

/// A small transformer on few digits.
const TRANSFORMER: &[&str] = &[
    "model.architecture={ family = \"vit\", hidden_size = 24, num_hidden_layers = 1, num_attention_heads = 3, intermediate_size \
     = 32, hidden_act = \"gelu\", layer_norm_eps = 1e-6, image_size = 14, patch_size = 7, num_channels = 1, qkv_bias = true, \
     classes = 10 }",
    "error_model.assumed_sigma=0.03",
    "evaluation.chips=2",
    "finetune.adapter.bias=true",
];

#[test]
fn a_transformer_is_fine_tuned_without_a_measurement_and_its_files_go_round() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let config = quick();
    let overrides = || TRANSFORMER.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["finetune", config.to_str().unwrap(), "--out", "out", "--json"]
        .into_iter()
        .chain(overrides())
        .collect();
    let found = json(path, &arguments);
    assert_eq!(found["simulated"], true);
    for when in ["before", "after"] {
        for key in ["digital", "quantised", "fresh/mean", "frozen/p5"] {
            let fraction = number(&found, &format!("/{when}/{key}"));
            assert!((0.0..=1.0).contains(&fraction), "{when}/{key}");
        }
        assert_eq!(found[when]["frozen"]["values"].as_array().unwrap().len(), 2);
    }
    assert!(number(&found, "/digital") > 0.3, "{found}");
    for (key, file) in found["files"].as_object().unwrap() {
        assert!(path.join(file.as_str().unwrap()).exists(), "{key}");
    }
    for file in
        ["base/model.safetensors", "base/config.json", "merged/model.safetensors", "peft/adapter_config.json"]
    {
        assert!(path.join("out").join(file).exists(), "{file}");
    }
    // Brought back, base and adapters are where they were: nothing trains, and the same is found.
    let again: Vec<&str> = [
        "finetune",
        config.to_str().unwrap(),
        "--out",
        "again",
        "--json",
        "--set",
        "model.weights=out/base",
        "--set",
        "model.adapters=out/adapters.safetensors",
        "--set",
        "finetune.learning_rate=1e-30",
    ]
    .into_iter()
    .chain(TRANSFORMER.iter().skip(1).flat_map(|set| ["--set", set]))
    .collect();
    let again = json(path, &again);
    assert_eq!(found["digital"], again["digital"]);
    assert_eq!(found["before"]["fresh"]["values"], again["before"]["fresh"]["values"]);
    assert_eq!(found["after"], again["after"]);
}

#[test]
fn a_sweep_runs_its_cells_once_and_goes_on_in_its_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let text = fs::read_to_string(quick()).unwrap();
    let sweep = "\n[evaluation]\nbatch_size = 100\n[sweep]\nfigure = \"fig4\"\nmethods = [\"ptq\", \"alora\"]\nbits = [4]\n\
                 sigma_percent = [0.0, 5.0]\ndraws = 1\nchips = 2\nmodels = [{ name = \"MLP\", set = { model = { hidden = [16] } } }]\n\
                 tasks = [{ name = \"MNIST\" }]\n";
    fs::write(path.join("small.toml"), text + sweep).unwrap();
    let run =
        |set: &[&str]| json(path, &[&["sweep", "small.toml", "--out", "swept", "--json"], set].concat());
    let found = run(&[]);
    assert_eq!((number(&found, "/ran"), number(&found, "/reused")), (4.0, 0.0), "{found}");
    assert!(found["failed"].as_array().unwrap().is_empty(), "{found}");
    for file in found["files"].as_array().unwrap() {
        assert!(path.join(file.as_str().unwrap()).exists(), "{file}");
    }
    assert_eq!(number(&run(&[]), "/ran"), 0.0);
    // What a cell depends on runs it again; what none depends on does not.
    assert_eq!(number(&run(&["--set", "figures.bits=[6]"]), "/ran"), 0.0);
    assert_eq!(number(&run(&["--set", "finetune.epochs=2"]), "/ran"), 2.0);
    let table = fs::read_to_string(path.join("swept/sweep.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let (method, digital, adapted) = (column("method"), column("digital"), column("adapted"));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 4, "{table}");
    for row in &rows {
        // The base is the same for all methods, and what nothing adapted is the base.
        assert_eq!(row[digital], rows[0][digital], "{table}");
        assert_eq!(row[adapted] == row[digital], row[method] == "ptq", "{table}");
    }
}
