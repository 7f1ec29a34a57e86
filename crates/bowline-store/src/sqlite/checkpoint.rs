//! Keeping the write-ahead log small.
//!
//! A thread of its own copies pages from the log to the file while the writer goes on. The log starts anew only when
//! all of it was copied and nobody reads from it, which under constant writing never happens by itself: so between two
//! commits the writer copies the short rest.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{options::SqliteOptions, schema};
use crate::StoreError;

/// Pages in the log from which on it is copied in the background: 4 MiB.
const PAGES_BACKGROUND: i32 = 1024;

/// Pages in the log from which on the writer copies the rest itself: 16 MiB.
const PAGES_REST: i32 = 4096;

/// A page in the log, with its header.
const PAGE_BYTES: u64 = 4096 + 24;

/// How long a checkpoint that must empty the log may wait for readers, writers meanwhile waiting for it.
const EMPTY_WAIT: Duration = Duration::from_secs(1);

/// Pages in the log after the last commit.
#[derive(Debug, Default)]
pub(super) struct WalSize(AtomicI32);

impl WalSize {
    pub(super) fn set(&self, pages: i32) {
        self.0.store(pages, Ordering::Relaxed);
    }

    fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The writer's end: decides after each commit what to do about the log.
pub(super) struct Checkpoints {
    wal: Arc<WalSize>,
    wake: SyncSender<()>,
    pages_alert: i32,
    /// Pages at which the background was woken last, and at which the writer copied the rest.
    woken_at: i32,
    rest_at: i32,
}

impl Checkpoints {
    /// Both ends.
    pub(super) fn new(wal: Arc<WalSize>, options: &SqliteOptions) -> (Self, Receiver<()>) {
        // One place: a wake-up while one is waiting adds nothing.
        let (wake, woken) = sync_channel(1);
        let pages_alert = i32::try_from(options.wal_bytes_alert / PAGE_BYTES).unwrap_or(i32::MAX);
        (Self { wal, wake, pages_alert, woken_at: 0, rest_at: 0 }, woken)
    }

    /// Looks at the log's size after a commit.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        let pages = self.wal.get();
        if pages < self.woken_at {
            // The log has started anew.
            (self.woken_at, self.rest_at) = (0, 0);
        }
        if pages - self.woken_at >= PAGES_BACKGROUND {
            self.woken_at = pages;
            // Full: it is awake already. Closed: the store is closing.
            let _ = self.wake.try_send(());
        }
        if pages - self.rest_at >= PAGES_REST && pages < self.pages_alert {
            self.rest_at = pages;
            if let Err(error) = checkpoint(conn, "PASSIVE") {
                tracing::warn!(%error, "a checkpoint failed; the write-ahead log grows until one succeeds");
            }
        }
    }
}

/// The background thread: until the writer is gone.
pub(super) struct Checkpointer {
    conn: Connection,
    wal: Arc<WalSize>,
    bytes_alert: u64,
}

impl Checkpointer {
    pub(super) fn open(path: &Path, options: &SqliteOptions, wal: Arc<WalSize>) -> Result<Self, StoreError> {
        let conn = schema::open_checkpointer(path, options).map_err(|e| super::fault::store_error(&e))?;
        Ok(Self { conn, wal, bytes_alert: options.wal_bytes_alert })
    }

    /// Copies whenever it is woken. Dropping `_done` says that the file was let go of.
    pub(super) fn run(self, woken: Receiver<()>, _done: oneshot::Sender<()>) {
        while woken.recv().is_ok() {
            let bytes = u64::try_from(self.wal.get()).unwrap_or(0) * PAGE_BYTES;
            let outcome = if bytes < self.bytes_alert {
                checkpoint(&self.conn, "PASSIVE")
            } else {
                tracing::warn!(
                    bytes,
                    limit = self.bytes_alert,
                    "the write-ahead log is too large; a long read or another program keeps it from starting anew"
                );
                self.conn.busy_timeout(EMPTY_WAIT).and_then(|()| checkpoint(&self.conn, "TRUNCATE"))
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "a checkpoint failed; the write-ahead log grows until one succeeds");
            }
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
