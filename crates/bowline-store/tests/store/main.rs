//! The promises of the store: one conformance suite for every store, and what SQLite adds.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that goes wrong")]

mod bench;
mod conformance;
mod sqlite;

use std::{path::PathBuf, sync::Arc};

use bench::{Backend, TestClock};
use bowline_store::{SqliteOptions, SqliteStore, Store};

/// SQLite in a folder of its own.
struct SqliteFile {
    folder: tempfile::TempDir,
}

impl SqliteFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bowline.db")
    }
}

impl Backend for SqliteFile {
    fn open(&self, clock: Arc<TestClock>) -> Arc<dyn Store> {
        // Small disks run the tests too.
        let options = SqliteOptions { disk_free_bytes_min: 0, ..SqliteOptions::default() };
        Arc::new(SqliteStore::open(self.path(), options, clock).unwrap())
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// SQLite in memory: one store, opened once.
struct SqliteMemory;

impl Backend for SqliteMemory {
    fn open(&self, clock: Arc<TestClock>) -> Arc<dyn Store> {
        Arc::new(SqliteStore::in_memory(SqliteOptions::default(), clock).unwrap())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

conformance::promises!(sqlite_file, crate::SqliteFile::new());
conformance::promises!(sqlite_memory, crate::SqliteMemory);
