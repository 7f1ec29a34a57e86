//! From SQLite's errors to the store's, by what the caller can do about them.

use bowline_model::Failure;
use rusqlite::ErrorCode;

use crate::{StoreError, StoreErrorKind};

/// Why a write or a read did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// It asked for what is not so. Found before anything was changed: its neighbours in the batch are unharmed.
    Refused(StoreError),
    /// SQLite failed. The transaction is lost.
    Sqlite(rusqlite::Error),
    /// The user's own SQL failed: the transaction, which holds this write only, is given up.
    Failed(Failure),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(super) fn refused(kind: StoreErrorKind, message: impl Into<String>) -> Fault {
    Fault::Refused(StoreError::new(kind, message))
}

/// A value on disk that this build cannot read.
pub(super) fn unreadable(what: impl std::fmt::Display) -> Fault {
    refused(
        StoreErrorKind::Incompatible,
        format!("the store holds {what}, which this build cannot read; was it written by a newer version?"),
    )
}

/// Whether the connection, and what it believes to be on disk, can no longer be trusted.
///
/// Asked only of errors that ended a transaction: a full disk and a lock held by someone else leave nothing in doubt.
pub(super) fn is_in_doubt(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => !matches!(
            code,
            ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::TooBig
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::OperationInterrupted
        ),
        None => false,
    }
}

/// The error as the caller sees it.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::new(StoreErrorKind::Unavailable, format!("the store failed: {error}"));
    };
    let (kind, hint) = match code {
        ErrorCode::DiskFull => {
            (StoreErrorKind::Full, "no room for the store; free disk space, it goes on by itself")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            (StoreErrorKind::Busy, "another program holds the store's file; close it")
        }
        ErrorCode::TooBig => (StoreErrorKind::Limit, "a value is larger than the store can hold"),
        ErrorCode::NotADatabase => (StoreErrorKind::Incompatible, "the file is not a store; check its path"),
        ErrorCode::DatabaseCorrupt => {
            (StoreErrorKind::Unavailable, "the store's file is damaged; restore a backup")
        }
        ErrorCode::OperationInterrupted => {
            (StoreErrorKind::Unavailable, "a read passed its deadline; ask for less")
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            (StoreErrorKind::Unavailable, "the store's file cannot be written; check its permissions")
        }
        _ => (StoreErrorKind::Unavailable, "the store's file cannot be used; check the disk"),
    };
    StoreError::new(kind, format!("{hint} ({error})"))
}
