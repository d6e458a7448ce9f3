//! The host's end of the pipe.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Most that a supervisor may say before it is ready.
const PREAMBLE: u64 = 1 << 14;

/// A supervisor that watches this process. Dropping it without a goodbye makes the devices safe.
pub struct Guard {
    supervisor: Child,
    pipe: ChildStdin,
    _said: BufReader<ChildStdout>,
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
        command.process_group(0);
        let mut supervisor = command.spawn().map_err(GuardError::Start)?;
        let missing = || GuardError::Start(io::Error::other("it has no pipes"));
        let pipe = supervisor.stdin.take().ok_or_else(missing)?;
        let mut said = BufReader::new(supervisor.stdout.take().ok_or_else(missing)?);
        let ready = timeout(patience, said_ready(&mut said)).await;
        if ready.map_err(|_| GuardError::NotReady(patience))?.map_err(GuardError::Start)? {
            Ok(Self { supervisor, pipe, _said: said })
        } else {
            Err(GuardError::Start(io::Error::other("it ended before it was ready")))
        }
    }

    /// Says that this process works.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn alive(&mut self) -> Result<(), GuardError> {
        self.say(b"alive\n").await
    }

    /// Asks it to make the devices safe: this process cannot. Close the ports first.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn make_safe(mut self) -> Result<ExitStatus, GuardError> {
        self.say(b"safe\n").await?;
        self.end().await
    }

    /// Says that all is parked, and waits until the supervisor has ended.
    ///
    /// # Errors
    /// It was gone before.
    pub async fn goodbye(mut self) -> Result<ExitStatus, GuardError> {
        self.say(b"goodbye\n").await?;
        self.end().await
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.id()
    }

    async fn say(&mut self, line: &[u8]) -> Result<(), GuardError> {
        self.pipe.write_all(line).await.map_err(GuardError::Gone)?;
        self.pipe.flush().await.map_err(GuardError::Gone)
    }

    async fn end(self) -> Result<ExitStatus, GuardError> {
        let Self { mut supervisor, pipe, _said } = self;
        drop(pipe);
        supervisor.wait().await.map_err(GuardError::Gone)
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
