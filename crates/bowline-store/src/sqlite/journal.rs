//! A run's journal: only ever appended to, but that entries of a loop's ended items are removed. Their places stay taken.

use bowline_model::{Entry, EntryKind, Payload, Position, RunId, Seq, entry::ENTRY_FORMAT};
use rusqlite::{OptionalExtension, params};

use super::{
    fault::{Fault, refused},
    row::{self, BLOB_BYTES_MAX, ENTRY_COLUMNS, JOURNAL_LEN_MAX, entry_id, nanos},
    transaction::Tx,
};
use crate::StoreErrorKind;

/// Refuses entries that do not follow a journal of that length, or are too large.
pub(super) fn check(run: RunId, entries: &[Entry], journal_len: i64) -> Result<(), Fault> {
    for (place, entry) in (journal_len + 1..).zip(entries) {
        if entry.seq.0 != place {
            let message =
                format!("entry {} does not follow: run {run}'s journal goes on at {place}", entry.seq);
            return Err(refused(StoreErrorKind::Conflict, message));
        }
        if place > JOURNAL_LEN_MAX {
            let message =
                format!("run {run}'s journal has {JOURNAL_LEN_MAX} entries, the limit; go on as a new run");
            return Err(refused(StoreErrorKind::Limit, message));
        }
        if let Some(payload) = &entry.payload {
            check_payload(entry, payload)?;
        }
    }
    Ok(())
}

/// Refuses a value that is too large for its entry.
pub(super) fn check_payload(entry: &Entry, payload: &Payload) -> Result<(), Fault> {
    let bytes = payload.as_bytes().len();
    if bytes > BLOB_BYTES_MAX {
        let message =
            format!("entry {} has {bytes} bytes (limit {BLOB_BYTES_MAX}); keep a reference", entry.key);
        return Err(refused(StoreErrorKind::Limit, message));
    }
    Ok(())
}

/// Appends entries that [`check`] found to follow.
pub(super) fn append(tx: &mut Tx<'_>, run: RunId, home: i64, entries: &[Entry]) -> rusqlite::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut insert = tx.conn.prepare_cached(&format!(
        "INSERT INTO entry_{home} ({ENTRY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    ))?;
    for entry in entries {
        let build = tx.names.intern(tx.conn, entry.build.as_str())?;
        let (nth, key) = match &entry.key.position {
            Position::Nth(nth) => (Some(nth), None),
            Position::Key(key) => (None, Some(key)),
        };
        let meta = (entry.meta != Default::default())
            .then(|| serde_json::to_string(&entry.meta).expect("an entry's notes are JSON"));
        insert.execute(params![
            entry_id(run, entry.seq.0),
            entry.kind.code(),
            ENTRY_FORMAT,
            entry.key.family.code(),
            entry.key.scope.as_str(),
            entry.key.name,
            nth,
            key,
            build,
            nanos(entry.at),
            meta,
            entry.payload.as_ref().map(|payload| &payload.as_bytes()[..]),
        ])?;
    }
    tx.ledger.period_bytes += i64::try_from(bytes(entries)).unwrap_or(i64::MAX / 2);
    Ok(())
}

/// Whether exactly these entries are in the journal already; of one of them, `answered`, whatever its payload.
pub(super) fn holds<'e>(
    tx: &mut Tx<'_>,
    run: RunId,
    home: i64,
    entries: impl Iterator<Item = &'e Entry>,
    answered: Option<Seq>,
) -> Result<bool, Fault> {
    let mut query =
        tx.conn.prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entry_{home} WHERE id = ?1"))?;
    for entry in entries {
        let mut rows = query.query([entry_id(run, entry.seq.0)])?;
        let Some(found) = rows.next()? else { return Ok(false) };
        let mut found = row::entry(tx.conn, tx.names, found)?;
        if answered == Some(entry.seq) {
            found.payload.clone_from(&entry.payload);
        }
        if found != *entry {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An entry's payload.
pub(super) fn payload(tx: &Tx<'_>, run: RunId, home: i64, seq: Seq) -> rusqlite::Result<Option<Payload>> {
    let found: Option<Option<Vec<u8>>> = tx
        .conn
        .prepare_cached(&format!("SELECT payload FROM entry_{home} WHERE id = ?1"))?
        .query_row([entry_id(run, seq.0)], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(Payload::from_stored))
}

/// Whether an entry shows that the run got on since its last crash.
pub(super) fn is_progress(entry: &Entry) -> bool {
    entry.kind.is_delivered() || entry.kind == EntryKind::AttemptFailed
}

/// How many entries, as tables count.
pub(super) fn len(entries: &[Entry]) -> i64 {
    i64::try_from(entries.len()).expect("a count of entries fits 64 bits")
}

/// Roughly the room they take.
pub(super) fn bytes(entries: &[Entry]) -> usize {
    entries
        .iter()
        .map(|entry| payload_bytes(entry) + entry.key.name.len() + entry.key.scope.as_str().len())
        .sum()
}

fn payload_bytes(entry: &Entry) -> usize {
    entry.payload.as_ref().map_or(0, |payload| payload.as_bytes().len())
}
