//! Values between runs: read and changed within a run's write.
//!
//! What comes in: one operation, in the transaction that records its answer. What goes out: the answer. Two runs that
//! change one value do it one after the other, since there is one writer. What must never happen here: a value past its
//! time that is seen; a version that is given twice.

use bowline_model::{Failure, Payload};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    fault::{Fault, refused},
    readers::Snapshot,
    row::{nanos, time},
    transaction::Tx,
};
use crate::{
    Answered, StateAsk, StateEntry, StateFilter, StateOp, StoreErrorKind,
    state::{
        STATE_KEY_BYTES_MAX, STATE_PAGE_DEFAULT, STATE_PAGE_MAX, STATE_SPACE_BYTES_MAX, STATE_VALUE_BYTES_MAX,
    },
};

/// Values that one piece of tidying removes: they may be large.
const PIECE_MAX: i64 = 100;

/// What is there now.
struct Held {
    value: Vec<u8>,
    version: u64,
    expires_at: Option<i64>,
}

/// An answer on its way into the journal.
struct Told<'v> {
    value: Option<&'v [u8]>,
    version: u64,
    done: bool,
}

impl Told<'_> {
    fn payload(&self) -> Answered {
        let mut json = b"{\"value\":".to_vec();
        json.extend_from_slice(self.value.unwrap_or(b"null"));
        json.extend_from_slice(format!(",\"version\":{},\"done\":{}}}", self.version, self.done).as_bytes());
        Answered::Value(Payload::from_stored(json))
    }
}

/// Refuses what is too long, before anything is changed.
pub(super) fn check(ask: &StateAsk) -> Result<(), Fault> {
    let value_bytes = match &ask.op {
        StateOp::Set { value, .. } | StateOp::CompareAndSet { value, .. } => value.as_bytes().len(),
        StateOp::Get | StateOp::Add { .. } | StateOp::Remove => 0,
    };
    for (what, bytes, limit) in [
        ("name of a space of values", ask.space.len(), STATE_SPACE_BYTES_MAX),
        ("key of a value", ask.key.len(), STATE_KEY_BYTES_MAX),
        ("value", value_bytes, STATE_VALUE_BYTES_MAX),
    ] {
        if bytes > limit {
            let message = format!("a {what} has {bytes} bytes (limit {limit}); keep a reference instead");
            return Err(refused(StoreErrorKind::Limit, message));
        }
    }
    Ok(())
}

/// Does it. What it cannot do is `Failed`, and nothing was changed.
pub(super) fn apply(tx: &Tx<'_>, ask: &StateAsk, now: Timestamp) -> rusqlite::Result<Answered> {
    let held = held(tx.conn, ask, now)?;
    let version = held.as_ref().map_or(0, |held| held.version);
    let told = |version, done| Ok(Told { value: None, version, done }.payload());
    match &ask.op {
        StateOp::Get => {
            let value = held.as_ref().map(|held| &held.value[..]);
            Ok(Told { value, version, done: held.is_some() }.payload())
        }
        StateOp::Set { value, expires_at } => {
            told(put(tx.conn, ask, value.as_bytes(), expires_at.map(nanos))?, true)
        }
        StateOp::CompareAndSet { version: expected, value, expires_at } if *expected == version => {
            told(put(tx.conn, ask, value.as_bytes(), expires_at.map(nanos))?, true)
        }
        StateOp::CompareAndSet { .. } => {
            let value = held.as_ref().map(|held| &held.value[..]);
            Ok(Told { value, version, done: false }.payload())
        }
        StateOp::Add { by, expires_at } => add(tx.conn, ask, held, *by, expires_at.map(nanos)),
        StateOp::Remove => {
            remove(tx.conn, ask)?;
            told(0, held.is_some())
        }
    }
}

