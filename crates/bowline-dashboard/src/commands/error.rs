//! Why a command was not carried out, with a hint at what to use instead.

use std::time::Duration;

use bowline_model::{Run, RunId, RunState};
use bowline_store::{StoreError, StoreErrorKind};

/// Why a command was not carried out. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    retry_after: Option<Duration>,
}

/// What the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such run, or its event is gone.
    NotFound,
    /// The run is not in a state in which the command makes sense.
    WrongState,
    /// The store did not do it; its own kind says why.
    Store(StoreErrorKind),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to try instead.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// When the same command may succeed, if waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(super) fn store_kind(&self) -> Option<StoreErrorKind> {
        match self.kind {
            ErrorKind::Store(kind) => Some(kind),
            ErrorKind::NotFound | ErrorKind::WrongState => None,
        }
    }

    pub(super) fn no_such_run(run: RunId) -> Self {
        Self {
            kind: ErrorKind::NotFound,
            message: format!("there is no run {run}"),
            hint: Some("`runs` lists them; ended runs leave the store after their retention".to_owned()),
            retry_after: None,
        }
    }

    pub(super) fn not_dead(run: &Run) -> Self {
        let hint = match run.state {
            RunState::Queued | RunState::Running | RunState::Waiting => {
                format!("it goes on by itself; `show {}` says where it stands", run.id)
            }
            RunState::Completed | RunState::Cancelled => {
                format!("it has ended; `replay {}` runs its event again as a new run", run.id)
            }
            RunState::DeadLettered => format!("`show {}` says where it stands", run.id),
        };
        Self::wrong_state(format!("run {} is {}, not a dead letter", run.id, run.state), hint)
    }

    pub(super) fn not_open(run: RunId, state: RunState) -> Self {
        let hint = match state {
            RunState::DeadLettered => format!("`discard {run}` closes a dead letter"),
            RunState::Completed | RunState::Cancelled => "there is nothing left to cancel".to_owned(),
            RunState::Queued | RunState::Running | RunState::Waiting => "say it again".to_owned(),
        };
        Self::wrong_state(format!("run {run} is {state}, and not open any more"), hint)
    }

    pub(super) fn not_cancellable(state: RunState) -> Self {
        let hint = "open are queued, running and waiting ones".to_owned();
        Self::wrong_state(format!("runs that are {state} are not open: there is nothing to cancel"), hint)
    }

    pub(super) fn no_engine(run: RunId) -> Self {
        Self {
            kind: ErrorKind::Store(StoreErrorKind::Unavailable),
            message: format!("run {run} cannot be cancelled here: no engine is at hand"),
            hint: Some("say it to the server that drives it".to_owned()),
            retry_after: None,
        }
    }

    pub(super) fn not_ended(run: &Run) -> Self {
        Self::wrong_state(
            format!("run {} is {}: it has not ended yet", run.id, run.state),
            format!("a replay beside it would repeat its effects; `show {}` says where it stands", run.id),
        )
    }

    pub(super) fn wrong_state(message: String, hint: String) -> Self {
        Self { kind: ErrorKind::WrongState, message, hint: Some(hint), retry_after: None }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let hint = error.is_retryable().then(|| "nothing was changed; try again soon".to_owned());
        Self {
            kind: ErrorKind::Store(error.kind()),
            message: error.to_string(),
            hint,
            retry_after: error.retry_after(),
        }
    }
}
