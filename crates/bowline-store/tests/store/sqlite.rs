//! What SQLite adds to the suite.

mod batches;
mod bounds;
mod disk;
mod fresh;
mod killing;
mod mailing;
mod opening;
mod user_sql;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bowline_store::{SqliteOptions, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::bench::TestClock;

/// A folder, and where in it the store is.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bowline.db");
    (folder, path)
}

fn options() -> SqliteOptions {
    // Small disks run the tests too.
    SqliteOptions { disk_free_bytes_min: 0, ..SqliteOptions::default() }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, options(), Arc::new(TestClock::default())).unwrap()
}

/// A look at the file past the store.
fn ask(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}
