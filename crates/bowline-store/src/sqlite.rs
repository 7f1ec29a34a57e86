//! The store in the box.

/// SQLite, one file.
pub struct SqliteStore;
