//! A sweep runs what is missing and nothing else, survives interruption, and shows what is there.
//!
//! Set `ALORA_FIGURES` to a folder to keep the images and look at them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use alora::{
    config::ConfigError,
    sweep::{
        Cell, CellResult, Draws, HEADER, Method, Outcome, Percent, PlannedCell, Shown, SweepConfig,
        SweepError, SweepFigure, SweepPlan, SweepReport, SweepStore, TrainSigma, Variant, draw_sweep,
        run_sweep, split, write_document,
    },
};
use alora_calibration::{Event, Observer, Silent};
use toml::Table;

const BASE: &str = "
seed = 9
[model]
hidden = [256, 256]
[pretrain]
epochs = 3
[finetune]
epochs = 5
[finetune.adapter]
rank = 8
[deployment]
repeats = 2
";

fn base() -> Table {
    BASE.parse().unwrap()
}

fn variant(name: &str, set: &str) -> Variant {
    Variant { name: name.to_owned(), set: set.parse().unwrap() }
}

fn config() -> SweepConfig {
    SweepConfig {
        methods: vec![Method::Ptq, Method::Qat, Method::Alora],
        bits: vec![8, 4],
        sigma_percent: [0.0, 1.2, 3.0].map(Percent).to_vec(),
        seeds: vec![1, 2],
        models: vec![variant("MLP", ""), variant("ViT-S/14", "model = { hidden = [64] }")],
        tasks: vec![variant("MNIST", "")],
        ..SweepConfig::default()
    }
}

/// Every default in place: here there are none.
fn as_given(table: &Table) -> Result<Table, ConfigError> {
    Ok(table.clone())
}

fn plan_of(base: &Table, config: SweepConfig) -> SweepPlan {
    SweepPlan::new(base, config, &as_given).unwrap()
}

fn plan() -> SweepPlan {
    plan_of(&base(), config())
}

#[derive(Debug)]
struct Diverged;

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("training diverged in epoch 2")
    }
}

impl std::error::Error for Diverged {}

/// Accuracy that falls with σ, later for ALoRA and for the MLP, and is lower by the bits; seeds differ by a little.
fn accuracy(cell: &Cell) -> f64 {
    let knee = match cell.method {
        Method::Ptq => 1.0,
        Method::Qat => 1.2,
        Method::QatLora => 1.3,
        Method::Alora => 4.0,
    };
    let knee = if cell.model.starts_with("MLP") { knee * 6.0 } else { knee };
    let top = 0.97 - if cell.method == Method::Ptq { 1.0 } else { 0.4 } / f64::from(1_u32 << cell.bits);
    0.1 + (top - 0.1) / (1.0 + (cell.sigma.0 / knee).powi(3)) - 0.013 * (cell.seed % 3) as f64
}

fn result(planned: &PlannedCell) -> CellResult {
    let mean = accuracy(&planned.cell);
    let repeats = |n: usize| Draws::of(&(0..n).map(|draw| mean - 0.004 * draw as f64).collect::<Vec<_>>());
    let trained = planned.train_sigma.is_some();
    CellResult {
        digital: 0.975,
        adapted: 0.98,
        quantised: 0.97,
        trainable: if trained { 1_416_866 } else { 0 },
        total: 87_215_524,
        seconds: if trained { 30.0 } else { 2.0 },
        losses: if trained { vec![0.9, 0.4] } else { vec![] },
        fresh: repeats(planned.draws).unwrap(),
        frozen: repeats(planned.chips),
    }
}

/// Runs all that is due; returns the report and the cells that were run.
fn run(plan: &SweepPlan, store: &mut SweepStore) -> (SweepReport, Vec<Cell>) {
    let mut ran = Vec::new();
    let report = run_sweep(plan, store, false, &mut Silent, &mut |planned, _| {
        ran.push(planned.cell.clone());
        Ok::<_, Diverged>(result(planned))
    });
    (report.unwrap(), ran)
}

/// Keeps notes.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn on(&mut self, event: Event) {
        if let Event::Note(note) = event {
            self.0.push(note);
        }
    }
}

/// Interrupted once the flag is set, as by Ctrl-C.
struct Flagged<'a>(&'a AtomicBool);

impl Observer for Flagged<'_> {
    fn on(&mut self, _event: Event) {}

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("cells")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some()).collect();
    paths.sort();
    paths
}

