//! Devices on wires, as an operator uses them: emulated by one process, driven by another.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

#[path = "common/emulated.rs"]
mod emulated;

use emulated::{Emulated, alora};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn soak(port: &str, log: &Path, more: &[&str]) -> (Output, Value) {
    let output = alora()
        .args(["soak", "configs/soak-qontrol.toml", "--device", "weights", "--json", "--set"])
        .arg(format!("device.weights.port={port}"))
        .arg("--log")
        .arg(log)
        .args(more)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

#[test]
fn the_loop_over_the_wire_is_that_of_the_chip_in_process_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[String]| {
        let out = folder.path().join(name);
        let output = alora()
            .args(["run", "tests/configs/quick.toml", "--set", "processor.chip_seed=7", "--out"])
            .arg(&out)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let record: toml::Table =
            toml::from_str(&fs::read_to_string(out.join("record.toml")).unwrap()).unwrap();
        assert_eq!(
            record["provenance"]["simulated"].as_bool(),
            Some(true),
            "an emulated board is no measurement"
        );
        let arrays = ["record.npz", "deployment-ptq.npz", "deployment.npz"];
        let mut report: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        let report = report.as_object_mut().unwrap();
        ["created", "files", "seconds"].into_iter().for_each(|own| drop(report.remove(own)));
        (arrays.map(|array| fs::read(out.join(array)).unwrap()), report.clone())
    };
    let in_process = run("in-process", &[]);
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    for name in ["board", "board-tcp"] {
        let station = folder.path().join(format!("{name}.toml"));
        let file = fs::read_to_string("configs/emulated-board.toml").unwrap();
        fs::write(&station, file.replace("device = \"board\"", &format!("device = \"{name}\""))).unwrap();
        let over_the_wire = run(
            name,
            &[
                "--set".to_owned(),
                format!("processor.station={}", station.display()),
                "--set".to_owned(),
                format!("processor.ports.{name}={}", emulated.port(name)),
            ],
        );
        assert_eq!(over_the_wire.1, in_process.1, "{name}: other figures");
        assert!(over_the_wire.0 == in_process.0, "{name}: other readings");
    }
}

/// σ of a chip after the ordinary calibration, with half of its 95 % interval.
fn sigma(folder: &Path, more: &[String]) -> (f64, f64) {
    let mut calibrate = alora();
    calibrate.args(["calibrate", "configs/demo.toml", "--set", "processor.chip_seed=7", "--out"]).arg(folder);
    let output = calibrate.args(more).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut fit = alora();
    fit.arg("fit").arg(folder.join("record.toml")).arg("--json").arg("--out").arg(folder.join("fit"));
    let report: Value = serde_json::from_slice(&fit.output().unwrap().stdout).unwrap();
    assert_eq!(report["simulated"], true, "emulated instruments are no measurement");
    let sigma = &report["sigma"];
    let ends = [0, 1].map(|end| sigma["ci95"][end].as_f64().unwrap());
    (sigma["rms"].as_f64().unwrap(), (ends[1] - ends[0]) / 2.0)
}

#[test]
fn a_bench_of_instruments_has_the_sigma_of_its_chip_in_process() {
    let folder = tempfile::tempdir().unwrap();
    let preset = ["--set".to_owned(), "processor.preset=incoherent-mzi-4x4".to_owned()];
    let (expected, half) = sigma(&folder.path().join("in-process"), &preset);
    let station = "configs/emulated-bench.toml";
    let emulated = Emulated::start(&[station]);
    let mut ports = vec!["--set".to_owned(), format!("processor.station={station}")];
    for name in ["heaters", "modulators", "meter", "laser", "tec"] {
        ports.extend(["--set".to_owned(), format!("processor.ports.{name}={}", emulated.port(name))]);
    }
    let (found, other_half) = sigma(&folder.path().join("bench"), &ports);
    // The same chip with its noise in another order: three standard errors of the difference.
    let bound = 1.5 * half.hypot(other_half);
    assert!((found - expected).abs() < bound, "{found} over the wires, {expected} in process, ± {bound}");
}

#[test]
fn instruments_of_a_station_answer_the_doctor() {
    let station = "configs/emulated-instruments.toml";
    let emulated = Emulated::start(&[station]);
    let mut doctor = alora();
    doctor.args(["doctor", station, "--json"]);
    let names = ["power-meter", "source-meter", "laser", "legacy-laser", "red-pitaya", "tec"];
    for name in names {
        doctor.arg("--set").arg(format!("device.{name}.port={}", emulated.port(name)));
    }
    let findings: Value = serde_json::from_slice(&doctor.output().unwrap().stdout).unwrap();
    for name in names {
        let of = |finding: &&Value| finding["about"] == name;
        let finding = findings.as_array().unwrap().iter().find(of).unwrap();
        assert_eq!(finding["good"], true, "{finding}");
    }
}

