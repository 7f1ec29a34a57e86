//! Dropping what retention no longer keeps.
//!
//! A period is dropped whole once everything in it was accepted before the limit. What outlived it (open runs, dead
//! letters, runs that ended late, events that a later run replays) first moves to the kept period, a bounded piece at a
//! time. The kept period is small, and cleaned row by row.

use bowline_model::{RunId, RunState};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    chain,
    fault::Fault,
    mailbox,
    period::{self, KEPT, Period},
    queue::Write,
    rate,
    row::{RUN_COLUMNS, entry_ids, nanos},
    state,
    transaction::Tx,
};

/// Rows that one piece of work touches.
const PIECE_MAX: i64 = 1000;

/// [`Store::tidy`](crate::Store::tidy): one piece.
pub(super) struct Tidy {
    pub(super) before: Timestamp,
    pub(super) now: Timestamp,
    pub(super) period: std::time::Duration,
}

impl Write for Tidy {
    type Out = bool;

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        let is_more_dedupe = forget_events(tx, self.now)?;
        let is_more_state = state::tidy(tx.conn, self.now)?;
        let is_more_rates = is_full_piece(rate::forget_idle(tx, self.now, PIECE_MAX)?);
        self.end_period_if_over(tx)?;
        let is_more_kept = clean_kept(tx, self.before)?;
        let is_more_past = match tx.periods.oldest_over() {
            Some((over, next)) if over.accepted_at < self.before => self.drop_piece(tx, &over, &next)?,
            Some(_) | None => false,
        };
        Ok(is_more_dedupe || is_more_state || is_more_rates || is_more_kept || is_more_past)
    }

    fn payload_bytes(&self) -> usize {
        0
    }
}

impl Tidy {
    /// A quiet store accepts nothing that would end its period: time does.
    fn end_period_if_over(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let current = tx.periods.current();
        let is_empty = current.event_first > tx.ledger.event_last && current.run_first > tx.ledger.run_last;
        let is_old = self.now.duration_since(current.opened_at).unsigned_abs() >= self.period;
        if !is_empty && (is_old || tx.ledger.accepted_at < self.before) {
            period::begin_next(tx, self.now)?;
        }
        Ok(())
    }

    /// Moves what must stay, or, when nothing is left to move, drops the period. Returns whether to come again.
    fn drop_piece(&self, tx: &mut Tx<'_>, over: &Period, next: &Period) -> Result<bool, Fault> {
        if keep_open_runs(tx, over, next)? || keep_late_ended(tx, over, self.before)? {
            return Ok(true);
        }
        if keep_replayed_events(tx, over, next)? || keep_batched_events(tx, over, next)? {
            return Ok(true);
        }
        drop_period(tx, over, next)?;
        Ok(tx.periods.oldest_over().is_some_and(|(over, _)| over.accepted_at < self.before))
    }
}

/// Removes dedupe keys past their time.
fn forget_events(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let removed = tx
        .conn
        .prepare_cached(
            "DELETE FROM dedupe WHERE (source, key) IN \
             (SELECT source, key FROM dedupe INDEXED BY dedupe_until WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute((nanos(now), PIECE_MAX))?;
    Ok(is_full_piece(removed))
}

fn is_full_piece(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows >= PIECE_MAX)
}

/// Open runs and dead letters of a period that goes: their journals and events move.
fn keep_open_runs(tx: &mut Tx<'_>, over: &Period, next: &Period) -> Result<bool, Fault> {
    let from = over.run_first.max(tx.periods.swept_to);
    let open = ids(
        tx.conn,
        "SELECT id FROM run WHERE id >= ?1 AND id < ?2 AND home = ?3 ORDER BY id LIMIT ?4",
        (from, next.run_first, over.no, PIECE_MAX),
    )?;
    if let Some(last) = open.last() {
        tx.periods.swept_to = last.0 + 1;
    }
    for run in &open {
        keep_journal(tx.conn, *run, over.no)?;
        keep_event_of(tx.conn, "run", *run, over.no)?;
        tx.conn.prepare_cached("UPDATE run SET home = ?2 WHERE id = ?1")?.execute((run.0, KEPT))?;
    }
    Ok(!open.is_empty())
}

