//! Runs that meet other events before they begin: debounced ones are replaced, batches are joined; and those of which
//! only one may be open.
//!
//! What comes in: a new event's runs. What goes out, in the transaction that accepts the event: a run that was replaced,
//! cancelled, with a word on what replaced it; an event in an open batch; a run that is cancelled as it comes because
//! another one is open. What must never happen here: a run that has begun and is replaced, or an event that no run shows.

use bowline_model::{
    BuildId, Entry, EntryKey, EntryKind, EntryMeta, EventId, Gather, NewEvent, NewRun, RunId, RunState, Seq,
    flow::BATCH_BYTES_MAX,
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::{
    also,
    fault::Fault,
    journal, line,
    progress::{Step, standing},
    rate,
    row::{nanos, time},
    transaction::Tx,
};

/// The run that gathers for that key. None that was ever claimed does.
const GATHERING: &str =
    "SELECT id, due, gather_until, gather_left FROM run INDEXED BY run_gather WHERE gather = ?1";

/// An open run of that unique key.
const OPEN_OF_UNIQUE: &str =
    "SELECT id FROM run INDEXED BY run_unique WHERE unique_key = ?1 AND state <= 2 LIMIT 1";

/// Runs that took that event into a batch.
const TAKEN_BY: &str = "SELECT run FROM batch INDEXED BY batch_event WHERE event = ?1";

/// A run that gathers.
struct Gathering {
    run: i64,
    due: Option<i64>,
    until: Option<i64>,
    /// How many more events it takes, if it is a batch.
    left: Option<i64>,
}

/// How a new run begins to gather, as its row has it.
#[derive(Default)]
pub(super) struct Begun {
    pub(super) due: Option<Timestamp>,
    pub(super) gather: Option<String>,
    pub(super) until: Option<i64>,
    pub(super) left: Option<i64>,
    pub(super) bytes: Option<i64>,
}

fn gathering(tx: &Tx<'_>, key: &str) -> rusqlite::Result<Option<Gathering>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Gathering { run: row.get(0)?, due: row.get(1)?, until: row.get(2)?, left: row.get(3)? })
    };
    tx.conn.prepare_cached(GATHERING)?.query_row([key], read).optional()
}

/// The open batches that take the event instead of new runs, in the order of its runs.
pub(super) fn open_batches(tx: &Tx<'_>, event: &NewEvent) -> rusqlite::Result<Vec<Option<RunId>>> {
    event.runs.iter().map(|run| open_batch(tx, run)).collect()
}

fn open_batch(tx: &Tx<'_>, run: &NewRun) -> rusqlite::Result<Option<RunId>> {
    match &run.flow.gather {
        Some(Gather::Batch { key, .. }) => {
            let found = gathering(tx, key)?.filter(|found| found.left.is_some_and(|left| left > 0));
            Ok(found.map(|found| RunId(found.run)))
        }
        Some(Gather::Debounce { .. }) | None => Ok(None),
    }
}

/// An event joins a batch, which goes if that fills it. The batch waits no longer than if it had begun with it: the clock
/// may have been set back since.
pub(super) fn join(
    tx: &Tx<'_>,
    batch: RunId,
    event: EventId,
    run: &NewRun,
    bytes: usize,
    now: Timestamp,
) -> rusqlite::Result<()> {
    note_taken(tx, batch, event)?;
    let due = match &run.flow.gather {
        Some(Gather::Batch { wait, .. }) => after(now, *wait).max(run.due.unwrap_or(now)),
        Some(Gather::Debounce { .. }) | None => now,
    };
    let (left, bytes, is_timed): (i64, i64, bool) = tx
        .conn
        .prepare_cached(
            "UPDATE run SET gather_left = gather_left - 1, gather_bytes = gather_bytes + ?2, due = min(due, ?3) \
             WHERE id = ?1 RETURNING gather_left, gather_bytes, ready IS 0",
        )?
        .query_row((batch.0, i64::try_from(bytes).unwrap_or(i64::MAX / 2), nanos(due)), |row| row.try_into())?;
    if left > 0 && bytes < max_bytes() {
        return Ok(());
    }
    tx.conn.prepare_cached("UPDATE run SET gather = NULL, due = NULL WHERE id = ?1")?.execute([batch.0])?;
    // One that is held back goes when its turn comes.
    if is_timed { rate::let_go(tx, batch.0, now) } else { Ok(()) }
}

fn max_bytes() -> i64 {
    i64::try_from(BATCH_BYTES_MAX).expect("a limit fits 64 bits")
}

/// An event is in a batch.
pub(super) fn note_taken(tx: &Tx<'_>, run: RunId, event: EventId) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("INSERT INTO batch (run, event) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((run.0, event.0))?;
    Ok(())
}

