//! Runs that share a key go one at a time, or a few, the older first.
//!
//! What comes in: a keyed run that is queued, or that is open no more. What goes out: as many runs of each key let go as
//! their rules allow; those behind them are queued with `ready` NULL. What must never happen here: a key whose runs all
//! wait for each other, or a look at all that wait.
//!
//! Each run brings its own rule: it may go when fewer than `together_max` are let go and, if dead letters block it, none
//! is older. Only the oldest that is held back is ever asked.

use bowline_model::{Line, OnDead, RunId};
use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::{child::DEPTH_MAX, rate, transaction::Tx};

/// Runs of that key that are let go, so many at most. Codes of states: 0 queued, 1 running, 2 waiting, 5 dead letter.
const COUNT_FRONT: &str = "SELECT count(*) FROM (SELECT 1 FROM run INDEXED BY run_front WHERE key = ?1 AND \
     (state = 1 OR state = 2 OR (state = 0 AND ready IS NOT NULL)) LIMIT ?2)";

/// The oldest run of that key that is held back, and its rule.
const NEXT: &str = "SELECT id, together_max, dead_blocks FROM run INDEXED BY run_held \
     WHERE key = ?1 AND state = 0 AND ready IS NULL ORDER BY id LIMIT 1";

/// Whether an older run of that key is a dead letter.
const IS_DEAD_BEFORE: &str =
    "SELECT 1 FROM run INDEXED BY run_dead WHERE key = ?1 AND state = 5 AND id < ?2 LIMIT 1";

/// Who waits for the end of a run, and whether that one is of that key and let go.
const WAITS_FOR: &str = "SELECT child.parent, coalesce(parent.key = ?2, 0) AND (parent.state = 1 OR parent.state = 2 OR \
     (parent.state = 0 AND parent.ready IS NOT NULL)) FROM child INDEXED BY child_told \
     JOIN run AS parent ON parent.id = child.parent WHERE child.run = ?1 AND child.mailbox IS NOT NULL LIMIT 1";

/// Whether a run is held back.
const IS_HELD: &str = "SELECT 1 FROM run WHERE id = ?1 AND state = 0 AND ready IS NULL";

/// Runs of that key that are let go, have not begun, and came later; not those that runs start, for they may go beside
/// others.
const UNBEGUN_AFTER: &str = "SELECT id FROM run INDEXED BY run_front WHERE key = ?1 AND \
     (state = 1 OR state = 2 OR (state = 0 AND ready IS NOT NULL)) AND state = 0 AND epoch = 0 AND parent IS NULL AND id > ?2";

/// Whether a dead letter blocks, as the table has it.
pub(super) fn dead_blocks(line: Line) -> bool {
    match line.on_dead {
        OnDead::Block => true,
        OnDead::Continue => false,
    }
}

/// Whether a run that comes now is held back.
pub(super) fn is_held(tx: &Tx<'_>, key: Option<&str>, run: i64, line: Line) -> rusqlite::Result<bool> {
    let Some(key) = key else { return Ok(false) };
    Ok(next(tx, key)?.is_some() || !may_go(tx, key, run, line.together_max, dead_blocks(line))?)
}

/// Whether a run starts another one of its own key. That one goes beside it: a parent that waits for its child would hold
/// it back for ever.
pub(super) fn is_of_parent(tx: &Tx<'_>, key: Option<&str>, parent: Option<RunId>) -> rusqlite::Result<bool> {
    match (key, parent) {
        (Some(key), Some(parent)) => tx
            .conn
            .prepare_cached("SELECT 1 FROM run WHERE id = ?1 AND key = ?2 AND state = 1")?
            .exists((parent.0, key)),
        (_, _) => Ok(false),
    }
}