#[test]
fn every_combination_is_a_cell_of_its_own_and_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let (report, ran) = run(&plan(), &mut store);
    assert_eq!((report.total, report.ran, report.reused), (72, 72, 0));
    assert!(ran.iter().enumerate().all(|(index, cell)| !ran[..index].contains(cell)));
    assert_eq!(files(folder.path()).len(), 72);
    let (report, ran) = run(&plan(), &mut store);
    assert_eq!((report.ran, report.reused, ran.len()), (0, 72, 0));
}

#[test]
fn a_store_opened_again_runs_only_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    run(&plan(), &mut SweepStore::open(folder.path()).unwrap());
    let lost = files(folder.path()).remove(17);
    fs::remove_file(lost).unwrap();
    let more = SweepConfig { sigma_percent: [0.0, 1.2, 3.0, 5.0].map(Percent).to_vec(), ..config() };
    let (report, ran) = run(&plan_of(&base(), more), &mut SweepStore::open(folder.path()).unwrap());
    assert_eq!((report.ran, report.reused), (24 + 1, 71));
    assert_eq!(ran.iter().filter(|cell| cell.sigma != Percent(5.0)).count(), 1);
}

#[test]
fn an_interruption_loses_the_running_cell_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let mut left = 10;
    let flag = AtomicBool::new(false);
    // The eleventh cell notices Ctrl-C itself and gives up; that is no failure of the cell.
    let error = run_sweep(&plan(), &mut store, false, &mut Flagged(&flag), &mut |planned, _| {
        if left == 0 {
            flag.store(true, Ordering::Relaxed);
            return Err(Diverged);
        }
        left -= 1;
        Ok(result(planned))
    });
    assert!(matches!(error, Err(SweepError::Interrupted { done: 10, total: 72 })), "{error:?}");
    drop(store);
    let mut store = SweepStore::open(folder.path()).unwrap();
    // Interrupted from the start: nothing runs.
    let nothing = run_sweep(&plan(), &mut store, false, &mut Flagged(&flag), &mut |planned, _| {
        Ok::<_, Diverged>(result(planned))
    });
    assert!(matches!(nothing, Err(SweepError::Interrupted { done: 10, .. })));
    assert_eq!(run(&plan(), &mut store).0.ran, 62);
}

const KILLED: &str = "ALORA_SWEEP_TO_KILL";

/// The process that [`a_killed_process_loses_the_running_cell_only`] kills: it says when its sixth cell runs, and waits.
#[test]
#[ignore = "runs as a process of its own"]
fn a_sweep_to_kill() {
    let Some(folder) = std::env::var_os(KILLED) else { return };
    let mut store = SweepStore::open(Path::new(&folder)).unwrap();
    let mut ran = 0;
    let ended = run_sweep(&plan(), &mut store, false, &mut Silent, &mut |planned, _| {
        ran += 1;
        if ran == 6 {
            std::io::stdout().write_all(b"\nsixth cell\n").unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        Ok::<_, Diverged>(result(planned))
    });
    ended.unwrap();
}

#[test]
fn a_killed_process_loses_the_running_cell_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_sweep_to_kill", "--nocapture"])
        .env(KILLED, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == "sixth cell"));
    assert!(matches!(SweepStore::open(folder.path()), Err(SweepError::Busy { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    assert_eq!(run(&plan(), &mut store).0, SweepReport { total: 72, ran: 67, reused: 5, failed: vec![] });
}

#[test]
fn what_a_killed_write_leaves_behind_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    run(&plan(), &mut SweepStore::open(folder.path()).unwrap());
    fs::write(folder.path().join("cells/.tmpAb12Cd"), "schema = \"alora.sw").unwrap();
    assert_eq!(run(&plan(), &mut SweepStore::open(folder.path()).unwrap()).0.reused, 72);
}

/// How opening fails after `spoil` has been at the first cell's file; the folder's name is left out.
fn refusal(spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    run(&plan(), &mut SweepStore::open(folder.path()).unwrap());
    spoil(&files(folder.path())[0]);
    let error = SweepStore::open(folder.path()).unwrap_err().to_string();
    error.replace(&format!("{}/cells/", folder.path().display()), "")
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_file_that_is_not_a_whole_cell_is_named_and_refused() {
    let halved = refusal(|path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, &text[..text.len() / 2]).unwrap();
    });
    assert!(halved.starts_with("mlp_mnist_alora_4bit_0pc_seed1-"), "{halved}");
    assert!(halved.contains("the file is truncated or was changed"), "{halved}");

    let changed = refusal(|path| edit(path, "seed = 1", "seed = 7"));
    assert!(
        changed.ends_with(
            "the key does not match the cell; the file was changed, delete it to run the cell again"
        )
    );

    let renamed = refusal(|path| fs::rename(path, path.with_file_name("best.toml")).unwrap());
    assert!(
        renamed.starts_with("best.toml: the name does not match the cell, expected `mlp_mnist"),
        "{renamed}"
    );

    let foreign = refusal(|path| fs::write(path.with_file_name("notes.txt"), "x").unwrap());
    assert_eq!(foreign, "notes.txt: this is not a cell of a sweep, which end in `.toml`; move it elsewhere");

    let other = refusal(|path| edit(path, "alora.sweep-cell/2", "alora.manifest/1"));
    assert!(other.contains("this is a file of another kind"), "{other}");
}

#[test]
fn two_sweeps_do_not_write_to_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = SweepStore::open(folder.path()).unwrap();
    assert!(matches!(SweepStore::open(folder.path()), Err(SweepError::Busy { .. })));
    drop(store);
    SweepStore::open(folder.path()).unwrap();
}

