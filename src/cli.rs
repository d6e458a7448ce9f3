//! The command line: the only place that prints or exits.

mod args;
mod commands;
mod progress;
mod table;

use std::{
    error::Error as _,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, ExitCode};
use args::{Cli, Command};
use progress::Progress;

/// Runs the command given to the process and says how it ended.
#[must_use]
pub fn main() -> process::ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("ALORA_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Error::Input { path: "the runtime".into(), reason: error.to_string() }),
    };
    // An emulator has nothing to finish or to park.
    if !matches!(cli.command, Command::Emulate(_)) {
        runtime.spawn(watch_for_interrupts(Arc::clone(&interrupted)));
    }
    // Progress ends here, so that no bar is drawn over the error.
    let outcome = runtime.block_on(commands::execute(cli.command, &mut Progress::new(interrupted)));
    match outcome {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP (the terminal was closed).
pub(crate) async fn asked_to_stop() {
    let other = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        asked = tokio::signal::ctrl_c() => if asked.is_err() { std::future::pending::<()>().await },
        () = other(SignalKind::terminate()) => {}
        () = other(SignalKind::hangup()) => {}
    }
}

/// First Ctrl-C: finish the present step, park, leave. Second: leave at once.
async fn watch_for_interrupts(interrupted: Arc<AtomicBool>) {
    loop {
        asked_to_stop().await;
        if interrupted.swap(true, Ordering::Relaxed) {
            #[expect(clippy::print_stderr, reason = "the command line's own output")]
            {
                eprintln!("left at once: the processor was not parked");
            }
            process::exit(ExitCode::Interrupted as i32);
        }
        #[expect(clippy::print_stderr, reason = "the command line's own output")]
        {
            eprintln!(
                "interrupted: finishing the present step, then parking; press Ctrl-C again to leave at once"
            );
        }
    }
}

/// The error and its causes, one sentence each.
fn report(error: &Error) -> process::ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n  caused by: {inner}"));
        cause = inner.source();
    }
    #[expect(clippy::print_stderr, reason = "the command line's own output")]
    {
        eprintln!("{text}");
    }
    process::ExitCode::from(error.exit_code() as u8)
}