#[test]
fn a_soak_confirms_every_value_on_a_sound_wire_in_text_and_binary() {
    let folder = tempfile::tempdir().unwrap();
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml", "--modules", "2"]);
    for mode in ["ascii", "binary"] {
        let log = folder.path().join(format!("{mode}.csv"));
        let mode = format!("device.weights.mode={mode}");
        let (output, report) = soak(&emulated.port("weights"), &log, &["--pairs", "100", "--set", &mode]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!((&report["pairs"], &report["confirmed"]), (&100.into(), &100.into()), "{report}");
        let lines = fs::read_to_string(&log).unwrap();
        let mut lines = lines.lines();
        assert_eq!(lines.next(), Some("pair,channel,set,reported,outcome"));
        for line in lines {
            let [_, channel, set, reported, outcome] = line.split(',').collect::<Vec<_>>()[..] else {
                unreachable!("{line}")
            };
            let (set, reported): (f64, f64) = (set.parse().unwrap(), reported.parse().unwrap());
            assert!((set - reported).abs() < 2e-4 && outcome == "confirmed", "{line}");
            assert!(channel.parse::<usize>().unwrap() < 16, "{line}");
        }
    }
}

#[test]
fn a_soak_on_a_bad_wire_says_nothing_that_is_not_so() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let faults = r#"
        seed = 5
        bytes = [{ kind = "drop", rate = 0.003 }, { kind = "flip", rate = 0.003 }]
        events = [{ kind = "reset", at_request = 900 }]
    "#;
    fs::write(&plan, faults).unwrap();
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml", "--faults", plan.to_str().unwrap()]);
    let log = folder.path().join("log.csv");
    let (output, report) = soak(&emulated.port("weights"), &log, &["--pairs", "40"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(report["pairs"], 40);
    for line in fs::read_to_string(&log).unwrap().lines().skip(1) {
        let [_, _, set, reported, outcome] = line.split(',').collect::<Vec<_>>()[..] else {
            unreachable!("{line}")
        };
        if outcome == "confirmed" {
            assert!((set.parse::<f64>().unwrap() - reported.parse::<f64>().unwrap()).abs() < 2e-4, "{line}");
        }
    }
    assert!(report["link"]["bytes_invalid"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_port_that_another_program_has_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let port = emulated.port("weights");
    let mut first = alora()
        .args(["soak", "configs/soak-qontrol.toml", "--device", "weights", "--pairs", "1000000", "--set"])
        .arg(format!("device.weights.port={port}"))
        .arg("--log")
        .arg(folder.path().join("first.csv"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has the port once it logs.
    while fs::metadata(folder.path().join("first.csv")).map_or(0, |file| file.len()) < 100 {
        std::thread::yield_now();
    }
    let (output, _) = soak(&port, &folder.path().join("second.csv"), &["--pairs", "1"]);
    let pid = first.id();
    first.kill().unwrap();
    // Standard error ends with the supervisor: the terminal is not given to another test before.
    let ended = first.wait_with_output().unwrap();
    assert!(text(&ended.stderr).contains("supervisor: "), "{}", text(&ended.stderr));
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("pid {pid}")), "{said}");
}

#[test]
fn a_broken_station_file_can_still_be_made_safe() {
    let folder = tempfile::tempdir().unwrap();
    let emulated = Emulated::start(&["configs/emulated-qontrol.toml"]);
    let boards = Emulated::start(&["configs/emulated-board.toml"]);
    let station = folder.path().join("broken.toml");
    let broken = format!(
        "name = \"lab\n[device.weights]\nprotocol = \"qontrol\"\nport = \"{}\"\n[device.board\nprotocol = \"board\"\nport = \"{}\"\n",
        emulated.port("weights"),
        boards.port("board-tcp"),
    );
    fs::write(&station, broken).unwrap();
    let output = alora().args(["safe", "--json"]).arg(&station).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcomes.as_array().unwrap().len(), 2, "{outcomes}");
    assert!(outcomes.as_array().unwrap().iter().all(|outcome| outcome["zero"] == true), "{outcomes}");
}

#[test]
fn a_station_that_does_not_fit_is_refused_by_key_before_anything_is_opened() {
    let run = |set: &str| {
        let output = alora()
            .args(["soak", "configs/soak-qontrol.toml", "--device", "weights", "--set", set])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(
        run("device.weights.vmax_volt=13.0")
            .contains("device.weights.vmax_volt = 13 is out of range; allowed: 0.001 to 12")
    );
    assert!(
        run("device.weights.speed=9600").contains("unknown field"),
        "{}",
        run("device.weights.speed=9600")
    );
    assert!(
        run("device.weights.port=ttyUSB0")
            .contains("`ttyUSB0` is no port; expected a path such as /dev/ttyUSB0")
    );
}

/// A station file of its own, with its records beside it, and `alora` on it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(emulated: &Emulated) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = fs::read_to_string("configs/emulated-board.toml").unwrap();
        let file = file
            .replace("/dev/ttyACM0", &emulated.port("board"))
            .replace("tcp:127.0.0.1:5500", &emulated.port("board-tcp"))
            .replace("[processor]", "[records]\nfolder = \"RECORDS\"\n\n[processor]")
            .replace("RECORDS", folder.path().join("records").to_str().unwrap());
        fs::write(folder.path().join("station.toml"), file).unwrap();
        Self { folder }
    }

    fn station(&self) -> String {
        self.folder.path().join("station.toml").display().to_string()
    }

    fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = alora().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.says(&["status", &self.station(), "--json"], 0)).unwrap()
    }

    /// Calibrates and measures.
    fn calibrate(&self) -> Command {
        let mut command = alora();
        command.args(["calibrate", "tests/configs/quick.toml", "--set"]);
        command.arg(format!("processor.station={}", self.station()));
        command.arg("--out").arg(self.folder.path().join("run"));
        command
    }
}

