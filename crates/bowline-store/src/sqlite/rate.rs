//! Runs that begin no more often than their rule says.
//!
//! What comes in: a run that could begin, but for its pace. What goes out: a bucket that says when the next one may; a
//! claim takes from it, in the claim's transaction. Only first starts are counted: a run that was begun waits for no
//! bucket. What must never happen here: a look at all that wait, or a bucket that nobody looks at again, as when the clock was set back.

use std::time::Duration;

use bowline_model::Rate;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{row::nanos, transaction::Tx};

/// Where runs begin more often than that, those of so long may go in one claim: a claim takes time, and a quick pace must
/// not suffer. A slower one is kept exactly.
const SLACK: Duration = Duration::from_millis(100);

/// The buckets of a workflow that let one begin.
pub(super) const OPEN_BUCKETS: &str = "SELECT bucket, next_at FROM rate INDEXED BY rate_next \
     WHERE waits = 1 AND workflow = ?1 AND next_at <= ?2 ORDER BY next_at LIMIT ?3";

/// The next runs of a bucket.
pub(super) const NEXT_RUNS: &str = "SELECT priority, id, rate_every FROM run INDEXED BY run_rated \
     WHERE ready = 2 AND rate = ?1 ORDER BY priority DESC, id LIMIT ?2";

/// The next workflow that has a bucket where one waits.
pub(super) const NEXT_WORKFLOW: &str = "SELECT workflow FROM rate INDEXED BY rate_next \
     WHERE waits = 1 AND workflow > ?1 ORDER BY workflow LIMIT 1";

/// Buckets whose last run began after now: the clock was set back since.
pub(super) const AHEAD: &str = "SELECT bucket FROM rate INDEXED BY bowline_rate_begun \
     WHERE waits = 1 AND next_at - every > ?1 LIMIT ?2";

/// Buckets that one claim looks at after the clock was set back.
const AHEAD_MAX: i64 = 10_000;

/// How long between two starts, as tables have it.
pub(super) fn every(rate: &Rate) -> i64 {
    i64::try_from(rate.every.as_nanos()).unwrap_or(i64::MAX).max(1)
}

/// A run may begin, as far as its key goes: now, at its time, or when its bucket lets it.
pub(super) fn let_go(tx: &Tx<'_>, run: i64, now: Timestamp) -> rusqlite::Result<()> {
    let waits: Option<(String, i64, i64)> = tx
        .conn
        .prepare_cached(
            "UPDATE run SET ready = CASE WHEN due > ?2 THEN 0 WHEN rate IS NULL THEN 1 ELSE 2 END WHERE id = ?1 \
             RETURNING iif(ready = 2, rate, NULL), workflow, rate_every",
        )?
        .query_row((run, nanos(now)), |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?))
        })
        .optional()?
        .and_then(|(bucket, workflow, every)| Some((bucket?, workflow, every?)));
    match waits {
        Some((bucket, workflow, every)) => wait(tx, &bucket, workflow, every, now),
        None => Ok(()),
    }
}

/// A run waits for its bucket: never longer than its own rule says.
pub(super) fn wait(
    tx: &Tx<'_>,
    bucket: &str,
    workflow: i64,
    every: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO rate (bucket, workflow, next_at, waits, every) VALUES (?1, ?2, ?3, 1, ?4) \
             ON CONFLICT DO UPDATE SET waits = 1, every = ?4, next_at = min(next_at, ?3 + ?4) \
             WHERE waits = 0 OR next_at > ?3 + ?4",
        )?
        .execute((bucket, workflow, nanos(now), every))?;
    Ok(())
}

/// Where the clock was set back, who waits waits no longer than from now on.
pub(super) fn keep_within(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    if tx.conn.prepare_cached(AHEAD)?.exists((nanos(now), 1))? {
        tx.conn
            .prepare_cached(&format!("UPDATE rate SET next_at = ?1 + every WHERE bucket IN ({AHEAD})"))?
            .execute((nanos(now), AHEAD_MAX))?;
    }
    Ok(())
}

/// Runs of a workflow that their buckets let begin: priority and id, so many at most.
pub(super) fn next_of(
    tx: &Tx<'_>,
    workflow: i64,
    quota: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    if quota == 0 {
        return Ok(vec![]);
    }
    let limit = i64::try_from(quota).unwrap_or(i64::MAX);
    let open: Vec<(String, i64)> = tx
        .conn
        .prepare_cached(OPEN_BUCKETS)?
        .query_map(params![workflow, nanos(now), limit], |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    let mut found = vec![];
    for (bucket, next_at) in open {
        let runs: Vec<(i64, i64, i64)> = tx
            .conn
            .prepare_cached(NEXT_RUNS)?
            .query_map(params![bucket, limit], |row| row.try_into())?
            .collect::<Result<_, _>>()?;
        let Some((.., every)) = runs.first() else {
            stop_waiting(tx, &bucket)?;
            continue;
        };
        let late = nanos(now).saturating_sub(next_at).min(slack(*every));
        let starts = usize::try_from(1 + late / every).unwrap_or(quota);
        found.extend(runs.iter().take(starts).map(|(priority, id, _)| (*priority, *id)));
    }
    Ok(found)
}

/// A run begins: its bucket lets the next one begin later. The run is out of it already.
pub(super) fn begin(tx: &Tx<'_>, bucket: &str, every: i64, now: Timestamp) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("UPDATE rate SET next_at = max(next_at, ?2) + ?3, every = ?3 WHERE bucket = ?1")?
        .execute((bucket, nanos(now).saturating_sub(slack(every)), every))?;
    let more = tx.conn.prepare_cached(NEXT_RUNS)?.exists((bucket, 1))?;
    if more { Ok(()) } else { stop_waiting(tx, bucket) }
}

fn stop_waiting(tx: &Tx<'_>, bucket: &str) -> rusqlite::Result<()> {
    tx.conn.prepare_cached("UPDATE rate SET waits = 0 WHERE bucket = ?1")?.execute([bucket])?;
    Ok(())
}

fn slack(every: i64) -> i64 {
    let slack = i64::try_from(SLACK.as_nanos()).expect("a short time");
    if every < slack { slack } else { 0 }
}

/// Forgets buckets that would let the next one begin at once, so many at most.
pub(super) fn forget_idle(tx: &Tx<'_>, now: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    tx.conn
        .prepare_cached(
            "DELETE FROM rate WHERE bucket IN (SELECT bucket FROM rate INDEXED BY rate_idle \
             WHERE waits = 0 AND next_at <= ?1 ORDER BY next_at LIMIT ?2)",
        )?
        .execute((nanos(now), limit))
}
