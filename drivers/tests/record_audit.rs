//! The audit log shows the first line that is not as it was written, and takes a crash for a crash.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, time::Duration};

use alora_drivers::record::{AuditError, AuditEvent, AuditLog, Clock, Flaw, SyncPolicy, verify};
use proptest::prelude::*;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

fn event(channel: usize) -> AuditEvent {
    AuditEvent {
        who: "ada".to_owned(),
        what: "apply".to_owned(),
        device: "q8".to_owned(),
        channel: Some(channel),
        old: (channel > 0).then_some(0.1 * channel as f64),
        new: Some(1.5),
        unit: Some("V".to_owned()),
        why: "new \"weights\"".to_owned(),
        simulated: true,
        ..AuditEvent::default()
    }
}

fn log(path: &std::path::Path) -> AuditLog {
    AuditLog::open(path, Clock::set(1_800_000_000), SyncPolicy::System).unwrap()
}

/// Lines of a log of five changes, each with its end.
fn lines() -> Vec<String> {
    let (_folder, path) = place();
    let mut log = log(&path);
    (0..5).for_each(|channel| log.append(event(channel)).unwrap());
    fs::read_to_string(&path).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

fn flaw(lines: &[String]) -> Option<Flaw> {
    let (_folder, path) = place();
    fs::write(&path, lines.concat()).unwrap();
    verify(&path).unwrap().flaw
}

#[test]
fn a_line_says_who_did_what_when_and_why() {
    let (_folder, path) = place();
    let clock = Clock::set(1_800_000_000);
    let mut log = AuditLog::open(&path, clock.clone(), SyncPolicy::EveryLine).unwrap();
    clock.pass(Duration::from_millis(1500));
    clock.jump(-3600);
    log.append(event(0)).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(line["utc"], "2027-01-15T07:00:01.5Z");
    assert_eq!(line["monotonic_us"], 1_500_000, "a clock that was set back does not move it");
    assert_eq!(
        (&line["line"], &line["channel"], &line["old"]),
        (&1.into(), &0.into(), &serde_json::Value::Null)
    );
    assert_eq!((&line["who"], &line["simulated"]), (&"ada".into(), &true.into()));
}

#[test]
fn a_log_as_it_was_written_verifies() {
    let (_folder, path) = place();
    assert_eq!(flaw(&lines()), None);
    fs::write(&path, lines().concat()).unwrap();
    let verified = verify(&path).unwrap();
    assert_eq!((verified.lines, verified.torn), (5, 0));
}

#[test]
fn a_line_that_is_removed_inserted_or_swapped_is_found() {
    for at in 0..4 {
        let mut lines = lines();
        lines.remove(at);
        let line = at as u64 + 1;
        assert_eq!(flaw(&lines), Some(Flaw::Removed { line, found: line + 1 }));
    }
    let mut twice = lines();
    twice.insert(2, twice[1].clone());
    assert_eq!(flaw(&twice), Some(Flaw::Inserted { line: 3, found: 2 }));
    let mut swapped = lines();
    swapped.swap(1, 2);
    assert_eq!(flaw(&swapped), Some(Flaw::Removed { line: 2, found: 3 }));
}

#[test]
fn a_line_that_was_forged_with_a_digest_of_its_own_is_found_by_the_next() {
    // A line of another log: sound by itself, with the right number.
    let (_folder, path) = place();
    let mut other = log(&path);
    (0..5).for_each(|_| other.append(event(7)).unwrap());
    let forged: Vec<_> =
        fs::read_to_string(&path).unwrap().split_inclusive('\n').map(str::to_owned).collect();
    let mut lines = lines();
    lines[0] = forged[0].clone();
    let found = flaw(&lines).unwrap();
    assert_eq!(found, Flaw::Replaced { line: 1 });
    assert_eq!(found.to_string(), "line 1 is not the one that line 2 was written after: it was replaced");
}

#[test]
fn a_line_cut_within_is_a_crash_and_cut_elsewhere_is_not() {
    let whole = lines().concat();
    let (_folder, path) = place();
    let fourth = lines()[..4].concat().len();
    for cut in fourth + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let verified = verify(&path).unwrap();
        assert_eq!((verified.lines, verified.flaw, verified.torn), (4, None, cut - fourth));
    }
    let mut torn_within = lines();
    torn_within[2].truncate(40);
    torn_within[2].push('\n');
    assert_eq!(flaw(&torn_within), Some(Flaw::Altered { line: 3 }));
}

#[test]
fn a_log_cut_at_any_byte_goes_on_and_says_what_it_lost() {
    let whole = lines().concat();
    for cut in 0..=whole.len() {
        let (_folder, path) = place();
        fs::write(&path, &whole[..cut]).unwrap();
        log(&path).append(event(9)).unwrap();
        let verified = verify(&path).unwrap();
        let kept = whole[..cut].matches('\n').count() as u64;
        let torn = !whole[..cut].is_empty() && !whole[..cut].ends_with('\n');
        assert_eq!((verified.lines, verified.flaw), (kept + 1 + u64::from(torn), None), "cut at {cut}");
        assert_eq!(fs::read_to_string(&path).unwrap().contains("a crash left"), torn);
    }
}

#[test]
fn a_log_whose_last_line_was_altered_is_not_written_to() {
    let (_folder, path) = place();
    fs::write(&path, lines().concat().replace("\"channel\":4", "\"channel\":5")).unwrap();
    let error = AuditLog::open(&path, Clock::set(0), SyncPolicy::System).unwrap_err();
    assert!(matches!(error, AuditError::LastLine { .. }), "{error}");
}

#[test]
fn writers_at_the_same_time_make_one_chain() {
    let (_folder, path) = place();
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let mut log = log(&path);
            threads.spawn(move || (0..25).for_each(|_| log.append(event(writer)).unwrap()));
        }
    });
    let verified = verify(&path).unwrap();
    assert_eq!((verified.lines, verified.flaw, verified.torn), (100, None, 0));
}

proptest! {
    #[test]
    fn a_bit_flipped_anywhere_is_found_at_its_line(at in 0.0..1.0f64, bit in 0..8u8) {
        let mut bytes = lines().concat().into_bytes();
        let at = (at * bytes.len() as f64) as usize;
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        let last_end = at == bytes.len() - 1;
        bytes[at] ^= 1 << bit;
        let (_folder, path) = place();
        fs::write(&path, &bytes).unwrap();
        let verified = verify(&path).unwrap();
        if last_end {
            prop_assert!(verified.torn > 0, "without its end a line cannot be told from a crash");
        } else {
            prop_assert_eq!(verified.flaw, Some(Flaw::Altered { line }));
        }
    }
}
