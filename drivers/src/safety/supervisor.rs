//! A process that outlives its host and makes the devices safe when the host is gone, however it went.
//!
//! The host starts it with a pipe to its standard input ([`Guard`]), tells it when outputs are driven and when they are parked, and
//! says now and then that it works. The pipe ends when the host dies, by an error, a panic or `kill -9`: the system closes it. What
//! the supervisor cannot do: outlive the machine's power, zero a device whose cable is out, or open a serial port that a host that
//! hangs still has, unless it may kill that host ([`Timing::end_hanging_host`]). A device's own watchdog covers these.
//!
//! | line from the host | meaning |
//! |---|---|
//! | `driving` | outputs are driven from now on: when the pipe ends, make the devices safe |
//! | `parked` | all is parked, as at the beginning: when the pipe ends, end |
//! | `alive` | the host works; due within [`Timing::silence`] while it drives |
//! | `safe` | make the devices safe: the host cannot |
//! | `goodbye` | all is parked: end |

mod action;
mod guard;
mod watch;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::make_safe::Made;

pub use action::{SafeAction, WatchedDevice};
pub use guard::{Guard, GuardError, all_ended, make_all_safe};
pub use watch::{Heard, Reason, Watch};

/// Longest line that is listened to.
const LONGEST: usize = 256;
/// Wait between tries of an action.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Times of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// A host silent for so long while it drives is taken to hang.
    pub silence: Duration,
    /// How long actions that fail are tried again.
    pub give_up: Duration,
    /// A host that hangs is killed, so that its ports open. Only in a process whose parent is the host.
    pub end_hanging_host: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self { silence: Duration::from_secs(5), give_up: Duration::from_secs(10), end_hanging_host: false }
    }
}

/// What became of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Where it is.
    pub place: String,
    /// Tries.
    pub tries: u32,
    /// How the last try ended, or why it failed.
    pub made: Result<Made, String>,
}

impl Done {
    /// Whether the device is known to be as it should.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.made.as_ref().is_ok_and(Made::is_safe)
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.made {
            Ok(Made::Zero(finding)) => write!(f, "{place}: zeroed; {finding}"),
            Ok(Made::Kept(finding)) => write!(f, "{place}: left as it is; {finding}"),
            Ok(Made::Sent(failure)) | Err(failure) => {
                write!(f, "{place} cannot be zeroed: {failure}; switch the supply off by hand")
            }
        }
    }
}

/// How a supervisor ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The host ended with all parked: nothing was sent.
    Goodbye,
    /// The devices were made safe, or that was tried.
    MadeSafe {
        /// Why.
        reason: Reason,
        /// Each device.
        done: Vec<Done>,
    },
}

/// Watches a host until it ends parked or is gone, and then runs all actions at once.
///
/// `ready` is told the line `ready` first: the host enables no output before. Stop signals (Ctrl-C, SIGTERM, SIGHUP) are left to the
/// host: they do not end this process. Needs a runtime of its own.
pub async fn supervise(
    host: impl AsyncRead + Unpin,
    ready: impl AsyncWrite + Unpin,
    actions: Vec<Arc<dyn SafeAction>>,
    timing: Timing,
) -> Outcome {
    let _taken = outlive_signals();
    let parent = parent();
    let reason = watch(host, ready, timing.silence).await;
    if reason == Some(Reason::HostSilent) && timing.end_hanging_host {
        end(parent);
    }
    match reason {
        None => Outcome::Goodbye,
        Some(reason) => Outcome::MadeSafe { reason, done: make_safe(actions, timing.give_up).await },
    }
}

/// Why the devices are to be made safe; `None` when they are parked.
async fn watch(
    host: impl AsyncRead + Unpin,
    mut ready: impl AsyncWrite + Unpin,
    silence: Duration,
) -> Option<Reason> {
    let start = Instant::now();
    let mut watch = Watch::new(silence);
    let mut host = BufReader::with_capacity(LONGEST, host);
    let mut line = Vec::new();
    // A host that is gone already shows at the first read.
    let _ = ready.write_all(b"ready\n").await;
    let _ = ready.flush().await;
    loop {
        let patience = async {
            match watch.deadline() {
                Some(deadline) => sleep_until(start + deadline).await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            read = next(&mut host, &mut line) => read,
            () = patience => Heard::Nothing,
        };
        match watch.hear(heard, start.elapsed()) {
            None => {}
            Some(end) => return end.err(),
        }
    }
}

/// The next line, or the end of the pipe. Cancel-safe: what was read of a line stays in `line`.
async fn next(host: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> Heard {
    loop {
        let (taken, ended) = match host.fill_buf().await {
            Ok([]) | Err(_) => return Heard::End,
            Ok(bytes) => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(at) => (bytes.get(..at).unwrap_or_default().to_vec(), true),
                None => (bytes.to_vec(), false),
            },
        };
        host.consume(taken.len() + usize::from(ended));
        line.extend_from_slice(&taken);
        line.truncate(LONGEST);
        if ended {
            return Heard::line(&std::mem::take(line));
        }
    }
}

async fn make_safe(actions: Vec<Arc<dyn SafeAction>>, give_up: Duration) -> Vec<Done> {
    let mut running = JoinSet::new();
    for action in actions {
        running.spawn(try_until(action, Instant::now() + give_up));
    }
    running.join_all().await
}

async fn try_until(action: Arc<dyn SafeAction>, end: Instant) -> Done {
    let mut tries = 0;
    loop {
        tries += 1;
        let left = end.saturating_duration_since(Instant::now());
        let made = match timeout(left, action.make_safe()).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not take the bytes of its safe state in time".to_owned()),
        };
        let done = Done { place: action.place(), tries, made };
        if done.is_safe() || Instant::now() + BETWEEN_TRIES >= end {
            return done;
        }
        sleep(BETWEEN_TRIES).await;
    }
}

#[cfg(unix)]
type Parent = Option<rustix::process::Pid>;

#[cfg(unix)]
fn parent() -> Parent {
    rustix::process::getppid()
}

/// Kills the host, unless it is gone: then this process has another parent.
#[cfg(unix)]
fn end(host: Parent) {
    use rustix::process::{Signal, kill_process};

    if let Some(host) = host.filter(|host| Some(*host) == parent()) {
        let _ = kill_process(host, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn parent() {}

#[cfg(not(unix))]
fn end((): ()) {}

/// From now on these signals do not end this process; the end of the pipe is what counts.
#[cfg(unix)]
fn outlive_signals() -> Vec<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};

    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect()
}

#[cfg(not(unix))]
fn outlive_signals() -> tokio::task::JoinHandle<()> {
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} })
}
