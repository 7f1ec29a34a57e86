//! Failures of the disk, to order: what tests of the store cannot get from a real one.

use super::{fault::Fault, queue::Write, transaction::Tx};

/// What goes wrong with the writer's next transaction.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Its commit fails, and is not on disk.
    CommitLost,
    /// Its commit fails, and is on disk all the same.
    CommitUnanswered,
    /// From now on the disk is full at so many pages.
    PagesMax(u32),
}

impl Write for Failure {
    type Out = ();

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        match self {
            Self::CommitLost | Self::CommitUnanswered => *tx.failure = Some(*self),
            Self::PagesMax(pages) => {
                tx.conn.pragma_update_and_check(None, "max_page_count", *pages, |_| Ok(()))?;
            }
        }
        Ok(())
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

/// What SQLite says of a failed sync.
pub(super) fn no_sync() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC),
        Some("disk I/O error".to_owned()),
    )
}
