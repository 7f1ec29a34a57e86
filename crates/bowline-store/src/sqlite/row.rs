//! Between rows and the model's types.

use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Epoch, Event, EventId, Family, KeySeed,
    NodeId, Payload, Position, Run, RunId, RunState, ScopePath, Seq, WorkflowName, entry::ENTRY_FORMAT,
};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::{
    fault::{Fault, unreadable},
    names::Names,
};

/// The columns of a run, in the order in which [`run`] reads them and tables of ended runs keep them.
pub(super) const RUN_COLUMNS: &str = "id, event, workflow, key, priority, parent, replay_of, build, key_seed, \
     created_at, state, due, owner, epoch, crashes, crashes_alone, journal_len, claimed_at, \
     unsure_since, changed_at, dead_reason, summary";

/// The columns of an event, in the order in which [`event`] reads them.
pub(super) const EVENT_COLUMNS: &str =
    "id, source, provider, kind, dedupe_key, received_at, input_pointer, headers, body";

/// The columns of an entry, in the order in which [`entry`] reads them.
pub(super) const ENTRY_COLUMNS: &str =
    "id, kind, format, family, scope, name, nth, key, build, at, meta, payload";

/// A journal's place in a table of entries: this many bits of an entry's id are its sequence.
const SEQ_BITS: u32 = 24;

/// Longest journal of one run.
pub(super) const JOURNAL_LEN_MAX: i64 = (1 << SEQ_BITS) - 1;

/// Largest body or result. SQLite itself ends at 1 GB per row.
pub(super) const BLOB_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The id of a run's entry.
pub(super) fn entry_id(run: RunId, seq: i64) -> i64 {
    (run.0 << SEQ_BITS) | seq
}

/// The ids of all of a run's entries, both ends included.
pub(super) fn entry_ids(run: RunId) -> (i64, i64) {
    (entry_id(run, 0), entry_id(run, JOURNAL_LEN_MAX))
}

/// Nanoseconds since 1970. Exact from 1677 to 2262; times beyond become those ends, which are as good as never.
pub(super) fn nanos(time: Timestamp) -> i64 {
    let exact = time.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The time of that many nanoseconds.
pub(super) fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos))
        .expect("64 bits of nanoseconds are within a timestamp's range")
}

/// Reads a run from [`RUN_COLUMNS`].
pub(super) fn run(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<Run, Fault> {
    let state: i64 = row.get(10)?;
    let dead: Option<i64> = row.get(20)?;
    Ok(Run {
        id: RunId(row.get(0)?),
        event: EventId(row.get(1)?),
        workflow: WorkflowName::new(names.text(conn, row.get(2)?)?),
        key: row.get(3)?,
        priority: row.get(4)?,
        parent: row.get::<_, Option<i64>>(5)?.map(RunId),
        replay_of: row.get::<_, Option<i64>>(6)?.map(RunId),
        build: BuildId::new(names.text(conn, row.get(7)?)?),
        key_seed: KeySeed(u128::from_be_bytes(row.get(8)?)),
        created_at: time(row.get(9)?),
        state: RunState::from_code(state).ok_or_else(|| unreadable(format!("a run in state {state}")))?,
        due: row.get::<_, Option<i64>>(11)?.map(time),
        owner: row.get::<_, Option<i64>>(12)?.map(NodeId),
        epoch: Epoch(row.get(13)?),
        crashes: row.get(14)?,
        crashes_alone: row.get(15)?,
        journal_len: row.get(16)?,
        claimed_at: row.get::<_, Option<i64>>(17)?.map(time),
        unsure_since: row.get::<_, Option<i64>>(18)?.map(time),
        changed_at: time(row.get(19)?),
        dead_reason: dead.map(dead_reason).transpose()?,
        summary: row.get(21)?,
    })
}

fn dead_reason(code: i64) -> Result<DeadReason, Fault> {
    DeadReason::from_code(code).ok_or_else(|| unreadable(format!("a dead letter with reason {code}")))
}

/// Reads an event from [`EVENT_COLUMNS`].
pub(super) fn event(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<Event, Fault> {
    let headers = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
    let body = row.get_ref(8)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(Event {
        id: EventId(row.get(0)?),
        source: names.text(conn, row.get(1)?)?.as_ref().to_owned(),
        provider: row.get(2)?,
        kind: row.get(3)?,
        dedupe_key: row.get(4)?,
        received_at: time(row.get(5)?),
        input_pointer: row.get(6)?,
        headers: serde_json::from_str(headers)
            .map_err(|e| unreadable(format!("an event's headers ({e})")))?,
        body: Bytes::copy_from_slice(body),
    })
}

/// Reads an entry from [`ENTRY_COLUMNS`].
pub(super) fn entry(conn: &Connection, names: &mut Names, row: &Row<'_>) -> Result<Entry, Fault> {
    let (id, kind, format, family): (i64, u8, u8, u8) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    if format > ENTRY_FORMAT {
        return Err(unreadable(format!("a journal entry of format {format}")));
    }
    let nth: Option<u32> = row.get(6)?;
    let key: Option<String> = row.get(7)?;
    let payload = row.get_ref(11)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Entry {
        seq: Seq(id & JOURNAL_LEN_MAX),
        kind: EntryKind::from_code(kind)
            .ok_or_else(|| unreadable(format!("a journal entry of kind {kind}")))?,
        key: EntryKey {
            family: Family::from_code(family)
                .ok_or_else(|| unreadable(format!("a journal entry of family {family}")))?,
            scope: ScopePath::from_stored(row.get::<_, String>(4)?),
            name: row.get(5)?,
            position: match key {
                Some(key) => Position::Key(key),
                None => Position::Nth(nth.unwrap_or_default()),
            },
        },
        at: time(row.get(9)?),
        build: BuildId::new(names.text(conn, row.get(8)?)?),
        meta: meta(row, 10)?,
        payload: payload.map(|bytes| Payload::from_stored(Bytes::copy_from_slice(bytes))),
    })
}

/// Reads what is known of an entry, from that column.
pub(super) fn meta(row: &Row<'_>, column: usize) -> Result<EntryMeta, Fault> {
    match row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        Some(json) => {
            serde_json::from_str(json).map_err(|e| unreadable(format!("a journal entry's notes ({e})")))
        }
        None => Ok(EntryMeta::default()),
    }
}
