//! Runs that share a key go one at a time, the older first.
//!
//! What comes in: a keyed run that is queued, or that is open no more. What goes out: one open run of each key that may
//! be claimed; those behind it are queued with `ready` NULL. What must never happen here: a key whose runs all wait for
//! each other.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::{row::nanos, transaction::Tx};

/// Whether another run of that key is open. Codes of states: 0 queued, 1 running, 2 waiting.
const IS_TAKEN: &str =
    "SELECT 1 FROM run INDEXED BY run_key WHERE key = ?1 AND state <= 2 AND id <> ?2 LIMIT 1";

/// Whether a run of that key is in front already.
const HAS_FRONT: &str = "SELECT 1 FROM run INDEXED BY run_key WHERE key = ?1 AND \
     (state IN (1, 2) OR (state = 0 AND ready IS NOT NULL)) LIMIT 1";

/// The oldest run of that key that is held back.
const NEXT: &str = "SELECT id FROM run INDEXED BY run_key WHERE key = ?1 AND state = 0 AND ready IS NULL ORDER BY id LIMIT 1";

/// Whether a run of that key must wait for another one.
pub(super) fn is_taken(tx: &Tx<'_>, key: Option<&str>, run: i64) -> rusqlite::Result<bool> {
    match key {
        Some(key) => tx.conn.prepare_cached(IS_TAKEN)?.exists((key, run)),
        None => Ok(false),
    }
}

/// A run that was queued again waits, if another one of its key is open.
pub(super) fn wait_in_line(tx: &Tx<'_>, key: Option<&str>, run: i64) -> rusqlite::Result<()> {
    if is_taken(tx, key, run)? {
        tx.conn.prepare_cached("UPDATE run SET ready = NULL WHERE id = ?1")?.execute([run])?;
    }
    Ok(())
}

/// A run of that key is open no more: the next one may go.
pub(super) fn pass_on(tx: &Tx<'_>, key: Option<&str>, now: Timestamp) -> rusqlite::Result<()> {
    let Some(key) = key else { return Ok(()) };
    if tx.conn.prepare_cached(HAS_FRONT)?.exists([key])? {
        return Ok(());
    }
    let next: Option<i64> = tx.conn.prepare_cached(NEXT)?.query_row([key], |row| row.get(0)).optional()?;
    if let Some(next) = next {
        tx.conn
            .prepare_cached("UPDATE run SET ready = (due IS NULL OR due <= ?2) WHERE id = ?1")?
            .execute((next, nanos(now)))?;
    }
    Ok(())
}