/// A replay of a batch is of all its events.
pub(super) fn take_again(tx: &Tx<'_>, run: RunId, replay_of: Option<RunId>) -> rusqlite::Result<()> {
    if let Some(old) = replay_of {
        tx.conn
            .prepare_cached("INSERT INTO batch (run, event) SELECT ?1, event FROM batch WHERE run = ?2")?
            .execute((run.0, old.0))?;
    }
    Ok(())
}

/// The runs whose batches an event is in.
pub(super) fn taken_by(tx: &Tx<'_>, event: i64) -> rusqlite::Result<Vec<RunId>> {
    tx.conn.prepare_cached(TAKEN_BY)?.query_map([event], |row| row.get(0).map(RunId))?.collect()
}

/// A new run begins to gather. One that it replaces is cancelled; returns that too.
pub(super) fn begin(
    tx: &mut Tx<'_>,
    event: EventId,
    run: &NewRun,
    bytes: usize,
    now: Timestamp,
) -> Result<(Begun, Option<RunId>), Fault> {
    match &run.flow.gather {
        None => Ok((Begun { due: run.due, ..Begun::default() }, None)),
        Some(Gather::Batch { key, events_max, wait }) => {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let left = i64::from(*events_max) - 1;
            if left <= 0 || bytes >= max_bytes() {
                return Ok((Begun { due: run.due, ..Begun::default() }, None));
            }
            // A full batch was let go of already; what is left under this key has no room.
            stop_gathering(tx, key)?;
            let due = Some(after(now, *wait).max(run.due.unwrap_or(now)));
            let gather = Some(key.clone());
            Ok((Begun { due, gather, until: None, left: Some(left), bytes: Some(bytes) }, None))
        }
        Some(Gather::Debounce { key, quiet, at_most }) => {
            let old = gathering(tx, key)?;
            let is_quiet = |old: &Gathering| old.due.is_some_and(|due| due > nanos(now));
            let (until, replaced) = match old {
                Some(old) if is_quiet(&old) => {
                    let note = format!("debounced: event {event} came");
                    cancel(tx, RunId(old.run), &note, &run.build, now)?;
                    (old.until, Some(RunId(old.run)))
                }
                // Its quiet time is over: it goes, whatever comes now.
                Some(_) | None => (at_most.map(|at_most| nanos(after(now, at_most))), None),
            };
            stop_gathering(tx, key)?;
            let due = after(now, *quiet);
            let due = until.map_or(due, |until| due.min(time(until))).max(run.due.unwrap_or(now));
            let gather = Some(key.clone());
            Ok((Begun { due: Some(due), gather, until, left: None, bytes: None }, replaced))
        }
    }
}

fn after(now: Timestamp, wait: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

fn stop_gathering(tx: &Tx<'_>, key: &str) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE run SET gather = NULL WHERE gather = ?1")?.execute([key])?;
    Ok(())
}

/// The open run that keeps others of that unique key from running.
pub(super) fn open_of_unique(tx: &Tx<'_>, unique: Option<&str>) -> rusqlite::Result<Option<RunId>> {
    let Some(unique) = unique else { return Ok(None) };
    tx.conn.prepare_cached(OPEN_OF_UNIQUE)?.query_row([unique], |row| row.get(0).map(RunId)).optional()
}

/// Another open run of the unique key of this one, which is none.
pub(super) fn open_beside(tx: &Tx<'_>, run: RunId) -> rusqlite::Result<Option<RunId>> {
    let unique: Option<Option<String>> = tx
        .conn
        .prepare_cached("SELECT unique_key FROM run WHERE id = ?1")?
        .query_row([run.0], |row| row.get(0))
        .optional()?;
    open_of_unique(tx, unique.flatten().as_deref())
}

/// Cancels a run that has not begun, and says why.
pub(super) fn cancel(
    tx: &mut Tx<'_>,
    run: RunId,
    note: &str,
    build: &BuildId,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(is) = standing(tx, run)? else { return Ok(()) };
    let entry = Entry {
        seq: Seq(is.journal_len + 1),
        kind: EntryKind::Cancelled,
        key: EntryKey::run(),
        at: now,
        build: build.clone(),
        meta: EntryMeta { note: Some(note.to_owned()), ..EntryMeta::default() },
        payload: None,
    };
    let entries = [entry];
    journal::append(tx, run, is.home, &entries)?;
    let step = Step { run, journal_len: is.journal_len + 1, is_progress: false, now };
    step.tell_why(tx, &entries)?;
    step.end(tx, RunState::Cancelled, is.home)?;
    also::ended(tx, run, RunState::Cancelled, is.home, now)?;
    line::pass_on(tx, is.key.as_deref(), now)?;
    tx.moved(is.state, RunState::Cancelled);
    Ok(())
}

/// A run begins: later events find it no more.
pub(super) fn end_with_start(tx: &Tx<'_>, run: i64) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE run SET gather = NULL, rate = NULL WHERE id = ?1")?
        .execute(params![run])?;
    Ok(())
}