/// Keeps notes and is interrupted before the first cell.
#[derive(Default)]
struct Announcement(Vec<String>);

impl Observer for Announcement {
    fn on(&mut self, event: Event) {
        if let Event::Note(note) = event {
            self.0.push(note);
        }
    }

    fn interrupted(&self) -> bool {
        true
    }
}

/// Cells that are due after a change of the base configuration, and the notes on why.
fn due_after(store: &mut SweepStore, change: &str) -> (Vec<Cell>, Vec<String>) {
    let mut changed = base();
    for (section, keys) in change.parse::<Table>().unwrap() {
        let below = changed.entry(section).or_insert_with(|| Table::new().into()).as_table_mut().unwrap();
        below.extend(keys.as_table().unwrap().clone());
    }
    let (plan, mut notes) = (plan_of(&changed, config()), Announcement::default());
    let due = plan.cells().iter().filter(|planned| store.record(planned).is_none());
    let due: Vec<Cell> = due.map(|planned| planned.cell.clone()).collect();
    let stopped = run_sweep(&plan, store, false, &mut notes, &mut |_, _| Err(Diverged));
    assert_eq!(due.is_empty(), stopped.is_ok());
    assert!(notes.0[0].contains(&format!("; {} to run", due.len())), "{}", notes.0[0]);
    notes.0.remove(0);
    (due, notes.0)
}

#[test]
fn a_changed_configuration_runs_the_cells_it_decides_again_and_says_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    run(&plan(), &mut store);
    let (ran, notes) = due_after(&mut store, "pretrain = { epochs = 4 }");
    assert_eq!(ran.len(), 72);
    assert_eq!(notes, ["72 of them were run under another configuration: pretrain.epochs was 3, is 4"]);

    let (ran, notes) = due_after(&mut store, "finetune = { epochs = 6 }");
    assert!(ran.iter().all(|cell| cell.method != Method::Ptq), "PTQ does not fine-tune");
    assert_eq!(ran.len(), 48);
    assert_eq!(notes, ["48 of them were run under another configuration: finetune.epochs was 5, is 6"]);

    let (ran, _) = due_after(&mut store, "finetune = { adapter = { rank = 4 } }");
    assert!(ran.iter().all(|cell| cell.method == Method::Alora), "only ALoRA has adapters here");
    assert_eq!(ran.len(), 24);

    let (ran, notes) = due_after(&mut store, "model = { hidden = [300] }");
    assert!(ran.iter().all(|cell| cell.model == "MLP"), "the other network has its own");
    assert_eq!(
        notes,
        ["36 of them were run under another configuration: model.hidden was [256, 256], is [300]"]
    );

    let (ran, notes) = due_after(&mut store, "deployment = { repeats = 9 }");
    assert_eq!((ran.len(), notes.len()), (0, 0), "a sweep deploys nothing");
}

#[test]
fn a_configuration_changed_back_finds_its_cells_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    run(&plan(), &mut store);
    let more = SweepConfig { draws: 5, ..config() };
    assert_eq!(run(&plan_of(&base(), more), &mut store).0.ran, 72);
    assert_eq!(run(&plan(), &mut store).0.ran, 0);
}

