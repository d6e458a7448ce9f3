//! A lock that says that its holder lives.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::PortLock;

/// A lock whose lease is renewed three times within it, by a task, as long as this lives.
#[derive(Debug)]
pub struct Lease {
    /// Held, not read: the port is free when this is dropped.
    _lock: Arc<Mutex<PortLock>>,
    renewing: Option<JoinHandle<()>>,
}

impl PortLock {
    /// Renews the lease from now on. Outside a runtime nobody can: then the lease has to be long.
    #[must_use]
    pub fn renewed(self) -> Lease {
        let every = Duration::from_secs(self.holder().lease_s) / 3;
        let lock = Arc::new(Mutex::new(self));
        let renewing =
            Handle::try_current().ok().map(|runtime| runtime.spawn(renew(Arc::downgrade(&lock), every)));
        Lease { _lock: lock, renewing }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(task) = self.renewing.take() {
            task.abort();
        }
    }
}

async fn renew(lock: Weak<Mutex<PortLock>>, every: Duration) {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let Some(lock) = lock.upgrade() else { return };
        let renewed = lock.lock().unwrap_or_else(PoisonError::into_inner).renew();
        if let Err(error) = renewed {
            // It is held all the same; only that its holder lives is not said.
            tracing::warn!(%error, "the lease of a port could not be renewed");
        }
    }
}
