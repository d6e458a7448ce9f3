//! The host's end of the pipe.

use std::{
    io::{self, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::ChildStdout,
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// Most that a supervisor may say before it is ready.
const PREAMBLE: u64 = 1 << 14;
/// How often the host says that it works: well within [`super::Timing::silence`].
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often it is looked whether a supervisor has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Every supervisor of this process, for [`make_all_safe`] and [`all_ended`].
static LINES: Mutex<Vec<Arc<Line>>> = Mutex::new(Vec::new());

/// A supervisor that watches this process. The devices are made safe when this is dropped, or when the process ends in any other
/// way, between [`Self::driving`] and [`Self::parked`].
pub struct Guard {
    line: Arc<Line>,
    heartbeat: JoinHandle<()>,
    _said: BufReader<ChildStdout>,
}

/// What leads to one supervisor.
struct Line {
    supervisor: Mutex<Child>,
    /// Closed from the moment on that the devices are to be made safe.
    pipe: Mutex<Option<ChildStdin>>,
    driving: AtomicBool,
    gone: watch::Sender<bool>,
}

/// Why this process is not watched.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// It does not start.
    #[error(
        "the supervisor, which zeroes the outputs when this program dies, does not start; no output is enabled"
    )]
    Start(#[source] io::Error),
    /// It is not ready in time.
    #[error("the supervisor was not ready within {0:?}; no output is enabled")]
    NotReady(Duration),
    /// It is gone.
    #[error("the supervisor is gone: nothing zeroes the outputs if this program dies now; park")]
    Gone(#[source] io::Error),
}

impl Guard {
    /// Starts a supervisor, in a process group of its own so that Ctrl-C does not reach it, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start, or is not ready within `patience`.
    pub async fn start(mut command: Command, patience: Duration) -> Result<Self, GuardError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut supervisor = command.spawn().map_err(GuardError::Start)?;
        let ready = ready(&mut supervisor, patience).await;
        if ready.is_err() {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
        let (pipe, said) = ready?;
        let line = Arc::new(Line {
            supervisor: Mutex::new(supervisor),
            pipe: Mutex::new(Some(pipe)),
            driving: AtomicBool::new(false),
            gone: watch::Sender::new(false),
        });
        let mut lines = locked(&LINES);
        lines.retain(|line| !line.has_ended());
        lines.push(line.clone());
        let heartbeat = tokio::spawn(beat(line.clone()));
        Ok(Self { line, heartbeat, _said: said })
    }

    /// From now on outputs are driven: to be said before the first byte that drives one. Cheap when it was said before.
    ///
    /// # Errors
    /// The supervisor is gone: nothing may be driven.
    pub fn driving(&self) -> Result<(), GuardError> {
        // Without its pipe the supervisor zeroes, or has zeroed.
        if self.line.has_ended() || locked(&self.line.pipe).is_none() {
            return Err(GuardError::Gone(io::ErrorKind::BrokenPipe.into()));
        }
        if self.line.driving.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.line.say(b"driving\n").map_err(GuardError::Gone)
    }

    /// All outputs are parked: this process may end.
    pub fn parked(&self) {
        if self.line.driving.swap(false, Ordering::SeqCst) {
            // A supervisor that is gone has nothing left to do.
            let _ = self.line.say(b"parked\n");
        }
    }

    /// Returns once the supervisor is gone, within a second or so.
    pub async fn gone(&self) {
        // The sender lives as long as this.
        let _ = self.line.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        locked(&self.line.supervisor).id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.heartbeat.abort();
        drop(locked(&self.line.pipe).take());
    }
}

impl Line {
    fn say(&self, words: &[u8]) -> io::Result<()> {
        match locked(&self.pipe).as_mut() {
            Some(pipe) => pipe.write_all(words),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn has_ended(&self) -> bool {
        !matches!(locked(&self.supervisor).try_wait(), Ok(None))
    }
}

/// Asks every supervisor of this process to make its devices safe, and drives nothing from then on; false when there is none that does.
/// For a panic hook, and for who leaves at once: it waits for nothing.
pub fn make_all_safe() -> bool {
    // A panic may have come with either of them held.
    let Some(lines) = tried(&LINES) else { return false };
    let mut asked = false;
    for line in lines.iter() {
        // Its pipe ended while outputs were driven: it is at it.
        asked |= line.driving.load(Ordering::SeqCst);
        if let Some(mut pipe) = tried(&line.pipe).and_then(|mut pipe| pipe.take()) {
            asked |= pipe.write_all(b"safe\n").is_ok();
        }
    }
    asked
}

/// Waits until the supervisors of all guards that were dropped have ended, at most for `patience`; false: one has not.
pub async fn all_ended(patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        locked(&LINES).retain(|line| !line.has_ended());
        let over = locked(&LINES).iter().all(|line| locked(&line.pipe).is_some());
        if over || Instant::now() >= end {
            return over;
        }
        sleep(LOOK).await;
    }
}

async fn beat(line: Arc<Line>) {
    let mut beats = interval(HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if line.say(b"alive\n").is_err() {
            line.gone.send_replace(true);
            return;
        }
    }
}

async fn ready(
    supervisor: &mut Child,
    patience: Duration,
) -> Result<(ChildStdin, BufReader<ChildStdout>), GuardError> {
    let missing = || GuardError::Start(io::Error::other("it has no pipes"));
    let pipe = supervisor.stdin.take().ok_or_else(missing)?;
    unblocked(&pipe).map_err(GuardError::Start)?;
    let said = ChildStdout::from_std(supervisor.stdout.take().ok_or_else(missing)?);
    let mut said = BufReader::new(said.map_err(GuardError::Start)?);
    let ready = timeout(patience, said_ready(&mut said)).await;
    if ready.map_err(|_| GuardError::NotReady(patience))?.map_err(GuardError::Start)? {
        Ok((pipe, said))
    } else {
        Err(GuardError::Start(io::Error::other("it ended before it was ready")))
    }
}

/// Skips what it says before; false when it ends.
async fn said_ready(said: &mut BufReader<ChildStdout>) -> io::Result<bool> {
    let mut lines = said.take(PREAMBLE);
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 {
        if line.trim_end() == "ready" {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// A pipe that is full, because nobody reads it, is an error and does not hold up the host.
#[cfg(unix)]
fn unblocked(pipe: &ChildStdin) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

#[cfg(not(unix))]
fn unblocked(_pipe: &ChildStdin) -> io::Result<()> {
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tried<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
