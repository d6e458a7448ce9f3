//! What is done to a processor on a station is recorded, and what a program left unsaid is found by the next one.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use alora_drivers::{
    ActuatorFrame, BackendErrorKind, Generation, InputBatch, PhotonicBackend,
    board::{BoardBackend, BoardOptions, LinkOptions},
    contract,
    emulate::{BoardDevice, Device, Emulator, Event, EventKind, FaultPlan, Line},
    link::Connector,
    mock::{Script, Spec, incoherent},
    record::{ChannelState, FrameEntry, FrameReader, Journal, Phase, Programming, Traffic, verify},
    recorded::{Recorded, Records, audit_path, found, frames_folder, journal_path, look, replay},
    station::{Recording, Station, connect_recorded},
};
use ndarray::Array2;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

const PRESET: &str = "incoherent-mzi-16x16";

fn station(folder: &Path, port: &str) -> Station {
    let text = format!(
        "name = \"bench 3\"\nchip.preset = \"{PRESET}\"\n[device.board]\nprotocol = \"board\"\nport = \"{port}\"\n"
    );
    let records = Recording { folder: folder.to_owned(), ..Recording::default() };
    Station { records, ..toml::from_str(&text).unwrap() }
}

fn board() -> Emulator<BoardDevice> {
    let spec = Spec::Incoherent(incoherent::preset(PRESET).unwrap());
    let device = BoardDevice::new(spec, 3, Script::default()).unwrap();
    Emulator::new(device, Line::default(), FaultPlan::default())
}

/// The processor of a station whose board is in memory.
async fn recorded(folder: &Path, emulator: &Emulator<BoardDevice>) -> Recorded {
    let station = station(folder, "tcp:nowhere:1");
    let options =
        BoardOptions { nominal: station.nominal().unwrap(), watchdog_ms: 2000, link: LinkOptions::default() };
    let backend = BoardBackend::connect(Arc::new(emulator.connector("board")), options).await.unwrap();
    let rest = ActuatorFrame::zeros(backend.descriptor().limits.len());
    Recorded::new(Box::new(backend), Records::open(&station).unwrap(), "board", None, rest)
}

fn frame(salt: u16) -> ActuatorFrame {
    ActuatorFrame((0..256).map(|index| (index * 7 + salt) % 200 + 1).collect())
}