#[test]
fn what_is_done_on_a_station_is_on_record_and_can_be_played_again() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let bench = Bench::new(&emulated);
    assert!(bench.calibrate().output().unwrap().status.success());
    let status = bench.status();
    assert_eq!(status["devices"][0]["zero"], true, "{status}");
    assert_eq!(status["programming"]["zeroed"], serde_json::json!([[0, 511]]), "{status}");
    assert_eq!(status["audit"].as_array().unwrap().last().unwrap()["what"], "park");
    let station = bench.station();
    let checked: Value =
        serde_json::from_str(&bench.says(&["log", "verify", &station, "--json"], 0)).unwrap();
    assert!(checked["lines"].as_u64().unwrap() > 10 && checked["bad"] == serde_json::json!([]), "{checked}");
    let shown = bench.says(&["log", "show", &station, "--last", "3"], 0);
    assert!(shown.contains("apply board (simulated)"), "{shown}");
    let raw = bench.says(&["log", "raw", &station, "--device", "board", "--last", "200"], 0);
    assert!(raw.contains("PARK reply #") && raw.contains("  <-  "), "{raw}");
    let played: Value = serde_json::from_str(&bench.says(&["log", "replay", &station, "--json"], 0)).unwrap();
    assert_eq!((&played["connections"], &played["first"]), (&1.into(), &Value::Null), "{played}");
    bench.says(&["safe", &station], 0);
    let shown = bench.says(&["log", "show", &station, "--last", "2"], 0);
    assert!(shown.contains("safe board") && shown.contains("parked, it says"), "{shown}");
    let audit = bench.folder.path().join("records/audit.jsonl");
    let altered = fs::read_to_string(&audit).unwrap().replacen("\"what\":\"apply\"", "\"what\":\"reply\"", 1);
    fs::write(&audit, altered).unwrap();
    let bad = bench.says(&["log", "verify", &station], 6);
    assert!(bad.contains("was altered after it was written"), "{bad}");
}

#[test]
fn after_a_kill_the_status_says_what_the_last_programming_came_to() {
    let emulated = Emulated::start(&["configs/emulated-board.toml"]);
    let bench = Bench::new(&emulated);
    let mut run = bench.calibrate().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let journal = bench.folder.path().join("records/board.journal");
    while fs::metadata(&journal).map_or(0, |file| file.len()) < 10_000 {
        assert!(run.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::yield_now();
    }
    let busy = bench.status();
    assert!(busy["devices"][0]["held_by"].as_str().unwrap().contains(&format!("pid {}", run.id())), "{busy}");
    run.kill().unwrap();
    // Its supervisor has the same standard error, which ends with the last of both.
    let said = text(&run.wait_with_output().unwrap().stderr);
    assert!(said.contains("supervisor: ") && said.contains("parked, it says"), "{said}");
    let status = bench.status();
    let programming = &status["programming"];
    assert_eq!(programming["cut_off"], true, "{status}");
    let named = |name: &str| -> u64 {
        let ranges = programming[name].as_array().unwrap().iter();
        ranges.map(|range| range[1].as_u64().unwrap() - range[0].as_u64().unwrap() + 1).sum()
    };
    assert_eq!(named("old") + named("new") + named("zeroed") + named("unknown"), 512, "{status}");
    // The supervisor asked the board before it parked it.
    assert_eq!(named("unknown"), 0, "{status}");
    let output = bench.calibrate().output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the program before was cut off"), "{}", text(&output.stderr));
    let recovered = bench.says(&["log", "show", &bench.station()], 0);
    assert!(
        ["the port was left by alora", "recovered board", "made safe board"]
            .iter()
            .all(|line| recovered.contains(line)),
        "{recovered}"
    );
}
