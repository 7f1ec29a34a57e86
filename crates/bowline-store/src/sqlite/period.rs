//! Periods of history: which tables hold what.
//!
//! Events and journals are written once, into the tables of the period in which their run was created. A run's row
//! follows when it ends. So the hot table holds open runs only, and history is dropped by dropping tables.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    row::{nanos, time},
    transaction::Tx,
};

/// The period of what outlived its own: kept and removed row by row.
pub(super) const KEPT: i64 = 0;

/// One period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    pub(super) no: i64,
    pub(super) event_first: i64,
    pub(super) run_first: i64,
    pub(super) opened_at: Timestamp,
    /// When the last event or run was accepted in it. Known once it is over.
    pub(super) accepted_at: Timestamp,
}

/// The periods as the writer knows them.
#[derive(Debug, Default)]
pub(super) struct Periods {
    /// Oldest first.
    all: Vec<Period>,
    /// Up to which run tidying has looked for open ones in the oldest period that is over. Forgotten at a restart: then
    /// it looks again.
    pub(super) swept_to: i64,
}

impl Periods {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut query = conn.prepare_cached(
            "SELECT no, event_first, run_first, opened_at, accepted_at FROM period ORDER BY no",
        )?;
        let rows = query.query_map([], |row| {
            Ok(Period {
                no: row.get(0)?,
                event_first: row.get(1)?,
                run_first: row.get(2)?,
                opened_at: time(row.get(3)?),
                accepted_at: time(row.get(4)?),
            })
        })?;
        Ok(Self { all: rows.collect::<Result<_, _>>()?, swept_to: i64::MIN })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// The period that takes what is accepted now.
    pub(super) fn current(&self) -> Period {
        *self.all.last().expect("a store is created with a period")
    }

    /// The oldest period that is over, and the one after it.
    pub(super) fn oldest_over(&self) -> Option<(Period, Period)> {
        match self.all.as_slice() {
            [_kept, oldest, next, ..] => Some((*oldest, *next)),
            [] | [_] | [_, _] => None,
        }
    }

    /// Puts the period that just began on the list, and notes what is known of the one before.
    fn add(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        *self = Self { swept_to: self.swept_to, ..Self::load(conn)? };
        Ok(())
    }

    /// Takes a dropped period off the list.
    pub(super) fn remove(&mut self, no: i64) {
        self.all.retain(|period| period.no != no);
    }
}

/// Creates a period's tables.
pub(super) fn create(conn: &Connection, period: &Period) -> rusqlite::Result<()> {
    conn.execute_batch(&include_str!("period.sql").replace("{no}", &period.no.to_string()))?;
    conn.execute(
        "INSERT INTO period (no, event_first, run_first, opened_at, accepted_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        (period.no, period.event_first, period.run_first, nanos(period.opened_at), nanos(period.accepted_at)),
    )?;
    Ok(())
}

/// Ends the current period and begins the next.
pub(super) fn begin_next(tx: &mut Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let over = tx.periods.current();
    tx.conn.execute(
        "UPDATE period SET accepted_at = ?2 WHERE no = ?1",
        (over.no, nanos(tx.ledger.accepted_at)),
    )?;
    let next = Period {
        no: over.no + 1,
        event_first: tx.ledger.event_last + 1,
        run_first: tx.ledger.run_last + 1,
        opened_at: now,
        accepted_at: now,
    };
    create(tx.conn, &next)?;
    tx.ledger.period_bytes = 0;
    tx.periods.add(tx.conn)?;
    Ok(())
}

/// The periods that may hold an ended run, or its journal, in the order in which to look.
pub(super) fn of_run(conn: &Connection, run: i64) -> rusqlite::Result<[i64; 2]> {
    let no = conn
        .prepare_cached("SELECT no FROM period WHERE run_first <= ?1 ORDER BY no DESC LIMIT 1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok([no.unwrap_or(KEPT), KEPT])
}

/// The periods that may hold an event, in the order in which to look.
pub(super) fn of_event(conn: &Connection, event: i64) -> rusqlite::Result<[i64; 2]> {
    let no = conn
        .prepare_cached("SELECT no FROM period WHERE event_first <= ?1 ORDER BY no DESC LIMIT 1")?
        .query_row([event], |row| row.get(0))
        .optional()?;
    Ok([no.unwrap_or(KEPT), KEPT])
}

/// All periods, newest first, with the lowest id of a run that each may hold.
pub(super) fn newest_first(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT no FROM period ORDER BY no DESC")?.query_map([], |row| row.get(0))?.collect()
}

/// Where an event is, if it is there.
pub(super) fn holding_event(conn: &Connection, event: i64) -> rusqlite::Result<Option<i64>> {
    for no in of_event(conn, event)? {
        let found =
            conn.prepare_cached(&format!("SELECT 1 FROM event_{no} WHERE id = ?1"))?.exists([event])?;
        if found {
            return Ok(Some(no));
        }
    }
    Ok(None)
}

/// Where an ended run is, if it is there.
pub(super) fn holding_past(conn: &Connection, run: i64) -> rusqlite::Result<Option<i64>> {
    for no in of_run(conn, run)? {
        let found = conn.prepare_cached(&format!("SELECT 1 FROM past_{no} WHERE id = ?1"))?.exists([run])?;
        if found {
            return Ok(Some(no));
        }
    }
    Ok(None)
}
