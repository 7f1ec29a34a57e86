//! Keeping the write-ahead log small.
//!
//! A thread of its own copies pages from the log to the file while the writer goes on. The log starts anew only when
//! all of it was copied and nobody reads from it, which under constant writing never happens by itself: so between two
//! commits the writer copies the short rest.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use rusqlite::Connection;

use super::{fault::store_error, options::SqliteOptions, schema, schema::LOCK_WAIT};
use crate::StoreError;

/// Pages in the log from which on it is copied in the background: 4 MiB.
const PAGES_BACKGROUND: i32 = 1024;

/// Pages in the log from which on the writer copies the rest itself: 16 MiB.
const PAGES_REST: i32 = 4096;

/// A page in the log, with its header.
const PAGE_BYTES: u64 = 4096 + 24;

/// How long a checkpoint that must empty the log may wait for readers, writers meanwhile waiting for it.
const EMPTY_WAIT: Duration = Duration::from_secs(1);

/// What writer and background know of each other.
#[derive(Debug, Default)]
pub(super) struct WalSize {
    /// Pages in the log after the last commit.
    pages: AtomicI32,
    /// Whether the background copies now. Two cannot copy at once: the second would give up.
    is_copying: AtomicBool,
}

impl WalSize {
    pub(super) fn set(&self, pages: i32) {
        self.pages.store(pages, Ordering::Relaxed);
    }
}

/// The writer's end: decides after each commit what to do about the log.
pub(super) struct Checkpoints {
    wal: Arc<WalSize>,
    wake: SyncSender<()>,
    /// Pages at which the background was woken last.
    woken_at: i32,
    /// Whether the rest that the background left is still to be copied.
    is_rest_due: bool,
    bytes_alert: u64,
    /// Size of the log from which on the next attempt to empty it is due.
    bytes_next: u64,
}

impl Checkpoints {
    /// Both ends.
    pub(super) fn new(wal: Arc<WalSize>, bytes_alert: u64) -> (Self, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        (Self { wal, wake, woken_at: 0, is_rest_due: false, bytes_alert, bytes_next: bytes_alert }, woken)
    }

    /// Looks at the log's size after a commit.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        if self.wal.is_copying.load(Ordering::Acquire) {
            return;
        }
        let pages = self.wal.pages.load(Ordering::Relaxed);
        if pages < self.woken_at {
            // The log has started anew.
            (self.woken_at, self.is_rest_due, self.bytes_next) = (0, false, self.bytes_alert);
        }
        if self.is_rest_due && pages >= PAGES_REST {
            self.is_rest_due = false;
            warn_of(self.copy_rest(conn, u64::try_from(pages).unwrap_or(0) * PAGE_BYTES));
        } else if pages - self.woken_at >= PAGES_BACKGROUND {
            (self.woken_at, self.is_rest_due) = (pages, true);
            self.wal.is_copying.store(true, Ordering::Release);
            // Full cannot be: it was not copying. Closed: the store is closing.
            let _ = self.wake.try_send(());
        }
    }

    fn copy_rest(&mut self, conn: &Connection, bytes: u64) -> rusqlite::Result<()> {
        if bytes < self.bytes_next {
            return checkpoint(conn, "PASSIVE");
        }
        // Waiting for readers holds writers up: not again before the log has grown by a quarter.
        self.bytes_next = bytes + self.bytes_alert / 4;
        tracing::warn!(
            bytes,
            limit = self.bytes_alert,
            "the write-ahead log is too large: a long read or another program keeps it from starting anew"
        );
        conn.busy_timeout(EMPTY_WAIT)?;
        let emptied = checkpoint_truncate(conn);
        conn.busy_timeout(LOCK_WAIT)?;
        emptied
    }
}

fn warn_of(outcome: rusqlite::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "a checkpoint failed; the write-ahead log grows until one succeeds");
    }
}

/// The background thread: until the writer is gone.
pub(super) struct Checkpointer {
    conn: Connection,
    wal: Arc<WalSize>,
}

impl Checkpointer {
    pub(super) fn open(path: &Path, options: &SqliteOptions, wal: Arc<WalSize>) -> Result<Self, StoreError> {
        let conn = schema::open_checkpointer(path, options).map_err(|e| store_error(&e))?;
        Ok(Self { conn, wal })
    }

    /// Copies whenever it is woken.
    pub(super) fn run(self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            warn_of(checkpoint(&self.conn, "PASSIVE"));
            self.wal.is_copying.store(false, Ordering::Release);
        }
    }
}

/// Copies the whole log into the file and cuts the log to nothing, as far as readers allow.
pub(super) fn checkpoint_truncate(conn: &Connection) -> rusqlite::Result<()> {
    checkpoint(conn, "TRUNCATE")
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<()> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}