/// Whether a run of the same key that is let go waits for this one, for one that waits for it, and so on: behind it this
/// one would wait for ever.
pub(super) fn is_waited_for(tx: &Tx<'_>, key: Option<&str>, run: RunId) -> rusqlite::Result<bool> {
    let Some(key) = key else { return Ok(false) };
    let mut waited_for = run;
    for _ in 0..DEPTH_MAX {
        let mut waits = tx.conn.prepare_cached(WAITS_FOR)?;
        let found: Option<(i64, bool)> =
            waits.query_row((waited_for.0, key), |row| row.try_into()).optional()?;
        match found {
            None => return Ok(false),
            Some((_, true)) => return Ok(true),
            Some((parent, false)) => waited_for = RunId(parent),
        }
    }
    Ok(false)
}

/// A run goes beside those of its key that wait for it: nobody who comes between them could make them end.
pub(super) fn go_beside(tx: &Tx<'_>, key: Option<&str>, run: RunId, now: Timestamp) -> rusqlite::Result<()> {
    if key.is_some() && tx.conn.prepare_cached(IS_HELD)?.exists([run.0])? && is_waited_for(tx, key, run)? {
        rate::let_go(tx, run.0, now)?;
    }
    Ok(())
}

/// A run that was queued again waits for its turn, which may be now: whoever came later and has not begun (it gathers, or
/// waits for its pace) steps back.
pub(super) fn wait_in_line(tx: &Tx<'_>, key: Option<&str>, run: i64, now: Timestamp) -> rusqlite::Result<()> {
    if let Some(key) = key {
        tx.conn.prepare_cached("UPDATE run SET ready = NULL WHERE id = ?1")?.execute([run])?;
        tx.conn
            .prepare_cached(&format!("UPDATE run SET ready = NULL WHERE id IN ({UNBEGUN_AFTER})"))?
            .execute((key, run))?;
    }
    pass_on(tx, key, now)
}

/// A run of that key is open no more, or queued again: lets go whoever may.
pub(super) fn pass_on(tx: &Tx<'_>, key: Option<&str>, now: Timestamp) -> rusqlite::Result<()> {
    let Some(key) = key else { return Ok(()) };
    while let Some((run, together_max, dead_blocks)) = next(tx, key)? {
        if !may_go(tx, key, run, together_max, dead_blocks)? {
            return Ok(());
        }
        rate::let_go(tx, run, now)?;
    }
    Ok(())
}

fn next(tx: &Tx<'_>, key: &str) -> rusqlite::Result<Option<(i64, u32, bool)>> {
    tx.conn.prepare_cached(NEXT)?.query_row([key], |row| row.try_into()).optional()
}

fn may_go(tx: &Tx<'_>, key: &str, run: i64, together_max: u32, dead_blocks: bool) -> rusqlite::Result<bool> {
    let front: u32 = tx.conn.prepare_cached(COUNT_FRONT)?.query_row((key, together_max), |row| row.get(0))?;
    if front >= together_max {
        return Ok(false);
    }
    Ok(!dead_blocks || !tx.conn.prepare_cached(IS_DEAD_BEFORE)?.exists((key, run))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    /// Each query is one search in an index that holds nothing else: its time does not grow with what waits.
    #[test]
    fn finds_who_is_next_without_looking_at_who_waits() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        let plans = [
            (COUNT_FRONT, "SEARCH run USING INDEX run_front (key=?)"),
            (NEXT, "SEARCH run USING INDEX run_held (key=?)"),
            (UNBEGUN_AFTER, "SEARCH run USING INDEX run_front (key=? AND rowid>?)"),
            (WAITS_FOR, "SEARCH child USING INDEX child_told (run=?)"),
            (IS_HELD, "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)"),
            (IS_DEAD_BEFORE, "SEARCH run USING COVERING INDEX run_dead (key=? AND id<?)"),
        ];
        for (sql, plan) in plans {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            for parameter in 1..=explain.parameter_count() {
                explain.raw_bind_parameter(parameter, 1).unwrap();
            }
            let mut steps = explain.raw_query();
            let mut found = vec![];
            while let Some(step) = steps.next().unwrap() {
                found.push(step.get::<_, String>(3).unwrap());
            }
            assert!(found.iter().any(|step| step == plan), "{sql}: {found:?}");
            assert!(!found.iter().any(|step| step.contains("TEMP B-TREE")), "nothing is sorted: {found:?}");
        }
    }
}
