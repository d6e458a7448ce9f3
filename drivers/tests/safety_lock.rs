//! One program at a time on a port, whatever the port is called and however its holder ends.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    process::{Command, Stdio},
    time::Duration,
};

use alora_drivers::{
    link::{LinkError, Locks, Port},
    record::Clock,
};

const LEASE: Duration = Duration::from_secs(30);
const FOLDER: &str = "ALORA_TEST_LOCKS";

fn port(text: &str) -> Port {
    text.parse().unwrap()
}

#[test]
fn the_second_program_is_told_who_holds_the_port_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let locks = Locks::within(folder.path(), Clock::set(1_800_000_000));
    let tcp = port("tcp:10.0.0.5:5025");
    let held = locks.take(&tcp, "alora 0.1.0", LEASE).unwrap();
    let error = locks.take(&tcp, "alora 0.1.0", LEASE).unwrap_err();
    let text = error.to_string();
    let pid = std::process::id();
    assert!(
        text.starts_with(&format!("tcp:10.0.0.5:5025 is held by alora 0.1.0 (pid {pid}, user ")),
        "{text}"
    );
    assert!(text.ends_with("since 2027-01-15T08:00:00Z; end that program, or use another port"), "{text}");
    assert_eq!(locks.holder(&tcp).unwrap().as_ref(), Some(held.holder()));
    drop(held);
    assert_eq!(locks.holder(&tcp).unwrap(), None);
    let again = locks.take(&tcp, "alora 0.1.0", LEASE).unwrap();
    assert_eq!(again.left_by(), None, "its holder gave it back");
}

#[test]
fn a_lease_that_ran_out_is_told_and_a_renewed_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::set(1_800_000_000);
    let locks = Locks::within(folder.path(), clock.clone());
    let mut held = locks.take(&port("tcp:chip:1"), "alora", LEASE).unwrap();
    let lease = || match locks.take(&port("tcp:chip:1"), "alora", LEASE) {
        Err(LinkError::Held { lease, .. }) => lease,
        other => panic!("{other:?}"),
    };
    clock.pass(Duration::from_secs(25));
    held.renew().unwrap();
    clock.pass(Duration::from_secs(25));
    assert_eq!(lease(), "");
    clock.pass(Duration::from_secs(17));
    let hint =
        format!("; its lease ran out 12 s ago, so it may hang: `kill {}` frees the port", std::process::id());
    assert_eq!(lease(), hint);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_program_may_hold_a_port_for_a_day_and_is_not_said_to_hang() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::set(1_800_000_000);
    let locks = Locks::within(folder.path(), clock.clone());
    let held = locks.take(&port("tcp:chip:1"), "alora", LEASE).unwrap().renewed();
    let overdue = || locks.holder(&port("tcp:chip:1")).unwrap().unwrap().overdue(clock.now().utc);
    let moment = Duration::from_secs(4);
    for _ in 0..24 * 3600 / 4 {
        clock.pass(moment);
        tokio::time::sleep(moment).await;
        assert_eq!(overdue(), None);
    }
    clock.pass(2 * LEASE);
    assert!(overdue().is_some(), "one that does nothing any more is");
    drop(held);
    assert_eq!(locks.holder(&port("tcp:chip:1")).unwrap(), None, "free at once");
}

#[test]
fn two_names_of_one_device_are_one_lock_and_two_devices_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let locks = Locks::within(folder.path().join("locks"), Clock::set(0));
    let by_id = folder.path().join("by-id");
    symlink("/dev/null", &by_id).unwrap();
    let _held = locks.take(&port("/dev/null"), "alora", LEASE).unwrap();
    for other_name in [by_id.to_str().unwrap(), "/dev/../dev/null", "/dev/null@9600"] {
        assert!(
            matches!(locks.take(&port(other_name), "alora", LEASE), Err(LinkError::Held { .. })),
            "{other_name}"
        );
    }
    assert!(locks.take(&port("/dev/zero"), "alora", LEASE).is_ok());
    let _local = locks.take(&port("tcp:localhost:5000"), "alora", LEASE).unwrap();
    assert!(locks.take(&port("tcp:127.0.0.1:5000"), "alora", LEASE).is_err());
    assert!(locks.take(&port("tcp:LOCALHOST:5001"), "alora", LEASE).is_ok());
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let locks = Locks::within("/proc/alora", Clock::set(0));
    let text = locks.take(&port("tcp:chip:1"), "alora", LEASE).unwrap_err().to_string();
    assert!(text.starts_with("tcp:chip:1 cannot be locked: "), "{text}");
    assert!(text.contains("/proc/alora"), "{text}");
}

#[test]
#[ignore = "the holder, started by the test below"]
fn role_holder() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let _held = Locks::within(folder, Clock::system()).take(&port("tcp:chip:1"), "holder", LEASE).unwrap();
    println!("holding");
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_port_whose_holder_was_killed_is_taken_over_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "role_holder", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holding")));
    let locks = Locks::within(folder.path(), Clock::system());
    let Err(LinkError::Held { by, .. }) = locks.take(&port("tcp:chip:1"), "alora", LEASE) else {
        panic!("held")
    };
    assert_eq!((by.owner.as_str(), by.pid), ("holder", holder.id()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut visit = locks.take(&port("tcp:chip:1"), "looker", LEASE).unwrap();
    visit.visit();
    drop(visit);
    let taken = locks.take(&port("tcp:chip:1"), "alora", LEASE).unwrap();
    assert_eq!(taken.left_by().unwrap().pid, by.pid, "who only looked has left it");
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "a lock file stays, so that nobody waits on a file that is gone");
}
