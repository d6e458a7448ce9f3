//! The raw log keeps every byte within its bound, survives a crash, and plays conversations again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use alora_drivers::{
    link::{Connector, Departure, InMemory, LinkError, Replay, TapConnector},
    record::{Clock, FrameEntry, FrameLog, FrameReader, Traffic},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn entries(folder: &Path) -> Vec<FrameEntry> {
    FrameReader::open(folder).unwrap().map(Result::unwrap).collect()
}

fn sent(bytes: &[u8]) -> Traffic {
    Traffic::Sent { bytes: bytes.to_vec() }
}

fn received(bytes: &[u8]) -> Traffic {
    Traffic::Received { bytes: bytes.to_vec() }
}

/// A device that answers each line with `OK`, and hangs up on `bye`.
fn device() -> Arc<dyn Connector> {
    Arc::new(InMemory::new("memory", |wire| {
        tokio::spawn(async move {
            let (from, mut to) = tokio::io::split(wire);
            let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(from));
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "bye" {
                    return;
                }
                to.write_all(format!("OK {line}\n").as_bytes()).await.unwrap();
            }
        });
        true
    }))
}

async fn ask(wire: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), line: &str) -> String {
    wire.write_all(line.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        match wire.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(answer).unwrap()
}

/// A recorded conversation of two connections.
async fn recorded(folder: &Path) -> Vec<FrameEntry> {
    let log = FrameLog::open(folder, 1 << 20, Clock::system()).unwrap();
    let tap = TapConnector::new(device(), "q8", log.clone());
    let mut wire = tap.open().await.unwrap();
    assert_eq!(ask(&mut wire, "v0=1\n").await, "OK v0=1\n");
    assert_eq!(ask(&mut wire, "bye\n").await, "");
    drop(wire);
    let mut wire = tap.open().await.unwrap();
    assert_eq!(ask(&mut wire, "v1=2\n").await, "OK v1=2\n");
    drop((wire, tap, log));
    entries(folder)
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_a_tapped_wire_is_recorded_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let entries = recorded(folder.path()).await;
    let both: Vec<u8> = entries
        .iter()
        .flat_map(|entry| match &entry.traffic {
            Traffic::Opened => b"<".to_vec(),
            Traffic::Closed => b">".to_vec(),
            Traffic::Sent { bytes } | Traffic::Received { bytes } => bytes.clone(),
            Traffic::LeftOut { .. } => b"?".to_vec(),
        })
        .collect();
    assert_eq!(both.escape_ascii().to_string(), r"<v0=1\nOK v0=1\nbye\n><v1=2\nOK v1=2\n>");
    assert!(entries.iter().all(|entry| entry.device == "q8"));
    assert!(entries.is_sorted_by_key(|entry| entry.at_us));
}

#[tokio::test(start_paused = true)]
async fn times_are_those_of_the_wire() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::set(1_800_000_000);
    let log = FrameLog::open(folder.path(), 1 << 20, clock.clone()).unwrap();
    log.record("a", &Traffic::Opened);
    clock.pass(Duration::from_millis(15));
    clock.jump(3600);
    log.record("a", &received(b"x"));
    drop(log);
    let entries = entries(folder.path());
    assert_eq!(entries[1].at() - entries[0].at(), Duration::from_millis(15));
    let head = fs::read_to_string(folder.path().join("frames-00000001.jsonl")).unwrap();
    assert!(head.starts_with("{\"alora_frames\":1,\"utc\":\"2027-01-15T08:00:00Z\""), "{head}");
}

#[test]
fn the_ring_never_outgrows_its_bound_and_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let most = 1 << 14;
    for _program in 0..2 {
        let log = FrameLog::open(folder.path(), most, Clock::set(0)).unwrap();
        for number in 0..500u32 {
            log.record("a", &sent(format!("number {number}").as_bytes()));
            if number % 50 == 0 {
                log.record("a", &sent(&[7; 3000]));
            }
        }
        drop(log);
        let size: u64 =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= most, "{size}");
    }
    let entries = entries(folder.path());
    assert_eq!(entries.last().unwrap().traffic, sent(b"number 499"));
    assert!(entries.len() > 50, "{}", entries.len());
}