#[test]
fn a_failed_cell_stops_no_other_and_is_run_again_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let fails =
        |cell: &Cell| cell.method == Method::Alora && cell.sigma == Percent(3.0) && cell.model == "MLP";
    let mut notes = Notes::default();
    let mut failing = |planned: &PlannedCell, _: &mut dyn Observer| match planned {
        PlannedCell { cell, .. } if !fails(cell) => Ok(result(planned)),
        PlannedCell { cell, .. } if cell.seed == 1 => Err(Diverged),
        _ => Ok(CellResult { digital: f64::NAN, ..result(planned) }),
    };
    let report = run_sweep(&plan(), &mut store, false, &mut notes, &mut failing).unwrap();
    assert_eq!((report.ran, report.failed.len()), (72, 4));
    let last = notes.0.iter().rev().take(5).rev().cloned().collect::<Vec<_>>().join("\n");
    assert_eq!(
        last,
        "4 of 72 cells failed and are run again only when asked for:\n  \
         MLP, MNIST, ALoRA, 8 bits, σ = 3 %, seed 1: training diverged in epoch 2\n  \
         MLP, MNIST, ALoRA, 4 bits, σ = 3 %, seed 1: training diverged in epoch 2\n  \
         MLP, MNIST, ALoRA, 8 bits, σ = 3 %, seed 2: the digital accuracy is NaN, expected a fraction from 0 to 1\n  \
         MLP, MNIST, ALoRA, 4 bits, σ = 3 %, seed 2: the digital accuracy is NaN, expected a fraction from 0 to 1"
    );
    let table = fs::read_to_string(folder.path().join("sweep.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",failed,")).count(), 4);
    let again = run_sweep(&plan(), &mut store, false, &mut Silent, &mut failing).unwrap();
    assert_eq!((again.ran, again.failed.len()), (0, 4));
    let retried = run_sweep(&plan(), &mut store, true, &mut Silent, &mut |planned, _| {
        Ok::<_, Diverged>(result(planned))
    });
    assert_eq!(retried.unwrap(), SweepReport { total: 72, ran: 4, reused: 68, failed: vec![] });
}

#[test]
fn the_table_is_tidy_and_does_not_depend_on_the_order_in_which_cells_ran() {
    let table = |folder: &Path| fs::read_to_string(folder.join("sweep.csv")).unwrap();
    let (straight, detour) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&plan(), &mut SweepStore::open(straight.path()).unwrap());
    let mut store = SweepStore::open(detour.path()).unwrap();
    for methods in [vec![Method::Alora], vec![Method::Qat, Method::Alora]] {
        run(&plan_of(&base(), SweepConfig { methods, ..config() }), &mut store);
    }
    run(&plan(), &mut store);
    assert_eq!(table(straight.path()), table(detour.path()));

    let text = table(straight.path());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), &HEADER[..]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 72);
    let first = rows[1].iter().take(8).collect::<Vec<_>>();
    assert_eq!(first, ["MLP", "MNIST", "ptq", "8", "1.2", "", "1", "done"]);
    let column = |name: &str| HEADER.iter().position(|&known| known == name).unwrap();
    assert_eq!(rows[1][column("fresh_mean")].parse::<f64>().unwrap(), result(&plan().cells()[1]).fresh.mean);
    assert_eq!((&rows[1][column("fresh_draws")], &rows[1][column("frozen_chips")]), ("3", "10"));
    assert_eq!(rows[1][column("key")], plan().cells()[1].key);
}

#[test]
fn the_table_grows_with_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let path = folder.path().join("sweep.csv");
    let mut rows = 0;
    run_sweep(&plan(), &mut store, false, &mut Silent, &mut |planned, _| {
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1 + rows);
        rows += 1;
        Ok::<_, Diverged>(result(planned))
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 73);
}

