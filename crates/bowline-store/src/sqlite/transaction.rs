//! What a write sees: the open transaction, and what the writer knows besides the tables.

use bowline_model::{RunId, RunState};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    failure::Failure,
    names::Names,
    options::SqliteOptions,
    period::Periods,
    row::{nanos, time},
    user_sql::UserSqls,
};

/// The writer's open transaction.
pub(super) struct Tx<'c> {
    pub(super) conn: &'c Connection,
    pub(super) ledger: &'c mut Ledger,
    pub(super) names: &'c mut Names,
    pub(super) periods: &'c mut Periods,
    pub(super) options: &'c SqliteOptions,
    /// Runs for which the transaction brings messages.
    pub(super) mailed: &'c mut Vec<RunId>,
    /// What stands between the user's SQL and the connection.
    pub(super) user_sql: &'c UserSqls,
    /// What goes wrong with the next transaction.
    pub(super) failure: &'c mut Option<Failure>,
}

impl Tx<'_> {
    /// Notes that a run went from one state to another.
    pub(super) fn moved(&mut self, from: RunState, to: RunState) {
        self.ledger.count(from, -1);
        self.ledger.count(to, 1);
    }
}

/// The row of the table `ledger`, kept in memory by the one writer and saved with every transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger {
    pub(super) batch: i64,
    pub(super) event_last: i64,
    pub(super) run_last: i64,
    pub(super) node_last: i64,
    by_state: [i64; RunState::ALL.len()],
    pub(super) period_bytes: i64,
    pub(super) accepted_at: Timestamp,
    pub(super) probed_at: Timestamp,
}

const COLUMNS: &str = "batch, event_last, run_last, node_last, queued, running, waiting, completed, cancelled, \
     dead, period_bytes, accepted_at, probed_at";

impl Ledger {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM ledger"))?.query_row([], |row| {
            let mut by_state = [0; RunState::ALL.len()];
            for (place, count) in by_state.iter_mut().enumerate() {
                *count = row.get(4 + place)?;
            }
            Ok(Self {
                batch: row.get(0)?,
                event_last: row.get(1)?,
                run_last: row.get(2)?,
                node_last: row.get(3)?,
                by_state,
                period_bytes: row.get(10)?,
                accepted_at: time(row.get(11)?),
                probed_at: time(row.get(12)?),
            })
        })
    }

    pub(super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let [queued, running, waiting, completed, cancelled, dead] = self.by_state;
        conn.prepare_cached(&format!(
            "UPDATE ledger SET ({COLUMNS}) = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
        ))?
        .execute((
            self.batch,
            self.event_last,
            self.run_last,
            self.node_last,
            queued,
            running,
            waiting,
            completed,
            cancelled,
            dead,
            self.period_bytes,
            nanos(self.accepted_at),
            nanos(self.probed_at),
        ))?;
        Ok(())
    }

    /// Adds to the number of runs in a state.
    pub(super) fn count(&mut self, state: RunState, by: i64) {
        self.by_state[place(state)] += by;
    }

    /// How many runs are in a state.
    pub(super) fn counted(&self, state: RunState) -> i64 {
        self.by_state[place(state)]
    }
}

fn place(state: RunState) -> usize {
    usize::try_from(state.code()).expect("codes of states are their places, from 0")
}