/// Runs of a period that goes which ended too late to go with it.
fn keep_late_ended(tx: &mut Tx<'_>, over: &Period, before: Timestamp) -> Result<bool, Fault> {
    let past = format!("past_{}", over.no);
    let late = ids(
        tx.conn,
        &format!("SELECT id FROM {past} WHERE changed_at >= ?1 LIMIT ?2"),
        (nanos(before), PIECE_MAX),
    )?;
    for run in &late {
        keep_journal(tx.conn, *run, over.no)?;
        keep_event_of(tx.conn, &past, *run, over.no)?;
        tx.conn.execute(
            &format!("INSERT INTO past_{KEPT} SELECT {RUN_COLUMNS} FROM {past} WHERE id = ?1"),
            [run.0],
        )?;
        tx.conn.execute(&format!("DELETE FROM {past} WHERE id = ?1"), [run.0])?;
    }
    Ok(!late.is_empty())
}

/// Events of a period that goes which a later run still needs.
fn keep_replayed_events(tx: &mut Tx<'_>, over: &Period, next: &Period) -> Result<bool, Fault> {
    let events: Vec<i64> = tx
        .conn
        .prepare_cached(&format!(
            "SELECT DISTINCT late.event FROM late JOIN event_{} AS event ON event.id = late.event \
             WHERE late.event >= ?1 AND late.event < ?2 AND late.run >= ?3 LIMIT ?4",
            over.no
        ))?
        .query_map((over.event_first, next.event_first, next.run_first, PIECE_MAX), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for event in &events {
        keep_event(tx.conn, *event, over.no)?;
    }
    Ok(!events.is_empty())
}

/// Events of a period that goes which are in the batch of a run that stays.
fn keep_batched_events(tx: &mut Tx<'_>, over: &Period, next: &Period) -> Result<bool, Fault> {
    let events: Vec<i64> = tx
        .conn
        .prepare_cached(&format!(
            "SELECT DISTINCT batch.event FROM batch INDEXED BY batch_event \
             JOIN event_{} AS event ON event.id = batch.event WHERE batch.event >= ?1 AND batch.event < ?2 \
             AND (batch.run >= ?3 OR EXISTS (SELECT 1 FROM run WHERE run.id = batch.run) \
             OR EXISTS (SELECT 1 FROM past_{KEPT} AS past WHERE past.id = batch.run)) LIMIT ?4",
            over.no
        ))?
        .query_map((over.event_first, next.event_first, next.run_first, PIECE_MAX), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for event in &events {
        keep_event(tx.conn, *event, over.no)?;
    }
    Ok(!events.is_empty())
}

/// Forgets the batches of runs of a period that is gone, but for those that it outlived.
fn forget_batches(conn: &Connection, over: &Period, next: &Period) -> rusqlite::Result<()> {
    conn.execute(
        &format!(
            "DELETE FROM batch WHERE run >= ?1 AND run < ?2 AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = batch.run) \
             AND NOT EXISTS (SELECT 1 FROM past_{KEPT} AS past WHERE past.id = batch.run)"
        ),
        (over.run_first, next.run_first),
    )?;
    Ok(())
}

fn drop_period(tx: &mut Tx<'_>, over: &Period, next: &Period) -> Result<(), Fault> {
    let no = over.no;
    for state in [RunState::Completed, RunState::Cancelled] {
        let gone: i64 = tx.conn.query_row(
            &format!("SELECT count(*) FROM past_{no} WHERE state = ?1"),
            [state.code()],
            |row| row.get(0),
        )?;
        tx.ledger.count(state, -gone);
    }
    let replays: Vec<(i64, i64)> = tx
        .conn
        .prepare_cached("SELECT event, run FROM late WHERE run >= ?1 AND run < ?2")?
        .query_map((over.run_first, next.run_first), |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    tx.conn.execute_batch(&format!("DROP TABLE past_{no}; DROP TABLE entry_{no}; DROP TABLE event_{no};"))?;
    tx.conn.execute("DELETE FROM period WHERE no = ?1", [no])?;
    tx.periods.remove(no);
    forget_batches(tx.conn, over, next)?;
    chain::forget_period(tx.conn, over, next)?;
    mailbox::forget_period(tx.conn, over, next)?;
    for (event, run) in replays {
        if !is_there(tx.conn, run)? {
            tx.conn.execute("DELETE FROM late WHERE event = ?1 AND run = ?2", (event, run))?;
            release_event(tx.conn, event)?;
        }
    }
    Ok(())
}

/// Removes ended runs from the kept period, row by row.
fn clean_kept(tx: &mut Tx<'_>, before: Timestamp) -> Result<bool, Fault> {
    let ended = ids(
        tx.conn,
        &format!("SELECT id FROM past_{KEPT} WHERE changed_at < ?1 LIMIT ?2"),
        (nanos(before), PIECE_MAX),
    )?;
    for run in &ended {
        let (event, state): (i64, i64) = tx
            .conn
            .prepare_cached(&format!("DELETE FROM past_{KEPT} WHERE id = ?1 RETURNING event, state"))?
            .query_row([run.0], |row| row.try_into())?;
        let (first, last) = entry_ids(*run);
        tx.conn
            .prepare_cached(&format!("DELETE FROM entry_{KEPT} WHERE id BETWEEN ?1 AND ?2"))?
            .execute((first, last))?;
        tx.conn.prepare_cached("DELETE FROM late WHERE event = ?1 AND run = ?2")?.execute((event, run.0))?;
        release_event(tx.conn, event)?;
        release_batch(tx.conn, *run)?;
        chain::forget(tx.conn, *run)?;
        mailbox::forget(tx.conn, *run)?;
        if let Some(state) = RunState::from_code(state) {
            tx.ledger.count(state, -1);
        }
    }
    Ok(is_full_piece(ended.len()))
}

/// Forgets a batch whose run is gone, with those of its events that no other run needs.
fn release_batch(conn: &Connection, run: RunId) -> rusqlite::Result<()> {
    let events: Vec<i64> = conn
        .prepare_cached("DELETE FROM batch WHERE run = ?1 RETURNING event")?
        .query_map([run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    events.into_iter().try_for_each(|event| release_event(conn, event))
}

/// Removes a kept event that no run needs any more.
fn release_event(conn: &Connection, event: i64) -> rusqlite::Result<()> {
    let runs: Option<(i64, i64)> = conn
        .prepare_cached(&format!("SELECT run_first, run_count FROM event_{KEPT} WHERE id = ?1"))?
        .query_row([event], |row| row.try_into())
        .optional()?;
    let Some((first, count)) = runs else { return Ok(()) };
    for run in first..first + count {
        if is_there(conn, run)? {
            return Ok(());
        }
    }
    if conn.prepare_cached("SELECT 1 FROM late WHERE event = ?1")?.exists([event])? {
        return Ok(());
    }
    if conn.prepare_cached("SELECT 1 FROM batch INDEXED BY batch_event WHERE event = ?1")?.exists([event])? {
        return Ok(());
    }
    conn.prepare_cached(&format!("DELETE FROM event_{KEPT} WHERE id = ?1"))?.execute([event])?;
    Ok(())
}

fn is_there(conn: &Connection, run: i64) -> rusqlite::Result<bool> {
    let is_open = conn.prepare_cached("SELECT 1 FROM run WHERE id = ?1")?.exists([run])?;
    Ok(is_open || period::holding_past(conn, run)?.is_some())
}

fn keep_journal(conn: &Connection, run: RunId, no: i64) -> rusqlite::Result<()> {
    let (first, last) = entry_ids(run);
    conn.execute(
        &format!("INSERT INTO entry_{KEPT} SELECT * FROM entry_{no} WHERE id BETWEEN ?1 AND ?2"),
        (first, last),
    )?;
    conn.execute(&format!("DELETE FROM entry_{no} WHERE id BETWEEN ?1 AND ?2"), (first, last))?;
    Ok(())
}

fn keep_event_of(conn: &Connection, table: &str, run: RunId, no: i64) -> rusqlite::Result<()> {
    let event =
        conn.query_row(&format!("SELECT event FROM {table} WHERE id = ?1"), [run.0], |row| row.get(0))?;
    keep_event(conn, event, no)
}

/// An event that is not in that period is in another that stays, or kept already.
fn keep_event(conn: &Connection, event: i64, no: i64) -> rusqlite::Result<()> {
    conn.execute(&format!("INSERT INTO event_{KEPT} SELECT * FROM event_{no} WHERE id = ?1"), [event])?;
    conn.execute(&format!("DELETE FROM event_{no} WHERE id = ?1"), [event])?;
    Ok(())
}

fn ids(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<RunId>> {
    conn.prepare_cached(sql)?.query_map(params, |row| row.get(0).map(RunId))?.collect()
}
