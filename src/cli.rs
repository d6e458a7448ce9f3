//! The command line: the only place that prints or exits.

mod args;
mod commands;
mod progress;
mod table;

use std::{
    error::Error as _,
    io::{self, Write},
    os::unix::process::CommandExt,
    panic, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alora_drivers::safety;
use clap::Parser;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::{
    error::{Error, ExitCode},
    guarded,
};
use args::{Cli, Command};
use progress::Progress;

// An abort would leave no way to park: a panic unwinds.
const _: () = assert!(cfg!(panic = "unwind"));

/// Longest wait for a supervisor that zeroes devices after a command that could not: longer than it tries.
const ZEROING: Duration = Duration::from_secs(15);
/// Wait for a terminal that takes nothing, when the program leaves at once.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Runs the command given to the process and says how it ended.
#[must_use]
pub fn main() -> process::ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("ALORA_LOG"))
        .with_writer(io::stderr)
        .init();
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Error::Input { path: "the runtime".into(), reason: error.to_string() }),
    };
    // An emulator has nothing to finish or to park, and a supervisor outlives these signals.
    if !matches!(cli.command, Command::Emulate(_) | Command::Supervise(_)) {
        runtime.spawn(watch_for_interrupts(Arc::clone(&interrupted)));
    }
    guarded::supervise_with(supervisor);
    zero_on_panic();
    // Progress ends here, so that no bar is drawn over the error; and ports are closed, so that a supervisor can open them.
    let outcome = runtime.block_on(async {
        let outcome = commands::execute(cli.command, &mut Progress::new(interrupted)).await;
        safety::all_ended(ZEROING).await;
        outcome
    });
    match outcome {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// This program again, as it is now: also when its file was replaced meanwhile.
fn supervisor() -> process::Command {
    let own = "/proc/self/exe";
    let path = std::fs::exists(own).unwrap_or(false).then(|| own.into());
    let path = path.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| "alora".into());
    let mut command = process::Command::new(path);
    command.arg0("alora").arg("supervise");
    command
}

/// A panic is a defect of this program: whatever is driven is zeroed, by who has not panicked.
fn zero_on_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |message| {
        safety::make_all_safe();
        usual(message);
    }));
}

/// Ctrl-C, SIGTERM or SIGHUP (the terminal was closed).
struct Stops([Option<Signal>; 3]);

impl Stops {
    /// Those that come from now on.
    fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    /// Waits for the next.
    async fn next(&mut self) {
        async fn of(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            () = of(interrupt) => {}
            () = of(terminate) => {}
            () = of(hangup) => {}
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP.
pub(crate) async fn asked_to_stop() {
    Stops::new().next().await;
}

/// First Ctrl-C: finish the present step, park, leave. Second: leave at once, and the supervisor zeroes what is driven.
async fn watch_for_interrupts(interrupted: Arc<AtomicBool>) {
    let mut stops = Stops::new();
    stops.next().await;
    interrupted.store(true, Ordering::Relaxed);
    let said = tokio::task::spawn_blocking(|| {
        say(
            "interrupted: finishing the present step, then parking; press Ctrl-C again to zero all outputs at once",
        );
    });
    stops.next().await;
    drop(said);
    let words = if safety::make_all_safe() {
        "left at once: zeroing now"
    } else {
        "left at once: no device on a wire was driven"
    };
    let _ = timeout(LAST_WORDS, tokio::task::spawn_blocking(|| say(words))).await;
    process::exit(ExitCode::Interrupted as i32);
}

/// A line on standard error. A terminal that is gone is no reason to die: outputs may be driven.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The error and its causes, one sentence each.
fn report(error: &Error) -> process::ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n  caused by: {inner}"));
        cause = inner.source();
    }
    say(&text);
    process::ExitCode::from(error.exit_code() as u8)
}