#[test]
fn a_log_cut_at_any_byte_is_read_up_to_its_last_whole_entry() {
    let folder = tempfile::tempdir().unwrap();
    let log = FrameLog::open(folder.path(), 1 << 20, Clock::set(0)).unwrap();
    (0..4u8).for_each(|byte| log.record("a", &sent(&[byte])));
    drop(log);
    let path = folder.path().join("frames-00000001.jsonl");
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
        assert_eq!(entries(folder.path()).len(), whole, "cut at {cut}");
    }
    // The next program begins a file of its own, and both are read.
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    FrameLog::open(folder.path(), 1 << 20, Clock::set(0)).unwrap().record("a", &sent(b"next"));
    let entries = entries(folder.path());
    assert_eq!((entries.len(), &entries[3].traffic), (4, &sent(b"next")));
}

#[test]
fn a_damaged_line_is_told_and_those_behind_it_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = FrameLog::open(folder.path(), 1 << 20, Clock::set(0)).unwrap();
    (0..3u8).for_each(|byte| log.record("a", &sent(&[byte])));
    drop(log);
    let path = folder.path().join("frames-00000001.jsonl");
    let text = fs::read_to_string(&path).unwrap().replace("\"bytes\":\"01\"", "\"bytes\":\"0x\"");
    fs::write(&path, text).unwrap();
    let read: Vec<_> = FrameReader::open(folder.path()).unwrap().collect();
    let error = read[1].as_ref().unwrap_err().to_string();
    assert!(error.ends_with("line 3 is no entry; it was damaged after it was written"), "{error}");
    assert_eq!(read[2].as_ref().unwrap().traffic, sent(&[2]));
}

#[tokio::test(start_paused = true)]
async fn a_record_answers_what_the_device_answered() {
    let folder = tempfile::tempdir().unwrap();
    let replay = Replay::new("q8", recorded(folder.path()).await);
    let mut wire = replay.open().await.unwrap();
    assert_eq!(ask(&mut wire, "v0=1\n").await, "OK v0=1\n");
    assert_eq!(ask(&mut wire, "bye\n").await, "");
    let mut wire = replay.open().await.unwrap();
    assert_eq!(ask(&mut wire, "v1=2\n").await, "OK v1=2\n");
    assert_eq!(replay.departure(), None);
    let Err(LinkError::NotRecorded { reason, .. }) = replay.open().await.map(drop) else { panic!("a third") };
    assert_eq!(reason, "it holds 2 connections, and all were played");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_departs_from_its_record_ends_at_that_byte() {
    let folder = tempfile::tempdir().unwrap();
    let replay = Replay::new("q8", recorded(folder.path()).await);
    let mut wire = replay.open().await.unwrap();
    assert_eq!(ask(&mut wire, "v0=1\n").await, "OK v0=1\n");
    assert_eq!(ask(&mut wire, "bxe\n").await, "");
    let departure = replay.departure().unwrap();
    let expected = Departure { connection: 1, byte: 6, recorded: b"ye\n".to_vec(), sent: b"xe\n".to_vec() };
    assert_eq!(departure, expected);
    assert_eq!(
        departure.to_string(),
        r"connection 1 departs from the record at byte 6: recorded `ye\n`, sent `xe\n`"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_beyond_a_record_that_was_cut_off_is_told() {
    let entry = |traffic| FrameEntry { at_us: 0, device: "q8".to_owned(), traffic };
    let cut_off = [Traffic::Opened, sent(b"id?\n"), received(b"Q8iv\n")].map(entry);
    let replay = Replay::new("q8", cut_off);
    let mut wire = replay.open().await.unwrap();
    assert_eq!(ask(&mut wire, "id?\n").await, "Q8iv\n");
    assert_eq!(ask(&mut wire, "vall?\n").await, "");
    assert_eq!(replay.departure().unwrap().byte, 4);
}
