//! Emulated devices on real ports: pseudo-terminals and TCP.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_serial::{SerialPort, SerialStream};

use super::{Device, Emulator, Ended};

/// A pseudo-terminal: its far end opens like a serial port.
pub struct Pty {
    near: SerialStream,
    /// Kept open, so that a host can leave and come back.
    _far: SerialStream,
    path: PathBuf,
}

impl Pty {
    /// Opens the next free one. Needs a runtime.
    ///
    /// # Errors
    /// None is free.
    pub fn open() -> io::Result<Self> {
        let (near, far) = SerialStream::pair()?;
        let path = far
            .name()
            .map(PathBuf::from)
            .ok_or_else(|| io::Error::other("a pseudo-terminal without a name"))?;
        Ok(Self { near, _far: far, path })
    }

    /// What a host opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<D: Device + 'static> Emulator<D> {
    /// Serves a pseudo-terminal for ever. `replugged` is told the path after each time the plug was out: it may be another.
    ///
    /// # Errors
    /// No pseudo-terminal is free.
    pub async fn serve_pty(&self, mut pty: Pty, mut replugged: impl FnMut(&Path)) -> io::Result<()> {
        loop {
            let Ended::Unplugged(time) = self.serve(&mut pty.near).await else { continue };
            drop(pty);
            self.unplugged(Instant::now() + time).await;
            pty = Pty::open()?;
            replugged(pty.path());
        }
    }

    /// Serves every connection to `listener`, for ever.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve_tcp(&self, listener: TcpListener) -> io::Result<()> {
        let mut hosts = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    if self.is_plugged() {
                        hosts.spawn(self.clone().host(stream));
                    }
                }
                Some(ended) = hosts.join_next(), if !hosts.is_empty() => {
                    if let Ok(Ended::Unplugged(_)) = ended {
                        hosts.abort_all();
                    }
                }
                () = self.unattended(), if hosts.is_empty() => {}
            }
        }
    }

    async fn host(self, stream: TcpStream) -> Ended {
        match stream.set_nodelay(true) {
            Ok(()) => self.serve(stream).await,
            Err(_) => Ended::HostLeft,
        }
    }

    /// The device lives on while nobody is connected.
    async fn unattended(&self) {
        self.live_on().await;
        std::future::pending::<()>().await;
    }

    async fn unplugged(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.unattended() => {}
        }
    }
}
