//! What the task that owns the wire tells everybody.

use std::sync::{Arc, Mutex, PoisonError};

use crate::link::LinkStatistics;

/// What has come of the link and of the board so far.
#[derive(Debug, Default)]
pub(in crate::board) struct News {
    pub(in crate::board) statistics: LinkStatistics,
    /// NAKs by code.
    pub(in crate::board) naks: [u64; 11],
    /// The board has stopped itself.
    pub(in crate::board) tripped: Option<String>,
    /// The board says that it was reset.
    pub(in crate::board) rebooted: bool,
    /// The wire is gone.
    pub(in crate::board) lost: bool,
}

pub(in crate::board) type Shared = Arc<Mutex<News>>;

pub(in crate::board) fn with_news<T>(shared: &Shared, act: impl FnOnce(&mut News) -> T) -> T {
    act(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}
