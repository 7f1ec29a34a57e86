//! Chains of runs that went on as others: who knows one of them finds the latest.
//!
//! What comes in: a run that goes on in another one's place. What goes out: the latest run of its chain, in two looks
//! however long the chain is. What must never happen here: a table that grows with runs that are gone.

use bowline_model::RunId;
use rusqlite::{Connection, OptionalExtension};

use super::period::{KEPT, Period};

/// The first run of a chain.
const FIRST: &str = "SELECT first FROM bowline_went_on WHERE run = ?1";

/// The latest run of a chain.
const LATEST: &str = "SELECT latest FROM bowline_chain WHERE first = ?1";

fn first(conn: &Connection, run: RunId) -> rusqlite::Result<RunId> {
    let found = conn.prepare_cached(FIRST)?.query_row([run.0], |row| row.get(0)).optional()?;
    Ok(RunId(found.unwrap_or(run.0)))
}

/// A run goes on as `next`.
pub(super) fn go_on(conn: &Connection, run: RunId, next: RunId) -> rusqlite::Result<()> {
    let first = first(conn, run)?;
    conn.prepare_cached("INSERT INTO bowline_went_on (run, first) VALUES (?1, ?2)")?
        .execute((next.0, first.0))?;
    conn.prepare_cached(
        "INSERT INTO bowline_chain (first, latest) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET latest = excluded.latest",
    )?
    .execute((first.0, next.0))?;
    Ok(())
}

/// The latest of the runs that went on in that one's place; `None` if it did not go on.
pub(super) fn latest(conn: &Connection, run: RunId) -> rusqlite::Result<Option<RunId>> {
    let first = first(conn, run)?;
    let latest = conn.prepare_cached(LATEST)?.query_row([first.0], |row| row.get(0).map(RunId)).optional()?;
    Ok(latest.filter(|latest| *latest != run))
}

/// The runs of a period are gone, but for those that it outlived.
pub(super) fn forget_period(conn: &Connection, over: &Period, next: &Period) -> rusqlite::Result<()> {
    for (table, column) in [("bowline_went_on", "run"), ("bowline_chain", "latest")] {
        conn.execute(
            &format!(
                "DELETE FROM {table} WHERE {column} >= ?1 AND {column} < ?2 \
                 AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = {table}.{column}) \
                 AND NOT EXISTS (SELECT 1 FROM past_{KEPT} AS past WHERE past.id = {table}.{column})"
            ),
            (over.run_first, next.run_first),
        )?;
    }
    Ok(())
}

/// A run is gone.
pub(super) fn forget(conn: &Connection, run: RunId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM bowline_went_on WHERE run = ?1")?.execute([run.0])?;
    conn.prepare_cached("DELETE FROM bowline_chain WHERE latest = ?1")?.execute([run.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{options::SqliteOptions, schema};

    #[test]
    fn finds_the_latest_in_two_looks() {
        let conn = schema::open_writer(None, &SqliteOptions::default(), &bowline_model::SystemClock).unwrap();
        for number in 1..100 {
            go_on(&conn, RunId(number), RunId(number + 1)).unwrap();
        }
        for number in 1..100 {
            assert_eq!(latest(&conn, RunId(number)).unwrap(), Some(RunId(100)));
        }
        assert_eq!(latest(&conn, RunId(100)).unwrap(), None);
        assert_eq!(latest(&conn, RunId(101)).unwrap(), None);
        let plans = [
            (FIRST, "SEARCH bowline_went_on USING INTEGER PRIMARY KEY (rowid=?)"),
            (LATEST, "SEARCH bowline_chain USING INTEGER PRIMARY KEY (rowid=?)"),
        ];
        for (sql, plan) in plans {
            assert_eq!(schema::plan(&conn, sql), [plan], "{sql}");
        }
    }
}