fn audit(folder: &Path) -> Vec<Value> {
    assert_eq!(verify(&audit_path(folder)).unwrap().flaw, None);
    let text = fs::read_to_string(audit_path(folder)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn phase(folder: &Path) -> Phase {
    Journal::open(&journal_path(folder, "board")).unwrap().unwrap().phase
}

#[tokio::test]
async fn the_contract_is_kept_by_a_processor_that_is_recorded() {
    let folder = TempDir::new().unwrap();
    let connect = async || {
        let _ = fs::remove_file(journal_path(folder.path(), "board"));
        let processor: Box<dyn PhotonicBackend> = Box::new(recorded(folder.path(), &board()).await);
        processor
    };
    assert_eq!(contract::check(connect).await, Ok(()));
}

#[tokio::test]
async fn each_change_is_in_the_journal_and_in_the_audit_log() {
    let folder = TempDir::new().unwrap();
    let mut processor = recorded(folder.path(), &board()).await;
    let _ = processor.apply(&frame(1)).await.unwrap();
    assert_eq!(phase(folder.path()), Phase::Committed);
    let _ = processor.apply(&frame(2)).await.unwrap();
    let recovery = Journal::open(&journal_path(folder.path(), "board")).unwrap().unwrap();
    assert_eq!((&recovery.programming.old, &recovery.programming.new), (&frame(1), &frame(2)));
    let refused = processor.apply(&ActuatorFrame(vec![0])).await.unwrap_err();
    assert!(matches!(refused.kind, BackendErrorKind::FrameLength { .. }));
    assert_eq!(phase(folder.path()), Phase::Committed, "nothing was sent");
    processor.park().await.unwrap();
    assert_eq!(phase(folder.path()), Phase::Zeroed("park".to_owned()));
    let lines = audit(folder.path());
    let did: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(did, ["apply", "apply", "refused", "park"]);
    assert_eq!(lines[1]["frames"]["old"], lines[0]["frames"]["new"], "the chain of frames is whole");
    assert_eq!((&lines[1]["frames"]["changed"], &lines[1]["simulated"]), (&256.into(), &true.into()));
    assert!(!lines[0]["who"].as_str().unwrap().is_empty() && !lines[0]["why"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_reset_puts_the_outputs_in_doubt_until_they_are_read_back() {
    let folder = TempDir::new().unwrap();
    let emulator = board();
    let mut processor = recorded(folder.path(), &emulator).await;
    let _ = processor.apply(&frame(1)).await.unwrap();
    let at_request = emulator.device().requests() + 1;
    let reset = Event { at_request, every: 0, chance: 0.0, kind: EventKind::Reset };
    emulator.plan(FaultPlan { events: vec![reset], ..FaultPlan::default() });
    let error = processor.apply(&frame(2)).await.unwrap_err();
    assert!(matches!(error.kind, BackendErrorKind::Rebooted { .. }), "{error:?}");
    let recovery = Journal::open(&journal_path(folder.path(), "board")).unwrap().unwrap();
    assert!(recovery.is_unresolved());
    processor.park().await.unwrap();
    let _ = processor.apply(&frame(3)).await.unwrap();
    let recovery = Journal::open(&journal_path(folder.path(), "board")).unwrap().unwrap();
    assert_eq!(recovery.programming.old, ActuatorFrame::zeros(256), "as read back, not as believed");
    let did: Vec<_> = audit(folder.path()).iter().map(|line| line["what"].clone()).collect();
    assert_eq!(did, ["apply", "reset", "park", "apply"]);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_sent_but_a_park_is() {
    let folder = TempDir::new().unwrap();
    let emulator = board();
    let mut processor = recorded(folder.path(), &emulator).await;
    // Where the journal should be there is a folder.
    fs::create_dir(journal_path(folder.path(), "board")).unwrap();
    let before = processor.generation();
    let error = processor.apply(&frame(1)).await.unwrap_err();
    assert!(matches!(error.kind, BackendErrorKind::Unrecorded { .. }), "{error:?}");
    assert!(emulator.device().applied().iter().all(|&code| code == 0));
    assert_eq!(processor.generation(), before, "no write was carried out");
    processor.park().await.unwrap();
    fs::remove_dir(journal_path(folder.path(), "board")).unwrap();
    assert!(processor.apply(&frame(1)).await.unwrap().verified);
}

#[tokio::test]
async fn a_look_changes_nothing_and_tells_codes_and_count_of_commits() {
    let folder = TempDir::new().unwrap();
    let emulator = board();
    let mut processor = recorded(folder.path(), &emulator).await;
    let before = processor.generation().unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    let wires: Arc<dyn Connector> = Arc::new(emulator.connector("board"));
    for _ in 0..2 {
        let sight = look(&wires, "board").await.unwrap();
        assert_eq!(sight.outputs.driven(), Some((256, 256)));
        assert_eq!((sight.tripped, sight.is_zero()), (Some(false), false));
        let commits = before.commits + 1;
        assert_eq!(sight.generation, Some(Generation { commits, ..before }));
    }
    assert_eq!(emulator.device().applied(), frame(1).0);
}

async fn served() -> (Emulator<BoardDevice>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    let emulator = board();
    let serving = emulator.clone();
    tokio::spawn(async move { serving.serve_tcp(listener).await });
    (emulator, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_connection_finds_what_was_left_and_the_wire_is_on_record() {
    let folder = TempDir::new().unwrap();
    let (emulator, port) = served().await;
    let station = station(folder.path(), &port);
    let mut processor = connect_recorded(&station, "first").await.unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    drop(processor);
    // As if it had been killed between the commit on the board and the mark of it.
    let path = journal_path(folder.path(), "board");
    let mut journal = Journal::reopen(&path).unwrap().unwrap();
    let old = Journal::open(&path).unwrap().unwrap().programming;
    let generation = old.generation.map(|then| Generation { commits: then.commits + 1, ..then });
    let cut_off = Programming { id: "cut".to_owned(), old: frame(1), new: frame(2), generation, ..old };
    journal.follow(&cut_off).unwrap();
    journal.sending(0..256).unwrap();
    drop(journal);
    let processor = connect_recorded(&station, "second").await.unwrap();
    assert!(emulator.device().applied().iter().all(|&code| code == 0), "parked by connecting");
    assert_eq!(phase(folder.path()), Phase::Zeroed("parked by the next connection".to_owned()));
    drop(processor);
    let lines = audit(folder.path());
    let recovered = lines.iter().find(|line| line["what"] == "recovered").unwrap();
    let words = recovered["found"].as_str().unwrap();
    assert!(
        words.contains("programming cut: cut off while it was sent; channels old: 0-255 (256)"),
        "{words}"
    );
    let entries = closed(folder.path(), 3).await;
    let opened = entries.iter().filter(|(_, entry)| entry.traffic == Traffic::Opened).count();
    assert_eq!(opened, 3, "two connections and a look");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_kept_aside_and_the_processor_parked() {
    let folder = TempDir::new().unwrap();
    let (emulator, port) = served().await;
    let station = station(folder.path(), &port);
    let mut processor = connect_recorded(&station, "first").await.unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    drop(processor);
    let path = journal_path(folder.path(), "board");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut processor = connect_recorded(&station, "second").await.unwrap();
    assert!(emulator.device().applied().iter().all(|&code| code == 0));
    assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), bytes);
    assert!(processor.apply(&frame(2)).await.unwrap().verified);
}

/// What is on record of the board, with times since the first entry.
fn on_record(folder: &Path) -> Vec<(Duration, FrameEntry)> {
    let mut frames = FrameReader::open(&frames_folder(folder, "board")).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = frames.next() {
        let entry = entry.unwrap();
        entries.push((frames.began().unwrap() + entry.at(), entry));
    }
    let Some(&(began, _)) = entries.first() else { return Vec::new() };
    entries.into_iter().map(|(at, entry)| ((at - began).try_into().unwrap_or_default(), entry)).collect()
}

/// The same once the ends of so many wires are on record.
async fn closed(folder: &Path, wires: usize) -> Vec<(Duration, FrameEntry)> {
    let written = async {
        loop {
            let entries = on_record(folder);
            if entries.iter().filter(|(_, entry)| entry.traffic == Traffic::Closed).count() >= wires {
                return entries;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_played_to_the_same_chip_is_answered_alike_and_to_another_one_not() {
    let folder = TempDir::new().unwrap();
    let (_, port) = served().await;
    let mut processor = connect_recorded(&station(folder.path(), &port), "alora").await.unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    let inputs = InputBatch(Array2::from_elem((5, 16), 100));
    let _ = processor.execute(&inputs, 3).await.unwrap();
    processor.park().await.unwrap();
    drop(processor);
    let entries = closed(folder.path(), 1).await;
    let spec = || Spec::Incoherent(incoherent::preset(PRESET).unwrap());
    let play = |seed| {
        let mut device = BoardDevice::new(spec(), seed, Script::default()).unwrap();
        replay(entries.clone(), "board", &mut device)
    };
    let same = play(3);
    assert_eq!((same.connections, same.differ(), same.left_out), (1, 0, 0), "{:?}", same.first);
    assert!(same.requests > 10 && same.answers["EXECUTE reply"].equal > 0, "{same:?}");
    let other = play(4);
    assert_eq!(other.answers["READ reply"].differ, 0);
    assert!(other.answers["EXECUTE reply"].differ > 0);
    assert_eq!(other.first.unwrap().recorded.unwrap().kind, "HELLO reply", "another serial number");
}

#[test]
fn a_programming_is_named_by_what_the_device_tells_and_unknown_where_that_tells_nothing() {
    let folder = TempDir::new().unwrap();
    let path = journal_path(folder.path(), "board");
    let generation = Some(Generation { boot: 7, commits: 20 });
    let programming = Programming {
        id: "p".to_owned(),
        device: "board".to_owned(),
        note: String::new(),
        old: ActuatorFrame(vec![1, 2, 0]),
        new: ActuatorFrame(vec![1, 5, 9]),
        generation,
    };
    Journal::begin(&path, &programming).unwrap().sending(1..3).unwrap();
    let recovery = Journal::open(&path).unwrap().unwrap();
    let now = |boot, commits| Some(Generation { boot, commits });
    let zeros = ActuatorFrame::zeros(3);
    let of = |generation, held: &ActuatorFrame| recovery.channels_by(generation, Some(held));
    let (old, new) = (ChannelState::Old, ChannelState::New);
    assert_eq!(of(now(7, 20), &zeros), [old(1), old(2), old(0)], "no commit since");
    assert_eq!(of(now(7, 21), &programming.new), [new(1), new(5), new(9)], "committed");
    let unknown =
        [old(1), ChannelState::Unknown { old: 2, new: 5 }, ChannelState::Unknown { old: 0, new: 9 }];
    assert_eq!(of(now(7, 21), &zeros), unknown, "committed and zeroed since, or parked by another program");
    assert_eq!(of(now(8, 20), &zeros), unknown, "another start of the device");
    assert_eq!(of(None, &zeros), unknown, "zeros tell nothing");
    assert_eq!(of(None, &ActuatorFrame(vec![1, 5, 0])), [old(1), new(5), old(0)], "written in part");
    assert_eq!(found(&recovery, None).unknown.to_string(), "1-2 (2)");
}

#[tokio::test]
async fn without_a_journal_nothing_is_kept_but_the_audit_log() {
    let folder = TempDir::new().unwrap();
    let (_, port) = served().await;
    let mut station = station(folder.path(), &port);
    (station.records.journal, station.records.frame_log_mib) = (false, 0);
    let mut processor = connect_recorded(&station, "alora").await.unwrap();
    let _ = processor.apply(&frame(1)).await.unwrap();
    drop(processor);
    let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(kept, ["audit.jsonl"]);
    if audit(folder.path()).len() != 2 {
        panic!("connect and apply");
    }
}

#[tokio::test]
#[ignore = "a measurement: what recording adds to each apply"]
async fn cost_of_the_records() {
    const FRAMES: u16 = 300;
    for (journal, name) in [(false, "audit log"), (true, "audit log and journal")] {
        let folder = TempDir::new().unwrap();
        let mut station = station(folder.path(), "tcp:nowhere:1");
        station.records.journal = journal;
        let chip = Spec::Incoherent(incoherent::preset(PRESET).unwrap());
        let mut bare = chip.clone().connect(3, Script::default());
        let backend = chip.connect(3, Script::default());
        let rest = ActuatorFrame::zeros(backend.descriptor().limits.len());
        let mut processor = Recorded::new(backend, Records::open(&station).unwrap(), "board", None, rest);
        let took = async |processor: &mut dyn PhotonicBackend| {
            let started = std::time::Instant::now();
            for salt in 0..FRAMES {
                let _ = processor.apply(&frame(salt)).await.unwrap();
            }
            started.elapsed() / u32::from(FRAMES)
        };
        let (bare, recorded) = (took(&mut *bare).await, took(&mut processor).await);
        println!("{name}: {:?} an apply, {bare:?} without", recorded);
    }
}