#[test]
fn cells_that_share_a_base_or_a_training_run_next_to_each_other() {
    let plan = plan();
    let runs = |name: &dyn Fn(&PlannedCell) -> Option<String>| {
        let names: Vec<Option<String>> = plan.cells().iter().map(name).collect();
        let mut distinct: Vec<&String> = names.iter().flatten().collect();
        distinct.sort();
        distinct.dedup();
        let begins =
            |index: &usize| names[*index].is_some() && (*index == 0 || names[*index] != names[*index - 1]);
        ((0..names.len()).filter(begins).count(), distinct.len())
    };
    // Two networks with two seeds each.
    assert_eq!(runs(&|planned| Some(planned.base_key.clone())), (4, 4));
    // QAT at each resolution trains once for all σ, ALoRA once for each.
    assert_eq!(runs(&|planned| planned.training_key.clone()), (4 * (2 + 6), 4 * (2 + 6)));
    let fixed = SweepConfig { train_sigma: TrainSigma::Fixed(Percent(1.2)), ..config() };
    let plan = plan_of(&base(), fixed);
    let mut keys: Vec<&String> =
        plan.cells().iter().filter_map(|planned| planned.training_key.as_ref()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 4 * (2 + 2));
}

#[test]
fn a_cell_runs_under_the_configuration_of_its_network_task_bits_method_and_seed() {
    let tasks = vec![variant("CIFAR-10", "data = { kind = \"cifar10\" }\nmodel = { classes = 10 }")];
    let plan = plan_of(&base(), SweepConfig { tasks, ..config() });
    let planned = plan.cells().last().unwrap();
    assert_eq!(planned.cell.to_string(), "ViT-S/14, CIFAR-10, ALoRA, 4 bits, σ = 3 %, seed 2");
    assert_eq!(planned.train_sigma, Some(Percent(3.0)));
    let expected: Table = "
        seed = 2
        model = { hidden = [64], classes = 10 }
        data = { kind = \"cifar10\" }
        pretrain = { epochs = 3 }
        precision = { weight_bits = 4, input_bits = 4, output_bits = 4 }
        [finetune]
        epochs = 5
        adapter = { rank = 8 }
        techniques = { qat = true, nat = true, lora = true }
    "
    .parse()
    .unwrap();
    assert_eq!(planned.config, expected);
}

#[test]
fn a_default_that_changes_is_a_change() {
    let completed = |rate: f64| {
        let complete = move |table: &Table| {
            let mut table = table.clone();
            table.entry("mapping").or_insert_with(|| Table::new().into());
            table["pretrain"].as_table_mut().unwrap().insert("learning_rate".to_owned(), rate.into());
            Ok(table)
        };
        SweepPlan::new(&base(), config(), &complete).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    run(&completed(0.003), &mut store);
    assert_eq!(run(&completed(0.003), &mut store).0.ran, 0);
    let changes = store.changes_since(&completed(0.001).cells()[0]).unwrap();
    assert_eq!(changes, ["pretrain.learning_rate was 0.003, is 0.001"]);
}

#[test]
fn a_combination_that_cannot_run_is_named_before_anything_runs() {
    let refuse = |table: &Table| match table["model"]["hidden"].as_array().unwrap().len() {
        1 => Err(ConfigError::Range {
            path: "sweep.toml".into(),
            key: "model.hidden".to_owned(),
            value: "[64]".to_owned(),
            allowed: "two layers".to_owned(),
        }),
        _ => Ok(table.clone()),
    };
    let error = SweepPlan::new(&base(), config(), &refuse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the sweep over network `ViT-S/14` and task `MNIST` has no valid configuration; correct its `set`"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "sweep.toml: model.hidden = [64] is out of range; allowed: two layers");
}

#[test]
fn the_time_left_is_judged_by_cells_alike_and_falls_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let mut notes = Notes::default();
    run_sweep(&plan(), &mut store, false, &mut notes, &mut |planned, _| Ok::<_, Diverged>(result(planned)))
        .unwrap();
    assert_eq!(notes.0[0], "0 of 72 cells are there; 72 to run");
    // Of the first seed of the first network 6 PTQ cells of 2 s are done, and 6 QAT cells of 30 s; what is unlike both is
    // judged by their mean, 16 s: ALoRA in 24 cells. PTQ: 18 × 2 s, QAT: 18 × 30 s. In all 960 s.
    assert_eq!(
        notes.0[12],
        "12 of 72 cells, about 16 min left: MLP, MNIST, QAT, 4 bits, σ = 3 %, seed 1: 87.1 % in 30 s"
    );
    assert!(notes.0[72].starts_with("72 of 72 cells: ViT-S/14, MNIST, ALoRA"), "{}", notes.0[72]);
    // Each method has been seen, so the judgement of the second network is exact: 12 × 2 s and 24 × 30 s, 744 s.
    assert!(notes.0[36].contains("about 13 min left"), "{}", notes.0[36]);
}

fn gallery(temporary: &Path, name: &str) -> PathBuf {
    std::env::var_os("ALORA_FIGURES")
        .map_or_else(|| temporary.to_owned(), |folder| Path::new(&folder).join(name))
}

/// Draws a whole sweep in a folder that is not there at first; returns the names of the figures.
fn drawn(name: &str, config: SweepConfig) -> Vec<String> {
    let temporary = tempfile::tempdir().unwrap();
    let folder = gallery(temporary.path(), name);
    let mut store = SweepStore::open(&folder).unwrap();
    let plan = plan_of(&base(), config);
    run(&plan, &mut store);
    write_document(&folder.join("sweep.md"), &plan, &store).unwrap();
    let figures = draw_sweep(&plan, &store).unwrap();
    assert!(figures.iter().all(|path| fs::metadata(path).unwrap().len() > 20_000));
    figures.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn figure_2_has_a_panel_for_each_network_and_a_sheet_for_each_task() {
    let fig2 = SweepConfig {
        figure: SweepFigure::Fig2,
        methods: vec![Method::Ptq],
        bits: vec![16, 8, 6, 4],
        sigma_percent: [5.0, 0.0, 0.5, 1.2, 2.0, 3.0, 10.0].map(Percent).to_vec(),
        seeds: vec![1, 2, 3],
        models: ["MLP, 4 layers", "CNN, 4 layers", "ResNet-18", "ViT-B/16"]
            .map(|name| variant(name, ""))
            .to_vec(),
        tasks: ["MNIST", "CIFAR-10"].map(|name| variant(name, "")).to_vec(),
        ..SweepConfig::default()
    };
    assert_eq!(drawn("sweep-fig2", fig2.clone()), ["fig2-mnist.png", "fig2-cifar-10.png"]);
    let models = vec![variant("MLP", "")];
    let one = SweepConfig {
        models,
        tasks: vec![variant("MNIST", "")],
        seeds: vec![1],
        shown: Shown::Frozen,
        ..fig2
    };
    assert_eq!(drawn("sweep-fig2-one", one), ["fig2.png"]);
}

#[test]
fn seeds_that_failed_are_told_and_leave_no_bar_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let plan = plan_of(&base(), SweepConfig { methods: vec![Method::Alora], bits: vec![8], ..config() });
    run_sweep(&plan, &mut store, false, &mut Silent, &mut |planned, _| match planned.cell.seed {
        2 if planned.cell.sigma == Percent(3.0) => Err(Diverged),
        _ => Ok(result(planned)),
    })
    .unwrap();
    let path = folder.path().join("sweep.md");
    write_document(&path, &plan, &store).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let row = "| ALoRA | 8 | 1.42 M (1.62 %) | 94.5 ± 0.7 | 94.5 ± 0.7 | 95.0 (1 failed) |";
    assert!(text.contains(row), "{text}");
}

#[test]
fn figure_4_has_a_panel_for_each_task_and_tells_methods_and_bits() {
    let fig4 = SweepConfig {
        figure: SweepFigure::Fig4,
        bits: vec![8, 4],
        seeds: vec![1, 2, 3],
        models: vec![variant("ViT-B/16", "")],
        tasks: ["MNIST", "CIFAR-10", "CIFAR-100"].map(|name| variant(name, "")).to_vec(),
        ..SweepConfig::default()
    };
    assert_eq!(drawn("sweep-fig4", fig4.clone()), ["fig4.png"]);
    let more = SweepConfig { bits: vec![8, 6, 4], seeds: vec![1], ..fig4 };
    assert_eq!(drawn("sweep-fig4-bits", more), ["fig4-8bit.png", "fig4-6bit.png", "fig4-4bit.png"]);
}

#[test]
fn a_sweep_that_is_not_over_is_shown_as_far_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SweepStore::open(folder.path()).unwrap();
    let all = SweepConfig { figure: SweepFigure::Fig4, bits: vec![8], ..config() };
    let plan = plan_of(&base(), all.clone());
    assert!(draw_sweep(&plan, &store).unwrap().is_empty());
    run(&plan_of(&base(), SweepConfig { methods: vec![Method::Ptq], ..all }), &mut store);
    let failing = plan.cells().iter().find(|planned| planned.cell.method == Method::Alora).unwrap();
    store.keep(failing, Outcome::Failed { reason: "training diverged".to_owned() }).unwrap();
    assert_eq!(draw_sweep(&plan, &store).unwrap().len(), 2);
    let path = folder.path().join("sweep.md");
    write_document(&path, &plan, &store).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").nth(1).unwrap();
    insta::assert_snapshot!(section, @r"
    MLP, MNIST

    Digital: 97.5 %.

    | method | bits | trained | σ = 0 | σ = 1.2 | σ = 3 |
    |---|---:|---:|---:|---:|---:|
    | PTQ | 8 | 0 | 94.3 ± 0.7 | 93.6 ± 0.7 | 84.6 ± 0.6 |
    | QAT | 8 | – | – | – | – |
    | ALoRA | 8 | – | failed | – | – |
    ");
}

/// The complaint about a `[sweep]` section.
fn complaint(section: &str) -> String {
    let refused = split(section.parse().unwrap(), Path::new("sweep.toml")).unwrap_err();
    refused.to_string().replace("sweep.toml: ", "")
}

const NAMED: &str = "models = [{ name = \"MLP\" }]\ntasks = [{ name = \"MNIST\" }]\n";

#[test]
fn a_sweep_that_cannot_be_is_refused_by_key() {
    let section = |keys: &str| complaint(&format!("[sweep]\n{NAMED}{keys}"));
    let all = [
        complaint("seed = 1"),
        complaint("[sweep]\ntasks = [{ name = \"MNIST\" }]"),
        section("bit = [8]"),
        section("bits = [8, 40]"),
        section("bits = [8, 8]"),
        section("methods = [\"lora\"]"),
        section("sigma_percent = [-1]"),
        section("train_sigma = \"other\""),
        section("train_sigma = 120"),
        section("seeds = []"),
        section("chips = 0\nshown = \"frozen\""),
        section("methods = [\"qat\"]\nfigure = \"fig2\""),
        complaint(
            "[sweep]\ntasks = [{ name = \"MNIST\" }]\nmodels = [{ name = \"A\", set = { finetune = { techniques = { qat = true } } } }]",
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    sweep: there is no such section; add `[sweep]` with what to sweep
    sweep.models (names) = [] is out of range; allowed: at least one
    sweep.bit: unknown field `bit`, expected one of `figure`, `shown`, `methods`, `bits`, `sigma_percent`, `train_sigma`, `seeds`, `draws`, `chips`, `models`, `tasks`
    sweep.bits[1] = 40 is out of range; allowed: 2 to 16
    sweep.bits[1] = 8 is out of range; allowed: each value once in the list
    sweep.methods[0]: unknown variant `lora`, expected one of `ptq`, `qat`, `qat+lora`, `alora`
    sweep.sigma_percent[0] = -1 is out of range; allowed: 0 to 100
    sweep.train_sigma: found "other", expected "same" or a number in per cent of full scale
    sweep.train_sigma = 120 is out of range; allowed: 0 to 100
    sweep.seeds = [] is out of range; allowed: at least one
    sweep.shown = "frozen" is out of range; allowed: "fresh", as sweep.chips is 0
    sweep.figure = "fig2" is out of range; allowed: "fig4" or "none", as sweep.methods has no "ptq" to draw
    sweep.models[0].set.finetune.techniques = { qat = true } is out of range; allowed: no such key here: it is decided by sweep.methods
    "#);
}

#[test]
fn a_sweep_is_read_with_defaults_and_leaves_the_rest_of_the_file() {
    let text = format!(
        "seed = 3\n[sweep]\n{NAMED}train_sigma = 2\nmethods = [\"qat+lora\"]\n[model]\nhidden = [8]\n"
    );
    let (rest, sweep) = split(text.parse().unwrap(), Path::new("sweep.toml")).unwrap();
    assert_eq!(rest, "seed = 3\nmodel = { hidden = [8] }".parse().unwrap());
    let expected = SweepConfig {
        methods: vec![Method::QatLora],
        train_sigma: TrainSigma::Fixed(Percent(2.0)),
        models: vec![variant("MLP", "")],
        tasks: vec![variant("MNIST", "")],
        ..SweepConfig::default()
    };
    assert_eq!(sweep, expected);
    let written = toml::to_string(&sweep).unwrap();
    assert_eq!(toml::from_str::<SweepConfig>(&written).unwrap(), sweep);
}
