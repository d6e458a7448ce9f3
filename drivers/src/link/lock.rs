//! One program at a time on a port.
//!
//! The lock is the system's, on a file that says who holds it: it is free as soon as its holder is dead, however it died. It holds
//! between the programs of one user; between users the rights to the device file do.

mod identity;
mod lease;

use std::{
    env, fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::{LinkError, Port};
use crate::record::Clock;

pub use lease::Lease;

/// What a lock file says of its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Program, with its version.
    pub owner: String,
    /// Who started it.
    pub user: String,
    /// Process id.
    pub pid: u32,
    /// How it was started.
    pub command: String,
    /// Port as its operator wrote it.
    pub place: String,
    /// Since when it holds the port, RFC 3339.
    pub since: String,
    /// When it renewed its lease last, RFC 3339.
    pub renewed: String,
    /// How long after that it may be taken to hang, in seconds.
    pub lease_s: u64,
}

/// The folder of locks of one user.
#[derive(Clone, Debug)]
pub struct Locks {
    folder: PathBuf,
    clock: Clock,
}

/// A port that is this program's until the lock is dropped.
#[derive(Debug)]
pub struct PortLock {
    file: File,
    clock: Clock,
    holder: Holder,
    left_by: Option<Holder>,
    /// What a program that died left is left as it is.
    visits: bool,
}

impl Locks {
    /// The locks of this user: in `XDG_RUNTIME_DIR`, or else in the system's folder for temporary files.
    #[must_use]
    pub fn of_user(clock: Clock) -> Self {
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
        let folder = match runtime {
            Some(folder) => PathBuf::from(folder).join("alora"),
            None => env::temp_dir().join(format!("alora-{}", user())),
        };
        Self::within(folder.join("locks"), clock)
    }

    /// Locks in a folder.
    #[must_use]
    pub fn within(folder: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { folder: folder.into(), clock }
    }

    /// Takes a port for the program `owner`. Two names of one device are one lock.
    ///
    /// # Errors
    /// Another program holds it; or the folder cannot be written; or nothing has that USB serial number.
    pub fn take(&self, port: &Port, owner: &str, lease: Duration) -> Result<PortLock, LinkError> {
        let refused = |error: io::Error| self.refused(port, &error);
        let path = self.path(port)?;
        make_private(&self.folder).map_err(refused)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(self.held(port, &path)),
            Err(fs::TryLockError::Error(error)) => return Err(refused(error)),
        }
        let left_by = read(&mut file);
        let now = self.clock.now().rfc3339();
        let holder = Holder {
            owner: owner.to_owned(),
            user: user(),
            pid: std::process::id(),
            command: env::args().collect::<Vec<_>>().join(" "),
            place: port.to_string(),
            since: now.clone(),
            renewed: now,
            lease_s: lease.as_secs().max(1),
        };
        let mut lock = PortLock { file, clock: self.clock.clone(), holder, left_by, visits: false };
        lock.write().map_err(refused)?;
        Ok(lock)
    }

    /// Who holds a port now, for `alora doctor`; `None`: nobody.
    ///
    /// # Errors
    /// Nothing has that USB serial number.
    pub fn holder(&self, port: &Port) -> Result<Option<Holder>, LinkError> {
        let Ok(mut file) = File::open(self.path(port)?) else { return Ok(None) };
        match file.try_lock_shared() {
            Err(fs::TryLockError::WouldBlock) => {
                Ok(Some(read(&mut file).unwrap_or_else(|| Holder::unknown(port))))
            }
            _ => Ok(None),
        }
    }

    fn path(&self, port: &Port) -> Result<PathBuf, LinkError> {
        Ok(self.folder.join(format!("{}.lock", identity::of(port)?)))
    }

    fn held(&self, port: &Port, path: &Path) -> LinkError {
        let holder = File::open(path).ok().and_then(|mut file| read(&mut file));
        let holder = holder.unwrap_or_else(|| Holder::unknown(port));
        let lease = holder.overdue(self.clock.now().utc).map_or_else(String::new, |overdue| {
            format!(
                "; its lease ran out {} s ago, so it may hang: `kill {}` frees the port",
                overdue.as_secs(),
                holder.pid
            )
        });
        LinkError::Held { place: port.to_string(), by: Box::new(holder), lease }
    }

    fn refused(&self, port: &Port, error: &io::Error) -> LinkError {
        LinkError::Lock {
            place: port.to_string(),
            folder: self.folder.display().to_string().into(),
            reason: error.to_string().into(),
        }
    }
}

impl PortLock {
    /// The program that died holding this port before, if one did: say so, its outputs may be as it left them.
    #[must_use]
    pub fn left_by(&self) -> Option<&Holder> {
        self.left_by.as_ref()
    }

    /// What this lock says to others.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// For who only looks: that a program died holding the port is still said to the next one.
    pub fn visit(&mut self) {
        self.visits = true;
    }

    /// Says that this program lives: well within the lease.
    ///
    /// # Errors
    /// The file cannot be written; the lock is held all the same.
    pub fn renew(&mut self) -> io::Result<()> {
        self.holder.renewed = self.clock.now().rfc3339();
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.write_holder(&self.holder.clone())
    }

    fn write_holder(&mut self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_string(holder)? + "\n";
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for PortLock {
    /// An empty file says that nobody died holding it; a visitor leaves what it found. The file stays: who waits for it has it open.
    fn drop(&mut self) {
        let left = self.left_by.take().filter(|_| self.visits);
        let _ = match left {
            Some(left) => self.write_holder(&left),
            None => self.file.set_len(0),
        };
        let _ = self.file.unlock();
    }
}

impl Holder {
    /// A holder that has not yet written who it is.
    fn unknown(port: &Port) -> Self {
        let unknown = || "unknown".to_owned();
        let place = port.to_string();
        Self {
            owner: "another program".to_owned(),
            user: unknown(),
            pid: 0,
            command: unknown(),
            place,
            since: unknown(),
            renewed: unknown(),
            lease_s: 0,
        }
    }

    /// How long ago its lease ran out; `None`: it has not. A clock that was set makes this wrong, and nothing else.
    #[must_use]
    pub fn overdue(&self, now: UtcDateTime) -> Option<Duration> {
        let renewed = UtcDateTime::parse(&self.renewed, &Rfc3339).ok()?;
        (now - renewed - Duration::from_secs(self.lease_s)).try_into().ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, user, pid, command, since, .. } = self;
        write!(f, "{owner} (pid {pid}, user {user}, `{command}`) since {since}")
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

/// Who is at the keyboard, as a name that may be one of a file.
pub(crate) fn user() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| env::var(name).ok());
    let safe =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    named.filter(safe).unwrap_or_else(numbered)
}

#[cfg(unix)]
fn numbered() -> String {
    format!("uid{}", rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn numbered() -> String {
    "user".to_owned()
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};

    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if fs::metadata(folder)?.uid() == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder of the locks belongs to another user",
        ))
    }
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