fn held(conn: &Connection, ask: &StateAsk, now: Timestamp) -> rusqlite::Result<Option<Held>> {
    conn.prepare_cached(
        "SELECT value, version, expires_at FROM bowline_state \
         WHERE space = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3)",
    )?
    .query_row((&ask.space, &ask.key, nanos(now)), |row| {
        Ok(Held { value: row.get(0)?, version: version(row.get(1)?), expires_at: row.get(2)? })
    })
    .optional()
}

/// Its new version.
fn put(conn: &Connection, ask: &StateAsk, value: &[u8], expires_at: Option<i64>) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO bowline_state (space, key, value, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![ask.space, ask.key, value, expires_at])?;
    Ok(version(conn.last_insert_rowid()))
}

fn version(id: i64) -> u64 {
    u64::try_from(id).expect("rows are numbered from 1")
}

/// A counter keeps the time at which it goes, unless it is given another.
fn add(
    conn: &Connection,
    ask: &StateAsk,
    held: Option<Held>,
    by: i64,
    expires_at: Option<i64>,
) -> rusqlite::Result<Answered> {
    let before = match &held {
        Some(held) => serde_json::from_slice::<i64>(&held.value).ok(),
        None => Some(0),
    };
    let Some(before) = before else {
        let message =
            format!("the value \"{}\" is no whole number that fits 64 bits: nothing can be added", ask.key);
        return Ok(Answered::Failed(Failure::refused(message).permanent()));
    };
    let Some(after) = before.checked_add(by) else {
        let message = format!("the value \"{}\" would no longer fit 64 bits with {by} added", ask.key);
        return Ok(Answered::Failed(Failure::refused(message).permanent()));
    };
    let value = after.to_string().into_bytes();
    let expires_at = expires_at.or(held.and_then(|held| held.expires_at));
    let version = put(conn, ask, &value, expires_at)?;
    Ok(Told { value: Some(&value), version, done: true }.payload())
}

fn remove(conn: &Connection, ask: &StateAsk) -> rusqlite::Result<usize> {
    conn.prepare_cached("DELETE FROM bowline_state WHERE space = ?1 AND key = ?2")?
        .execute((&ask.space, &ask.key))
}

/// Removes values past their time. Returns whether there is more to do.
pub(super) fn tidy(conn: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let removed = conn
        .prepare_cached(
            "DELETE FROM bowline_state WHERE version IN (SELECT version FROM bowline_state \
             INDEXED BY bowline_state_expiry WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
        )?
        .execute((nanos(now), PIECE_MAX))?;
    Ok(i64::try_from(removed).is_ok_and(|rows| rows >= PIECE_MAX))
}

/// [`Store::state`](crate::Store::state).
pub(super) fn list(
    at: &mut Snapshot<'_>,
    filter: &StateFilter,
    now: Timestamp,
) -> Result<Vec<StateEntry>, Fault> {
    let limit = match filter.limit {
        0 => STATE_PAGE_DEFAULT,
        some => some.min(STATE_PAGE_MAX),
    };
    // Texts are compared by their bytes: all that begin with the prefix follow it in one stretch.
    let from = filter.after.as_ref().map_or(&filter.prefix, |after| after.max(&filter.prefix));
    let mut query = at.conn.prepare_cached(
        "SELECT key, value, version, expires_at FROM bowline_state WHERE space = ?1 AND key >= ?2 \
         AND (expires_at IS NULL OR expires_at > ?3) ORDER BY key",
    )?;
    let mut rows = query.query(params![filter.space, from, nanos(now)])?;
    let mut entries = vec![];
    while entries.len() < limit
        && let Some(row) = rows.next()?
    {
        let key: String = row.get(0)?;
        if !key.starts_with(&filter.prefix) {
            break;
        }
        if filter.after.as_ref() == Some(&key) {
            continue;
        }
        entries.push(StateEntry {
            key,
            value: Payload::from_stored(row.get::<_, Vec<u8>>(1)?),
            version: version(row.get(2)?),
            expires_at: row.get::<_, Option<i64>>(3)?.map(time),
        });
    }
    Ok(entries)
}
