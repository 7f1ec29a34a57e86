//! What a run asks the store to decide, in the commit that records the answer.

use std::{sync::Arc, time::Duration};

use bowline_model::{Error, Failure, Payload};
use jiff::Timestamp;

/// What the store decides within a run's write.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A value between runs.
    State(StateAsk),
    /// The user's own SQL.
    Transaction(UserTransaction),
}

/// The store's answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is the payload of the write's last entry now.
    Value(Payload),
    /// The user's SQL failed or passed its deadline, or what was to be added to is no whole number of 64 bits: nothing of
    /// the write happened.
    Failed(Failure),
}

/// A read or a change of one value between runs. The answer is `{"value": …, "version": 3, "done": true}`.
///
/// `value` is what is there (null if nothing is), for a read, an addition, and a comparison that did not hold; null
/// where the caller knows it, having written it. `version` is the version now, 0 if nothing is there; a version is
/// never given twice. `done` says whether there was something to read, or a change was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateAsk {
    /// Whose values: a workflow's own, or shared.
    pub space: String,
    /// Which value. At most 512 bytes.
    pub key: String,
    /// What to do.
    pub op: StateOp,
}

/// What to do with a value. A value of at most 1 MiB; one that has expired is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateOp {
    /// Read it.
    Get,
    /// Replace it, or make it.
    Set {
        /// The value.
        value: Payload,
        /// When it goes.
        expires_at: Option<Timestamp>,
    },
    /// Replace it if it has that version; 0: make it if it is not there.
    CompareAndSet {
        /// The version it must have.
        version: u64,
        /// The value.
        value: Payload,
        /// When it goes.
        expires_at: Option<Timestamp>,
    },
    /// Add to a whole number; one that is not there is 0.
    Add {
        /// What to add.
        by: i64,
        /// When it goes; `None`: when it went before.
        expires_at: Option<Timestamp>,
    },
    /// Remove it.
    Remove,
}

/// Longest time that a user's transaction may take, whatever it asks for: every other write waits for it.
pub const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(60);
/// Most rows that one statement of a user's may yield.
pub const SQL_ROWS_MAX: usize = 100_000;
/// Most bytes of values that one statement of a user's may yield.
pub const SQL_ROWS_BYTES_MAX: usize = 64 << 20;

/// What a user's transaction runs. It may run several times; only what it did last is committed.
pub type UserSql = dyn Fn(&mut dyn Sql) -> Result<Payload, Error> + Send + Sync;

/// The user's own SQL, committed with the entry that records its value.
#[derive(Clone)]
pub struct UserTransaction {
    /// What it does.
    pub run: Arc<UserSql>,
    /// How long it may take.
    pub deadline: Duration,
}

impl UserTransaction {
    /// How long it may take: as long as it asks for, and no longer than [`TRANSACTION_TIME_MAX`].
    pub fn time(&self) -> Duration {
        self.deadline.min(TRANSACTION_TIME_MAX)
    }
}

impl std::fmt::Debug for UserTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserTransaction").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The store's database, as a user's transaction sees it: tables of the user's own. The store's tables, whatever ends or
/// changes the transaction, settings, other files, temporary and virtual tables are refused, and a transaction of which
/// something was refused is not committed.
pub trait Sql {
    /// Runs one statement that yields no rows. Says how many rows it changed.
    ///
    /// # Errors
    /// If the statement fails or is not allowed.
    fn execute(&mut self, sql: &str, params: &[SqlValue]) -> Result<u64, Error>;

    /// Runs one statement and takes its rows.
    ///
    /// # Errors
    /// If the statement fails or is not allowed, or yields more than the limit.
    fn query(&mut self, sql: &str, params: &[SqlValue]) -> Result<Vec<SqlRow>, Error>;
}

/// A value in a user's SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A row that a user's SQL yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRow {
    names: Arc<[String]>,
    values: Vec<SqlValue>,
}

impl SqlRow {
    /// A row with the names of its columns, as many as values.
    pub fn new(names: Arc<[String]>, values: Vec<SqlValue>) -> Self {
        Self { names, values }
    }

    /// The value of the column with that name; the first of several.
    pub fn value(&self, name: &str) -> Option<&SqlValue> {
        let place = self.names.iter().position(|column| column == name)?;
        self.values.get(place)
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values in the order of the columns.
    pub fn values(&self) -> &[SqlValue] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_transaction_keeps_others_waiting_for_more_than_a_minute() {
        let of = |deadline| UserTransaction { run: Arc::new(|_| Ok(Payload::from_stored("null"))), deadline };
        let asked = [1, 60, 61, 3600].map(|seconds| of(Duration::from_secs(seconds)).time().as_secs());
        assert_eq!(asked, [1, 60, 60, 60]);
    }
}
