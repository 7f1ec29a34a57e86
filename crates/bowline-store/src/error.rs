//! What can go wrong with a store, by what the caller can do about it.

use std::time::Duration;

/// Why the store did not do it. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

/// What the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No room on the disk: try again when there is.
    Full,
    /// Too much is waiting to be written: try again soon.
    Busy,
    /// The store does not answer, or not correctly: try again later.
    Unavailable,
    /// The caller's epoch is not the run's: another owner has it now. Stop, write nothing more.
    Stale,
    /// What was expected is not so (a state, a journal's length, a cursor's value): read again, decide again.
    Conflict,
    /// A message came before the end of a wait that the write records: read the mail, decide again.
    Overtaken,
    /// No such run or event.
    NotFound,
    /// Another process has the store open.
    Locked,
    /// The file is not a store of ours, or was written by a newer version.
    Incompatible,
    /// The caller passed a limit of the store.
    Limit,
}

impl StoreError {
    /// An error of that kind. The message says fact, value, hint.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Full | StoreErrorKind::Busy | StoreErrorKind::Unavailable)
    }

    /// When to try again, if that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            StoreErrorKind::Full => Some(Duration::from_secs(30)),
            StoreErrorKind::Busy => Some(Duration::from_secs(1)),
            StoreErrorKind::Unavailable => Some(Duration::from_secs(5)),
            StoreErrorKind::Stale
            | StoreErrorKind::Conflict
            | StoreErrorKind::Overtaken
            | StoreErrorKind::NotFound
            | StoreErrorKind::Locked
            | StoreErrorKind::Incompatible
            | StoreErrorKind::Limit => None,
        }
    }
}
